"""A person's list of suppliers to beware of, as CSV: the tax authority's, or their own."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pipeline.errors import UsageError, one_line
from schemas.dates import day
from schemas.fields import tax_code, whole_tax_code
from schemas.text import unaccented

_HEADINGS = {
    "tax_code": ("tax_code", "tax code", "mst", "ma so thue", "ma so doanh nghiep", "taxcode"),
    "since": ("since", "from", "tu ngay", "ngay bat dau", "ngay bo tron"),
    "until": ("until", "to", "den ngay", "ngay ket thuc"),
    "note": ("note", "ghi chu", "ly do", "reason", "trang thai", "ten", "ten nguoi nop thue", "name"),
}


@dataclass(frozen=True, slots=True)
class Supplier:
    """One line of the list. Without dates every invoice of this seller is meant."""

    tax_code: str
    since: date | None = None
    until: date | None = None
    note: str | None = None


def read(path: Path) -> tuple[Supplier, ...]:
    """The suppliers of a CSV file (comma, semicolon or tab).

    Its headings are tax_code or MST and, as far as they are there, since (từ ngày), until (đến ngày) and note
    (ghi chú). Raises UsageError, which names the line.
    """
    text = _text(path)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_between(text))
    columns = _columns(path, next(lines, []))
    found = []
    for cells in lines:
        if any(cell.strip() for cell in cells):
            try:
                found.append(_supplier(dict(_named(columns, cells))))
            except ValueError as error:
                raise UsageError(f"{path}, line {lines.line_num}: {one_line(error)}") from None
    return tuple(found)


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the list of suppliers {path}: {error.strerror}") from None
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text in UTF-8; save it as “CSV UTF-8”") from None


def _between(text: str) -> str:
    heading = text.partition("\n")[0]
    return max(",;\t", key=heading.count)


def _columns(path: Path, heading: Sequence[str]) -> list[str | None]:
    plain = [" ".join(re.sub(r"[_\s]+", " ", unaccented(cell)).split()).casefold() for cell in heading]
    names = [
        next(
            (name for name, known in _HEADINGS.items() if cell in {word.replace("_", " ") for word in known}),
            None,
        )
        for cell in plain
    ]
    if "tax_code" not in names:
        shown = ", ".join(heading)[:200] or "an empty line"
        raise UsageError(f"{path}: its first line names no column tax_code or MST; found {shown}")
    return names


def _named(columns: Sequence[str | None], cells: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Where two columns have one meaning, the first that is filled counts."""
    taken = set()
    for name, cell in zip(columns, cells, strict=False):
        if name is not None and cell.strip() and name not in taken:
            taken.add(name)
            yield name, cell.strip()


def _supplier(cells: dict[str, str]) -> Supplier:
    if "tax_code" not in cells:
        raise ValueError("there is no tax code")
    since, until = (day(cells[name]) if name in cells else None for name in ("since", "until"))
    return Supplier(whole_tax_code(tax_code(cells["tax_code"])), since, until, cells.get("note"))
