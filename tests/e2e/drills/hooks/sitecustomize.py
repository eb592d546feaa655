"""With this folder in PYTHONPATH, Python starts with modules that are changed as the environment says.

CLOCK_IS_OFF   a file that holds the seconds by which the ledger's clock is wrong. It is read at each look at
               the clock, so that the clock jumps, in all processes at once, when somebody writes to it.
COUNT_CALLS    a file that gets one line for each page that a model is given: the request's id. Lines of a
               process that is killed in the next moment stay.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any


class _Changed:
    """Finds the modules to be changed, and changes each when it has been executed."""

    def __init__(self, changes: dict[str, Callable[[Any], None]]) -> None:
        self._changes = changes

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self._changes:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        execute: Any = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self._changes[name](module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _put_clock_off(database: Any) -> None:
    right, off = database._machine_clock, Path(os.environ["CLOCK_IS_OFF"])
    database._machine_clock = lambda: right() + timedelta(seconds=float(off.read_text()))


def _count_calls(engine: Any) -> None:
    submit = engine.Engine.submit

    def counted(self: Any, request: Any) -> None:
        submit(self, request)
        with Path(os.environ["COUNT_CALLS"]).open("ab", buffering=0) as calls:  # one write: lines never mix
            calls.write(f"{request.id}\n".encode())

    engine.Engine.submit = counted


_CHANGES = {
    "CLOCK_IS_OFF": ("pipeline.store.database", _put_clock_off),
    "COUNT_CALLS": ("pipeline.vintern.engine", _count_calls),
}
sys.meta_path.insert(0, _Changed(dict(_CHANGES[name] for name in _CHANGES if name in os.environ)))
