"""Runs the tests of a copy of the checkout, each time in a fork of this process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import pytest

from infra.mutate.changes import CHECKOUT, Mutant
from infra.mutate.plugins import TOUCHED, AllBut, Only, Touched

# Loaded before the fork. None of these starts a thread or talks to a server by being imported.
_LOADED = (
    "numpy",
    "PIL.Image",
    "pydantic_settings",
    "boto3",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "psycopg",
    "pikepdf",
    "stdnum.vn",
    "typer",
    "hypothesis.strategies",
)
_COPIED = ("infra", "pipeline", "schemas", "tests", "workers", "pyproject.toml", "README.md", "Makefile")

_LOG = "mutate.log"  # what the last run of the tests printed, in the copy
_MANY = 8  # quick tests that touch a line: what they let pass is not tried on all other quick ones


def load() -> None:
    """What the tests need from outside the checkout."""
    for module in _LOADED:
        import_module(module)


def copy_into(folder: Path) -> None:
    """The files of the checkout that tests need."""
    for name in _COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "runs"))
        elif source.exists():
            shutil.copy2(source, folder / name)


class Room:
    """The tests that should notice changes of some files, and what is known of them."""

    def __init__(self, copied: Path, tests: Sequence[str]) -> None:
        self._copied, self._tests = copied, tests
        began = time.monotonic()
        if self._fails(3600.0, Touched(copied), tests):
            raise SystemExit(
                f"mutate: {' '.join(tests)} fails before anything was changed: see {self._log()}"
            )
        self._seconds = 30 + 4 * (time.monotonic() - began)
        known = json.loads((copied / TOUCHED).read_text())
        self._lines: dict[str, dict[str, list[str]]] = known["lines"]
        self._times: dict[str, float] = known["seconds"]

    def notices(self, mutant: Mutant) -> bool:
        """Whether a test fails, or takes four times as long, with the change in place."""
        target = self._copied / mutant.file
        kept = target.read_text()
        target.write_text(mutant.source)
        _forget(target)
        try:
            touching = self._touching(mutant)
            files = sorted({test.partition("::")[0] for test in touching})
            usual = sum(self._times[test] for test in touching)
            if touching and self._fails(20 + 4 * usual, Only(touching), files):
                return True
            # Longer tests are not measured. Where few quick ones touch it, others may see it still: by what
            # was made once for all, while importing, or in another process.
            others = AllBut(touching, quick_too=len(touching) < _MANY)
            return self._fails(self._seconds, others, self._beside(mutant))
        finally:
            target.write_text(kept)
            _forget(target)

    def _beside(self, mutant: Mutant) -> Sequence[str]:
        """The files of tests of which one touches the changed file; all of the room where none does."""
        lines = self._lines.get(mutant.file, {})
        files = {test.partition("::")[0] for tests in lines.values() for test in tests}
        measured = {test.partition("::")[0] for test in self._times}
        unknown = [
            str(file.relative_to(self._copied))
            for place in map(self._copied.joinpath, self._tests)
            for file in (place.rglob("test_*.py") if place.is_dir() else [place])
            if str(file.relative_to(self._copied)) not in measured  # only longer tests are there
        ]
        return sorted({*files, *unknown}) if files else self._tests

    def _touching(self, mutant: Mutant) -> list[str]:
        """The tests that touch the changed statement, the quickest first."""
        lines = self._lines.get(mutant.file, {})
        tests = {test for line in mutant.statement for test in lines.get(str(line), ())}
        return sorted(tests, key=self._times.__getitem__)

    def _fails(self, seconds: float, plugin: Touched | Only | AllBut, tests: Sequence[str]) -> bool:
        pid = os.fork()
        if pid == 0:
            _run(self._copied, tests, plugin)
        code = _ended(pid, time.monotonic() + seconds)
        # 2 and 4: a module or a conftest could not be imported; 5: tests have other names now.
        if code not in (0, 1, 2, 4, 5, None):
            raise SystemExit(f"mutate: pytest ended with {code}: {self._log()}")
        return code not in (0, 5)

    def _log(self) -> str:
        return (self._copied / _LOG).read_text()[-500:]


def _forget(changed: Path) -> None:
    """Bytecode is told from stale bytecode by the second and the size of its source: too coarse here."""
    for cached in (changed.parent / "__pycache__").glob(f"{changed.stem}.*"):
        cached.unlink()


def _run(copied: Path, tests: Sequence[str], plugin: object) -> NoReturn:
    """In the child: the tests of the copy, and nothing of the checkout."""
    code = 3
    try:
        os.setsid()
        os.chdir(copied)
        log = os.open(_LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for name in [name for name in sys.modules if name.partition(".")[0] in _COPIED]:
            del sys.modules[name]
        sys.path[:] = [str(copied), *(entry for entry in sys.path if entry not in ("", str(CHECKOUT)))]
        os.environ["PYTHONPATH"] = str(copied)
        quick = ("-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not drill")
        calm = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # of what was loaded before
        code = int(pytest.main([*quick, *calm, *tests], plugins=[plugin]))
    except BaseException:  # noqa: BLE001  nothing may go on in the child but the tests
        traceback.print_exc()
    finally:
        os._exit(code)


def _ended(pid: int, deadline: float) -> int | None:
    """The exit code; None if it had to be killed or was."""
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            _kill(pid)
            code = os.waitstatus_to_exitcode(status)
            return None if code < 0 else code
        time.sleep(0.05)
    _kill(pid)
    os.waitpid(pid, 0)
    return None


def _kill(group: int) -> None:
    """What the tests started ends with them."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
