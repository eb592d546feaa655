"""Rows as a workbook for Excel. Text stays text, also where it looks like a formula; no number is rounded.

Rows are written to temporary files as they come, so memory does not grow with their number.
"""

# Imported only when a workbook is asked for: XlsxWriter takes long to load.

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import TracebackType
from typing import IO, Any

import xlsxwriter

from pipeline.errors import UsageError
from pipeline.store.query import Rows
from pipeline.store.values import plain

_ROWS = 1_048_576  # of a sheet
_CHARACTERS = 32_767  # of a cell
_DIGITS = 15  # of a number; Excel rounds more
_FIRST_YEAR = 1900  # of Excel's dates
_LONGEST_LINK = 255  # characters; Excel's HYPERLINK takes no more
_WIDEST, _NARROWEST = 48, 9  # characters of a column
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")  # in XML 1.0

Looks = Mapping[str, Any]
"""How a cell looks, in XlsxWriter's words: {"bg_color": "#ffc7ce"}."""

HEADER: Looks = {"bold": True, "bg_color": "#1f3864", "font_color": "#ffffff", "valign": "top"}
LABEL: Looks = {"italic": True, "bg_color": "#d9e2f3", "text_wrap": True, "valign": "top"}


class Book:
    """A workbook that is written row by row to `file`; complete when its block ends without an error."""

    def __init__(self, file: IO[bytes]) -> None:
        self._parts = tempfile.TemporaryDirectory(prefix="vinbatch-")  # its owner's alone
        options = {"constant_memory": True, "tmpdir": self._parts.name, "default_date_format": "dd/mm/yyyy"}
        self._book = xlsxwriter.Workbook(file, options)
        self._book.use_zip64()
        self._formats: dict[tuple[tuple[str, Any], ...], Any] = {}
        self._sheets: list[Sheet] = []

    def __enter__(self) -> Book:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for sheet in self._sheets:
                    sheet.end()
                self._book.close()
        finally:
            self._parts.cleanup()

    def sheet(
        self,
        name: str,
        heads: Sequence[str],
        labels: Sequence[str] = (),
        *,
        frozen: int = 0,
        protected: bool = False,
    ) -> Sheet:
        """A sheet with these heads, which stay where they are when one scrolls, as do the first `frozen`
        columns. `labels` are a second line of heads. A `protected` one, without a password, can be changed
        only in cells whose looks say {"locked": False}.
        """
        made = Sheet(self, name, heads, labels, frozen, protected)
        self._sheets.append(made)
        return made

    def add(self, name: str, rows: Rows) -> int:
        """A sheet with these rows. Returns their number."""
        sheet, total = self.sheet(name, rows.columns), 0
        for row in rows:
            sheet.append(row)
            total += 1
        return total

    def look(self, looks: Looks) -> Any:
        """XlsxWriter's format of that look, which the book has once."""
        key = tuple(sorted(looks.items()))
        if key not in self._formats:
            self._formats[key] = self._book.add_format(dict(looks))
        return self._formats[key]

    def new_sheet(self, title: str) -> Any:
        return self._book.add_worksheet(title)


class Sheet:
    """A sheet of a book; one that is full goes on in another."""

    def __init__(
        self, book: Book, name: str, heads: Sequence[str], labels: Sequence[str], frozen: int, protected: bool
    ) -> None:
        self._book, self._name, self._heads, self._labels = book, name, heads, labels
        self._frozen, self._protected = frozen, protected
        self._part = 0
        self._widths: dict[int, int] = {}
        self._column_options: dict[int, dict[str, Any]] = {}
        self._lists: list[tuple[int, dict[str, Any]]] = []
        self._begin()

    def fold(self, columns: Iterable[int], *, hidden: bool = False) -> None:
        """Columns that belong together: one click on the sign above them folds them away."""
        for column in columns:
            self._column_options[column] = {"level": 1, "hidden": hidden}

    def hide(self, column: int) -> None:
        self._column_options[column] = {"hidden": True}

    def choices(self, column: int, values: Sequence[str], title: str, help: str) -> None:
        """Cells of the column offer these values alone. `title` has at most 32 characters, `help` 255."""
        told = {"input_title": title, "input_message": help}
        self._lists.append((column, {"validate": "list", "source": list(values), **told}))

    def append(self, row: Sequence[Any], looks: Sequence[Looks | None] | None = None) -> None:
        """One row. A `Link` becomes a link; `looks` are those of its cells."""
        if self._at == _ROWS:
            self.end()
            self._part += 1
            self._begin()
        for column, value in enumerate(row):
            look = looks[column] if looks is not None else None
            if value is not None or look is not None:
                self._write(column, value, look or {})
        self._at += 1

    def end(self) -> None:
        """What can be said only when all rows are there."""
        last = max(self._at - 1, self._top)
        self._sheet.autofilter(self._top - 1, 0, last, len(self._heads) - 1)
        for column in range(len(self._heads)):
            width = min(max(self._widths.get(column, 0) + 2, _NARROWEST), _WIDEST)
            self._sheet.set_column(column, column, width, None, self._column_options.get(column, {}))
        for column, rule in self._lists:
            self._sheet.data_validation(self._top, column, last, column, rule)
        if self._protected:
            allowed = ("format_columns", "format_rows", "sort", "autofilter", "select_locked_cells")
            self._sheet.protect("", dict.fromkeys(allowed, True))

    def _begin(self) -> None:
        suffix = f"_{self._part + 1}" if self._part else ""
        self._sheet = self._book.new_sheet(self._name[: 31 - len(suffix)] + suffix)
        self._at, self._top = 0, 1 + bool(self._labels)
        self._sheet.freeze_panes(self._top, self._frozen)
        self.append(self._heads, [HEADER] * len(self._heads))
        if self._labels:
            self.append(self._labels, [LABEL] * len(self._labels))

    def _write(self, column: int, value: Any, look: Looks) -> None:
        if isinstance(value, Link):
            self._measure(column, value.text)
            if value.url is not None and len(value.url) <= _LONGEST_LINK:
                blue = self._book.look({**look, "font_color": "#0563c1", "underline": 1})
                formula = f'=HYPERLINK("{value.url}","{value.text}")'
                self._sheet.write_formula(self._at, column, formula, blue, value.text)
            return
        shown, look = _shown(value, look)
        self._measure(column, shown if isinstance(shown, str) else plain(shown))
        style = self._book.look(look) if look else None
        match shown:
            case None:
                self._sheet.write_blank(self._at, column, None, style)
            case bool():
                self._sheet.write_boolean(self._at, column, shown, style)
            case datetime() | date():
                self._sheet.write_datetime(self._at, column, shown, style)
            case str():
                self._sheet.write_string(self._at, column, shown, style)
            case _:
                self._sheet.write_number(self._at, column, shown, style)

    def _measure(self, column: int, text: str) -> None:
        if self._at != 1 or not self._labels:  # a label takes several lines
            self._widths[column] = min(max(self._widths.get(column, 0), len(text)), _WIDEST)


class Link:
    """A cell that opens a URL, which has no quotes; empty without one, or with one too long for Excel."""

    def __init__(self, url: str | None, text: str) -> None:
        self.url, self.text = url, text


def _shown(value: Any, look: Looks) -> tuple[Any, Looks]:
    """The value as the cell holds it, and how numbers and dates look in Vietnam.

    Raises UsageError for a text that is too long for a cell.
    """
    if value is None or value == "":
        return None, look
    if isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 10**_DIGITS):
        return value, look
    if isinstance(value, Decimal) and len(value.as_tuple().digits) <= _DIGITS:
        whole = value == value.to_integral_value()
        return value, {**look, "num_format": "#,##0" if whole else "#,##0.00########"}
    if isinstance(value, date) and value.year >= _FIRST_YEAR:
        clock = " hh:mm:ss" if isinstance(value, datetime) else ""
        return value, {**look, "num_format": f"dd/mm/yyyy{clock}"}
    text = _FORBIDDEN.sub("\ufffd", plain(value))
    if len(text.encode("utf-16-le")) // 2 > _CHARACTERS:
        raise UsageError(
            f"a value of {len(text):,} characters does not fit into a cell of Excel; export csv or parquet"
        )
    return text, look
