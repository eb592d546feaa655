"""Plug-ins of pytest: which quick tests touch which lines, and which tests are run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from coverage import Coverage

TOUCHED = "mutate.json"  # which tests touch which lines, in the copy


class Touched:
    """A plug-in of pytest that learns which quick tests touch which lines, and how long each takes."""

    def __init__(self, copied: Path) -> None:
        self._into = copied / TOUCHED
        self._measured = Coverage(
            data_file=None,
            config_file=False,
            source=[str(copied / name) for name in ("schemas", "pipeline", "workers")],
        )
        self._seconds: dict[str, float] = {}

    def pytest_sessionstart(self) -> None:
        self._measured.start()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.get_closest_marker("medium") is None]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._measured.switch_context(item.nodeid)
        began = time.monotonic()
        result = yield
        self._seconds[item.nodeid] = time.monotonic() - began
        self._measured.switch_context("")
        return result

    def pytest_sessionfinish(self) -> None:
        self._measured.stop()
        data = self._measured.get_data()
        lines = {
            str(Path(file).relative_to(self._into.parent)): {
                line: [test for test in tests if test]
                for line, tests in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        self._into.write_text(json.dumps({"lines": lines, "seconds": self._seconds}))


class Only:
    """A plug-in of pytest that runs these tests alone, in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._places = {test: i for i, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self._places]
        items[:] = sorted(chosen, key=lambda item: self._places[item.nodeid])


class AllBut:
    """A plug-in of pytest that passes these tests over, or all quick ones."""

    def __init__(self, tests: Sequence[str], quick_too: bool) -> None:
        self._tests, self._quick_too = set(tests), quick_too

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [
            item
            for item in items
            if item.get_closest_marker("medium") or (self._quick_too and item.nodeid not in self._tests)
        ]
