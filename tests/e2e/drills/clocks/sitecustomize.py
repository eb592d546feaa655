"""With this folder in PYTHONPATH, Python starts with a clock that is wrong: the one the ledger goes by.

CLOCK_IS_OFF names a file that holds the seconds to add. It is read at each look at the clock, so that the
clock jumps, in all processes at once, when somebody writes to it.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any


class _Clockmaker:
    """Finds the one module that reads the clock, and puts another clock into it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "pipeline.store.database":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        execute: Any = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            right, off = module._machine_clock, Path(os.environ["CLOCK_IS_OFF"])
            module._machine_clock = lambda: right() + timedelta(seconds=float(off.read_text()))

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "CLOCK_IS_OFF" in os.environ:
    sys.meta_path.insert(0, _Clockmaker())
