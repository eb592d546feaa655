"""A document as a reviewer sees it: every value of the schema, and what speaks for and against each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline import deciding, paths
from pipeline.records import Box, Check, Field, Testimony
from pipeline.review import words
from pipeline.store import Decided, StoredExtraction
from schemas.registry import SchemaSpec
from schemas.shape import Group, Leaf, Node, Repeated

_FEW = 4  # values at which a failed check may point for a person to look at each
_SURE = 0.98


@dataclass(frozen=True, slots=True)
class Cell:
    """One value. `shown` is as printed, else as normalised; `id` is its place in the page's HTML.

    `sure` is the score, or the model's confidence where nothing was calibrated. `doubt`: a failed check
    points at it, and nobody has decided.
    """

    id: str
    path: str
    label: str
    english: str
    shown: str
    value: str
    sure: float | None
    source: str
    page: int | None
    box: Box | None
    doubt: bool
    decision: Decided | None
    accepted: bool  # with the document as a whole
    absence: str | None
    problem: str | None
    was: str  # what was read, where it is another
    witnesses: tuple[Testimony, ...]
    checks: tuple[Check, ...]
    numeric: bool

    @property
    def said(self) -> tuple[Testimony, ...]:
        """The witnesses who have something else, or anything where there is no value."""
        return tuple(item for item in self.witnesses if item.raw is not None)


@dataclass(frozen=True, slots=True)
class Heading:
    """The name of a nested record, above its values."""

    label: str
    english: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a list; `out`: a person took it out."""

    path: str
    number: int
    cells: tuple[Cell, ...]
    out: bool
    decision: Decided | None


@dataclass(frozen=True, slots=True)
class Column:
    """`empty`: no line has a value there, and nothing is doubtful."""

    label: str
    english: str
    empty: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of lines with the cell of their number."""

    path: str
    label: str
    english: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    count: Cell

    @property
    def some_columns(self) -> bool:
        """Whether some are empty and others are not."""
        return 0 < sum(column.empty for column in self.columns) < len(self.columns)


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed check in words. `settled`: people decided all that it points at."""

    code: str
    vietnamese: str
    message: str
    severity: str
    settled: bool
    cells: tuple[str, ...]  # ids of those that it points at
    fields: tuple[str, ...]  # paths that nobody has decided: accepting all of them settles it


@dataclass(frozen=True, slots=True)
class Sheet:
    """`checks` are those of which more is to be said than that a value is doubtful."""

    parts: tuple[Cell | Heading | Listing, ...]
    checks: tuple[Failed, ...]
    doubts: int
    whole: Decided | None  # a decision on the document

    @property
    def open_checks(self) -> int:
        return sum(not check.settled for check in self.checks)


def sheet(stored: StoredExtraction, history: Sequence[Decided], spec: SchemaSpec) -> Sheet:
    """The document as it is now; `history` holds its decisions, also those that were taken back."""
    return _Making(stored, history, spec).sheet()


def cell_id(path: str) -> str:
    """A path as an id in HTML, without what CSS would have to escape."""
    return "f-" + path.replace("[", "-").replace("].", "--").replace("]", "").replace(".", "--")


class _Making:
    def __init__(self, stored: StoredExtraction, history: Sequence[Decided], spec: SchemaSpec) -> None:
        self._spec = spec
        self._fields = {field.path: field for field in stored.extraction.fields}
        self._last: dict[str | None, Decided] = {}
        for made in history:
            if made.undone_at is None:
                self._last[made.field] = made
        self._failed = [check for check in stored.extraction.checks if not check.passed]
        self._at: dict[str, list[Check]] = defaultdict(list)
        self._witnesses: dict[str, list[Testimony]] = defaultdict(list)
        for testimony in stored.extraction.testimony:
            self._witnesses[testimony.field].append(testimony)
        self._record = stored.reading.record
        whole = self._last.get(None)
        self._whole = whole
        self._accepted: Mapping[str, object] = (
            whole.was if whole is not None and isinstance(whole.was, Mapping) else {}
        )
        self._doubtful: set[str] = set()
        for check in self._failed:
            if check.severity != "info":
                for path in _pointed(check):
                    self._at[path].append(check)
                self._doubtful.update(self._worth_a_look(check))

    def _worth_a_look(self, check: Check) -> Sequence[str]:
        """Of the values that a failed check points at, those to look at one by one.

        The weak ones first: is one of them wrong, then its correction lets the check pass. While there is
        none, all of a few; many are looked at together, at the check.
        """
        if check.code == "reading_differs":
            return check.fields
        left = [path for path in _pointed(check) if not self._is_decided(path)]
        weak = [path for path in left if self._is_weak(path)]
        return weak or (left if len(left) <= _FEW else ())

    def _is_decided(self, path: str) -> bool:
        line = path[: path.rindex("]") + 1] if "]" in path else None
        out = line is not None and line in self._last and self._last[line].ruling == "not_on_page"
        return path in self._last or self._whole is not None or out

    def _is_weak(self, path: str) -> bool:
        field = self._fields.get(path)
        sure = None if field is None else field.confidence if field.score is None else field.score
        against = any(said.verdict in ("differs", "offers") for said in self._witnesses[path])
        return against or sure is None or sure < _SURE

    def sheet(self) -> Sheet:
        parts = tuple(self._walk(self._spec.shape, ""))
        known = set(_ids(parts))
        checks = tuple(
            Failed(
                check.code,
                words.check(check.code),
                check.message,
                check.severity,
                check.severity == "info",
                tuple(id for path in _pointed(check) if (id := cell_id(path)) in known),
                tuple(path for path in _pointed(check) if not self._is_decided(path)),
            )
            for check in self._failed
            if (check.severity != "info" or self._last) and check.code != "low_confidence"
        )
        doubts = sum(cell.doubt for cell in _cells(parts))
        return Sheet(parts, checks, doubts, self._whole)

    def _walk(self, group: Group, prefix: str) -> Iterator[Cell | Heading | Listing]:
        for node in group.fields:
            path = f"{prefix}{node.name}"
            if isinstance(node, Leaf):
                if node.asked or path in self._fields or path in self._last:
                    yield self._cell(path, node)
            elif isinstance(node, Group):
                yield Heading(node.label, words.english(node.name))
                yield from self._walk(node, f"{path}.")
            elif node.asked or path in self._fields:
                yield self._listing(path, node)

    def _listing(self, path: str, node: Repeated) -> Listing:
        leaves = list(_leaves(node.item))
        count = self._cell(path, node)
        read = len(paths.value_at(self._record, path) or ())
        number = max(read, int(count.value or 0))
        used = [
            (inner, leaf)
            for inner, leaf in leaves
            if leaf.asked or any(f"{path}[{i}]{inner}" in self._fields for i in range(number))
        ]
        rows = []
        for i in range(number):
            item = f"{path}[{i}]"
            made = self._last.get(item)
            out = made is not None and made.ruling == "not_on_page"
            cells = tuple(self._cell(f"{item}{inner}", leaf) for inner, leaf in used)
            rows.append(Row(item, i + 1, cells, out, made))
        columns = tuple(
            Column(
                leaf.label,
                words.english(leaf.name),
                not any(row.cells[at].shown or row.cells[at].doubt for row in rows),
            )
            for at, (_, leaf) in enumerate(used)
        )
        return Listing(path, node.label, words.english(node.name), columns, tuple(rows), count)

    def _cell(self, path: str, node: Leaf | Repeated) -> Cell:
        field = self._fields.get(path) or Field(path, None, None, None, "read", None)
        made = self._last.get(path)
        now = field if made is None else deciding.as_decided(field, made)
        if made is None and path in self._accepted and self._accepted[path] != field.value:
            now = Field(path, None, self._accepted[path], None, "review", field.page)
        shown = now.raw if now.raw is not None else _text(now.value)
        read = field.raw if field.raw is not None else _text(field.value)
        return Cell(
            id=cell_id(path),
            path=path,
            label=f"{node.label}: số dòng" if isinstance(node, Repeated) else node.label,
            english=("number of " if isinstance(node, Repeated) else "") + words.english(node.name),
            shown=shown,
            value=_text(now.value),
            sure=now.confidence if now.score is None else now.score,
            source=now.source,
            page=field.page,
            box=field.box or self._box_of_witness(path, field.page),
            doubt=path in self._doubtful,
            decision=made,
            accepted=bool(self._accepted) and made is None,
            absence=now.absence if now.value is None else None,
            problem=now.problem,
            was=read if read != shown else "",
            witnesses=tuple(self._witnesses[path]),
            checks=tuple(check for check in self._at[path] if check.code != "low_confidence"),
            numeric=isinstance(node, Repeated) or node.printed.sql in ("decimal", "integer", "real"),
        )

    def _box_of_witness(self, path: str, page: int | None) -> Box | None:
        found = (said.box for said in self._witnesses[path] if said.page == page and said.verdict == "agrees")
        return next((box for box in found if box is not None), None)


def _pointed(check: Check) -> tuple[str, ...]:
    return check.accused or check.fields


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "x" if value else ""
    return "" if value is None else str(value)


def _leaves(item: Node, prefix: str = "") -> Iterator[tuple[str, Leaf]]:
    """The values of a line, by what comes after the line's path; lists in it are left out."""
    if isinstance(item, Leaf):
        yield prefix, item
    elif isinstance(item, Group):
        for field in item.fields:
            yield from _leaves(field, f"{prefix}.{field.name}")


def _cells(parts: Sequence[Cell | Heading | Listing]) -> Iterator[Cell]:
    for part in parts:
        if isinstance(part, Cell):
            yield part
        elif isinstance(part, Listing):
            yield part.count
            for row in part.rows:
                yield from row.cells


def _ids(parts: Sequence[Cell | Heading | Listing]) -> Iterator[str]:
    yield from (cell.id for cell in _cells(parts))
