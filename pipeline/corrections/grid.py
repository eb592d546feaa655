"""Rows of cells, of a workbook or a CSV, as entries: columns are found by the names of "to check"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pipeline.corrections.entry import Entry
from pipeline.errors import UsageError
from pipeline.records import Ruling
from pipeline.store import to_check
from schemas.text import tidy

Cell = str | int | float | bool | date | datetime | None
NEW = "[+"  # in the path of a line that is not there yet
COLUMNS = ("document_uri", "field", "correction", "ruling", "key")
_HEADS_WITHIN = 5  # rows: a person may have put lines above
_LINE = re.compile(r"(.*\[[0-9]+\])(?:\..*)?")  # a value's path begins with that of its line
_WORDS: Mapping[str, str] = {
    word.strip().casefold(): ruling
    for ruling, words in to_check.CHOICES.items()
    for word in (ruling, *words.split("·"), words)
}


@dataclass(frozen=True, slots=True)
class Unread:
    """A cell that is not taken: `what` it holds, like "a formula", which nothing here computes."""

    what: str


def entries(rows: Iterable[Sequence[Cell | Unread]]) -> Iterator[Entry]:
    """The rows in which a person has written something. Raises UsageError naming the row and the cure."""
    places: Mapping[str, int] | None = None
    for number, row in enumerate(rows, 1):
        if places is None:
            places = _heads(row)
            if places is None and number == _HEADS_WITHIN:
                break
            continue
        found = {column: row[at] if at < len(row) else None for column, at in places.items()}
        if found["key"] == to_check.COLUMNS["key"]:  # the second line of heads
            continue
        if not (_is_empty(found["correction"]) and _is_empty(found["ruling"])):
            yield _entry(found, f"row {number}")
    if places is None:
        raise UsageError(
            f"it has no columns {', '.join(COLUMNS)}; correct the sheet {to_check.SHEET!r} of an export, "
            "and leave its heads and its hidden column as they are"
        )


def _heads(row: Sequence[Cell | Unread]) -> Mapping[str, int] | None:
    """Where each column is, if this is the row of heads."""
    at = {str(cell).strip(): i for i, cell in enumerate(row) if isinstance(cell, str)}
    return {column: at[column] for column in COLUMNS} if at.keys() >= set(COLUMNS) else None


def _is_empty(cell: Cell | Unread) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _entry(found: Mapping[str, Cell | Unread], where: str) -> Entry:
    for cell in found.values():
        if isinstance(cell, Unread):
            raise UsageError(f"{where} has {cell.what}; write the value itself, as text")
    uri, field, key = (_text(found[column]) for column in ("document_uri", "field", "key"))
    said = _ruling(_text(found["ruling"]).strip(), where)
    text, exact = _correction(found["correction"])
    if not uri or not (key or said == to_check.REMOVE or NEW in field):
        raise UsageError(
            f"{where} has lost its document_uri or key; make the sheet anew with vinbatch export"
        )
    if said == to_check.REMOVE:
        return _taken_out(where, uri, field, key, empty=not (text or exact))
    ruling: Ruling = said or "correct"
    if NEW in field and ruling != "correct":
        raise UsageError(f"{where} is of a new line, which has corrections and no ruling")
    if ruling == "correct" and not (text or exact):
        raise UsageError(f"{where}: the ruling is to correct, and the correction is empty")
    if ruling != "correct" and (text or exact):
        raise UsageError(f"{where} has a correction, and the ruling {ruling}; leave one of them empty")
    if ruling == "reject":
        field = ""
    return Entry(where, uri, field or None, key or None, ruling, text, exact)


def _taken_out(where: str, uri: str, field: str, key: str, *, empty: bool) -> Entry:
    """The answer that the line of this value does not stand on the paper."""
    if not empty:
        raise UsageError(
            f"{where} has a correction, and the ruling to remove its line; leave one of them empty"
        )
    if (line := _LINE.fullmatch(field)) is None:
        raise UsageError(f"{where}: {field or 'the document'} is of no line that could be removed")
    return Entry(where, uri, line[1], key or None, "not_on_page", shown=field if key else None)


def _ruling(text: str, where: str) -> Any:
    if not text:
        return None
    if (ruling := _WORDS.get(text.casefold())) is None:
        raise UsageError(f"{where}: no ruling {text[:40]!r}; there are {', '.join(to_check.CHOICES)}")
    return ruling


def _correction(cell: Cell | Unread) -> tuple[str | None, str | None]:
    """A correction as printed text, or as a number or date that the file holds as such."""
    match cell:
        case bool():
            return None, "true" if cell else "false"
        case int() | float():
            return None, format(Decimal(str(cell)), "f").removesuffix(".0")
        case datetime():
            return None, cell.isoformat(timespec="seconds").removesuffix("T00:00:00")
        case date():
            return None, cell.isoformat()
        case str():
            return tidy(cell) or None, None
    return None, None


def _text(cell: Cell | Unread) -> str:
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return "" if cell is None else str(cell)
