"""Would the tests notice? Small changes are made to one file, one at a time, and its room's tests are run.

    python -m infra.mutate pipeline/merge.py                      30 changes, chosen at random
    python -m infra.mutate schemas --count 100 --seed 7           in all files of a folder
    python -m infra.mutate pipeline/keys.py --all --tests tests/pipeline/test_keys.py

Every change is made in a copy of the checkout; the working tree is never touched. The tests run in a fork of
this process, which has loaded what they need from outside the checkout. A first run without a change learns
which quick tests touch which lines. Those of the changed statement are run first, the quickest before the
others. If none of them fails, the longer ones follow, and where few touch it all others, of the files of
tests that touch the changed file. So a change costs seconds.

One that the tests let pass is printed with its line, before and after: either a test is missing, or the
change alters nothing that matters (an equivalent mutant), or the line is not needed. Leaves with 1 when less
than --floor were noticed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import pytest
from coverage import Coverage

CHECKOUT = Path(__file__).resolve().parents[1]
# Loaded before the fork. None of these starts a thread or talks to a server by being imported.
LOADED = (
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
COPIED = ("infra", "pipeline", "schemas", "tests", "workers", "pyproject.toml", "README.md", "Makefile")

# The tests of a file, by the longest beginning of its path. Quick ones only: --tests names others.
ROOMS = {
    "schemas/": (
        "tests/schemas",
        "tests/pipeline/test_absence.py",
        "tests/pipeline/test_authority.py",
        "tests/pipeline/test_merge.py",
        "tests/pipeline/test_witnesses.py",
        "tests/einvoice/test_reading.py",
    ),
    "pipeline/": ("tests/pipeline",),
    "pipeline/merge.py": tuple(
        f"tests/pipeline/test_{of}.py"
        for of in (
            *("merge", "seams", "several", "second_look", "witnesses", "absence", "authority"),
            "completeness",
        )
    ),
    "pipeline/parse.py": tuple(
        f"tests/pipeline/test_{of}.py" for of in ("parse", "forms", "seams", "grammar", "free_text", "merge")
    ),
    "pipeline/keys.py": ("tests/pipeline/test_keys.py", "tests/sandbox/test_second_reader.py"),
    "pipeline/tiles.py": ("tests/pipeline/test_tiles.py",),
    "pipeline/grammar.py": ("tests/pipeline/test_grammar.py", "tests/pipeline/test_parse.py"),
    "pipeline/sources/": tuple(
        f"tests/pipeline/test_sources{kind}.py"
        for kind in ("", "_archives", "_choice", "_groups", "_gzips", "_manifests", "_s3")
    ),
    "pipeline/store/": ("tests/store",),
    "pipeline/evaluation/": ("tests/evaluation",),
    "pipeline/vintern/": ("tests/vintern",),
    "workers/": ("tests/workers",),
}

_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
# What SQL that is written out as text is known by, and what is changed in it.
_SQL = re.compile(r"\b(SELECT|UPDATE|INSERT INTO|DELETE FROM)\b.*\b(WHERE|SET|FROM)\b", re.DOTALL)
_IN_SQL = {
    r"<=": "<",
    r">=": ">",
    r" > ": " >= ",
    r"<>": "=",
    r"\bAND\b": "OR",
    r"\bOR\b(?! REPLACE)": "AND",
    r" \+ ": " - ",
    r" - ": " + ",
    r"\btrue\b": "false",
    r"\bfalse\b": "true",
    r"'pending'": "'leased'",
    r"'leased'": "'pending'",
    r"(?<= )\w+ = NULL": "id = id",
    r"\bIS NULL\b": "IS NOT NULL",
    r"@now": "NULL",
    r"@(?!now)\w+": "@now",
    r"\bmin\(": "max(",
    r"ORDER BY [\w, ]+": "",
    r"FOR (UPDATE|SHARE)( SKIP LOCKED)?": "",
    r"coalesce\((:\w+), \w+\)": r"\1",
}
_LOG = "mutate.log"  # what the last run of the tests printed, in the copy
_TOUCHED = "mutate.json"  # which tests touch which lines, in the copy
_MANY = 8  # quick tests that touch a line: what they let pass is not tried on all other quick ones
_SHOWN = 40  # characters on either side of a change
_OTHER_NAME = {"min": "max", "max": "min", "any": "all", "all": "any"}


Path_ = tuple[tuple[str, int | None], ...]  # from the root to a node: field and place in its list
Change = Callable[[ast.AST], None]


@dataclass(frozen=True)
class Mutant:
    """One change: `source` is the whole file with it, `statement` the lines of what it changes."""

    file: str
    line: int
    statement: range
    before: str
    after: str
    source: str


@dataclass(frozen=True)
class Possible:
    """A change that could be made. Thousands are listed for the few that are chosen: none is a text yet."""

    file: str
    place: Path_
    change: Change

    def made(self, source: str) -> Mutant | None:
        """None where the text stays what it was."""
        tree = ast.parse(source)
        node = _at(tree, self.place)
        line = getattr(node, "lineno", 1)
        statement = _statement(tree, self.place)
        lines, before = _lines(statement), ast.unparse(statement)
        self.change(node)
        after = ast.unparse(statement)
        if after == before:
            return None
        return Mutant(self.file, line, lines, *_differing(before, after), ast.unparse(tree))


def possible(file: Path) -> Iterator[Possible]:
    """Every small change that is known how to make, in the order of the file."""
    name = str(file.relative_to(CHECKOUT))
    return (Possible(name, place, change) for place, change in _changes(ast.parse(file.read_text())))


def mutants(every: Sequence[Possible], count: int, seed: int) -> list[Mutant]:
    """As many of them as are asked for, at random, in the order of the files."""
    made: list[Mutant] = []
    for one in random.Random(seed).sample(every, len(every)):
        if len(made) == count:
            break
        if mutant := one.made((CHECKOUT / one.file).read_text()):
            made.append(mutant)
    return sorted(made, key=lambda mutant: (mutant.file, mutant.line))


def _lines(statement: ast.AST) -> range:
    """Those of a statement, of what begins a block only its head."""
    first = getattr(statement, "lineno", 1)
    block = getattr(statement, "body", None)
    last = (
        block[0].lineno - 1 if isinstance(block, list) and block else getattr(statement, "end_lineno", first)
    )
    return range(first, max(first, last) + 1)


def _differing(before: str, after: str) -> tuple[str, str]:
    """The two texts around the place where they begin to differ."""
    differing = (i for i, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1])
    start = next(differing, min(len(before), len(after)))
    window = slice(max(0, start - _SHOWN), start + _SHOWN)
    return " ".join(before[window].split()), " ".join(after[window].split())


def _changes(tree: ast.AST) -> Iterator[tuple[Path_, Change]]:
    for place, node in _walk(tree, ()):
        match node:
            case ast.Compare(ops=ops):
                for i, op in enumerate(ops):
                    yield place, _set_item("ops", i, _SWAPPED[type(op)]())
            case ast.BoolOp(op=op) | ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _SWAPPED:
                yield place, _set("op", _SWAPPED[type(op)]())
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield place, _set("operand", ast.UnaryOp(ast.Not(), operand))
            case ast.Constant(value=bool(value)):
                yield place, _set("value", not value)
            case ast.Constant(value=int(value)) | ast.Constant(value=float(value)):
                yield place, _set("value", value + 1)
            case ast.Constant(value=str(value)) if _SQL.search(value):
                for changed in _sql_changes(value):
                    yield place, _set("value", changed)
            case ast.Constant(value=str(value)) if value and " " not in value and place[-1][0] != "keys":
                # A text with a space is prose; a key of a dict that is written and read here is only a name.
                yield place, _set("value", value + "\u2020")
            case ast.IfExp() | ast.If() | ast.While() if not _is_type(node):
                yield place, _set("test", ast.Constant(False))
                yield place, _set("test", ast.Constant(True))
            case ast.Call(func=ast.Name(id=name)) if name in _OTHER_NAME:
                yield place, _set("func", ast.Name(_OTHER_NAME[name], ast.Load()))
            case ast.Slice(lower=lower, upper=upper):
                if lower is not None:
                    yield place, _set("lower", None)
                if upper is not None:
                    yield place, _set("upper", None)
            case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
                yield place, _set("value", ast.Constant(None))
            case ast.keyword(arg=str()) if isinstance(node.value, ast.Lambda | ast.Name):
                yield place[:-1], _drop(place[-1])
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            for i, statement in enumerate(block if isinstance(block, list) else ()):
                call = isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Constant)
                if call or isinstance(statement, ast.Raise | ast.AugAssign | ast.Continue | ast.Break):
                    yield place, _set_item(name, i, ast.Pass())


def _sql_changes(sql: str) -> Iterator[str]:
    for pattern, other in _IN_SQL.items():
        for found in re.finditer(pattern, sql):
            yield sql[: found.start()] + found.expand(other) + sql[found.end() :]


def _walk(node: ast.AST, place: Path_) -> Iterator[tuple[Path_, ast.AST]]:
    """All nodes but types, the words of errors and what is told to people, which no test should hold to the
    letter."""
    yield place, node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_comment", "decorator_list"):
            continue
        if isinstance(node, ast.Raise) or _is_type(node) or _is_told(node):
            continue
        if isinstance(value, ast.AST):
            yield from _walk(value, (*place, (name, None)))
        elif isinstance(value, list):
            for i, item in enumerate(value):
                if isinstance(item, ast.AST):
                    yield from _walk(item, (*place, (name, i)))


def _is_type(node: ast.AST) -> bool:
    """`Literal["a", "b"]`, and imports that only the type checker sees."""
    match node:
        case ast.Subscript(value=ast.Name(id="Literal")) | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


def _is_told(node: ast.AST) -> bool:
    """What a field or an option is called, and what is said in a log."""
    match node:
        case ast.keyword(arg="title" | "description" | "help" | "metavar"):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "_log" | "logger")))):
            return True
    return False


def _at(tree: ast.AST, place: Path_) -> ast.AST:
    for name, i in place:
        tree = getattr(tree, name) if i is None else getattr(tree, name)[i]
    return tree


def _statement(tree: ast.AST, place: Path_) -> ast.AST:
    """The innermost statement that holds the place."""
    found = tree
    for end in range(len(place) + 1):
        node = _at(tree, place[:end])
        if isinstance(node, ast.stmt):
            found = node
    return found


def _set(name: str, value: object) -> Change:
    return lambda node: setattr(node, name, copy.deepcopy(value))


def _set_item(name: str, i: int, value: ast.AST) -> Change:
    return lambda node: getattr(node, name).__setitem__(i, copy.deepcopy(value))


def _drop(step: tuple[str, int | None]) -> Change:
    name, i = step
    return lambda node: getattr(node, name).pop(i)


def tests_of(file: str) -> tuple[str, ...]:
    """The tests that should notice a change of `file`."""
    known = [start for start in ROOMS if file.startswith(start)]
    if not known:
        raise SystemExit(f"mutate: no tests are named for {file}; give --tests")
    return ROOMS[max(known, key=len)]


class Touched:
    """A plug-in of pytest that learns which quick tests touch which lines, and how long each takes."""

    def __init__(self, copied: Path) -> None:
        self._into = copied / _TOUCHED
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
        known = json.loads((copied / _TOUCHED).read_text())
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
        for name in [name for name in sys.modules if name.partition(".")[0] in COPIED]:
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


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("where", help="a Python file, or a folder of them, as seen from the checkout")
    parser.add_argument("--count", type=int, default=30, help="changes to try [default: 30]")
    parser.add_argument("--all", action="store_true", help="every change")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tests", nargs="*", help="[default: those of the file's room]")
    parser.add_argument("--floor", type=float, default=0.9, help="share that must be noticed [default: 0.9]")
    asked = parser.parse_args()
    place = CHECKOUT / asked.where
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    if not place.exists() or not files:
        parser.error(f"there is no Python file at {asked.where}")
    every = [change for file in files for change in possible(file)]
    chosen = mutants(every, len(every) if asked.all else asked.count, asked.seed)
    for module in LOADED:
        import_module(module)
    with tempfile.TemporaryDirectory(prefix="vinbatch-mutate-") as folder:
        copied = Path(folder)
        for name in COPIED:
            source = CHECKOUT / name
            if source.is_dir():
                shutil.copytree(source, copied / name, ignore=shutil.ignore_patterns("__pycache__", "runs"))
            elif source.exists():
                shutil.copy2(source, copied / name)
        rooms: dict[tuple[str, ...], Room] = {}
        passed: list[Mutant] = []
        for number, mutant in enumerate(chosen, 1):
            tests = tuple(asked.tests or tests_of(mutant.file))
            if tests not in rooms:
                rooms[tests] = Room(copied, tests)
            seen = rooms[tests].notices(mutant)
            mark = "noticed " if seen else "SURVIVED"
            where = f"{mutant.file}:{mutant.line}"
            print(f"{number:4}/{len(chosen)} {mark} {where}: {mutant.before}  →  {mutant.after}", flush=True)
            if not seen:
                passed.append(mutant)
    share = 1 - len(passed) / max(1, len(chosen))
    seen_ones = f"{len(chosen) - len(passed)} of {len(chosen)} changes were noticed ({share:.0%})"
    print(f"{seen_ones}; {len(every)} are possible")
    return 0 if share >= asked.floor else 1


if __name__ == "__main__":
    sys.exit(main())
