"""The small changes that can be made to a file: what they change, and what the file is with them."""

from __future__ import annotations

import ast
import copy
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

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
