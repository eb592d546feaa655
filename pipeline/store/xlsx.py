"""Rows as a workbook for Excel. Text stays text, also where it looks like a formula; no number is rounded."""

# Imported only when a workbook is asked for: openpyxl takes long to load.

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import IO, Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from pipeline.errors import UsageError
from pipeline.store.query import Rows
from pipeline.store.values import batches, plain

_ROWS = 1_048_576  # of a sheet
_CHARACTERS = 32_767  # of a cell
_DIGITS = 15  # of a number; Excel rounds more


class Book:
    """A workbook that is written row by row."""

    def __init__(self) -> None:
        self._book = Workbook(write_only=True)

    def add(self, name: str, rows: Rows) -> int:
        """A sheet with these rows; one that is full goes on in another. Returns their number."""
        total = part = 0
        sheet = self._sheet(name, part, rows)
        for batch in batches(rows):
            for row in batch:
                if total and total % (_ROWS - 1) == 0:
                    part += 1
                    sheet = self._sheet(name, part, rows)
                sheet.append([_cell(sheet, value) for value in row])
                total += 1
        return total

    def _sheet(self, name: str, part: int, rows: Rows) -> Any:
        sheet = self._book.create_sheet(_title(name, part))
        sheet.append(list(rows.columns))
        return sheet

    def save(self, file: IO[bytes]) -> None:
        self._book.save(file)


def _title(name: str, part: int) -> str:
    suffix = f"_{part + 1}" if part else ""
    return name[: 31 - len(suffix)] + suffix


def _cell(sheet: Any, value: Any) -> Any:
    if isinstance(value, Decimal) and len(value.as_tuple().digits) > _DIGITS:
        value = plain(value)
    if value is None or isinstance(value, (bool, int, float, Decimal, date, datetime)):
        return value
    text = ILLEGAL_CHARACTERS_RE.sub("\ufffd", plain(value))
    if len(text) > _CHARACTERS:
        raise UsageError(
            f"a value of {len(text):,} characters does not fit into a cell of Excel; export csv or parquet"
        )
    cell = WriteOnlyCell(sheet, value="")
    cell.value, cell.data_type = text, "s"  # text that begins with "=" stays text and is never computed
    return cell
