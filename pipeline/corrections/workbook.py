"""A workbook of answers. It is of others: it is read within bounds, and no formula is computed.

A workbook is a zip of XML. Sizes are held against bounds before anything is unpacked (what a member says of
its size is never exceeded: the zip library stops there), document types, with which XML can grow without end,
are refused, and only the sheet "to check" is read, row by row.
"""

# Imported only when a workbook is read: openpyxl takes long to load.

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import openpyxl

from pipeline.corrections import grid
from pipeline.corrections.entry import Entry
from pipeline.errors import UsageError
from pipeline.store import to_check

_MOST_PARTS = 2000
_MOST_ROWS = 1_048_576
_MOST_COLUMNS = 64
_MOST_CHARACTERS = 32_767  # of a cell, in Excel
_MIB = 2**20
_MOST_SHEET, _MOST_TEXTS, _MOST_OTHER = 512 * _MIB, 128 * _MIB, 16 * _MIB  # bytes unpacked
_MOST_RATIO = 200  # unpacked / packed, of all parts together; sheets have about 10
_ALWAYS = 8 * _MIB  # bytes unpacked that are taken whatever the ratio
_DECLARED = re.compile(rb"<\?xml[^>]{0,200}encoding\s*=\s*[\"']([\w.-]+)", re.IGNORECASE)
_CHUNK = 1 * _MIB


def entries(data: bytes, name: str) -> Sequence[Entry]:
    """The rows of the sheet "to check" in which a person has written something. Raises UsageError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            _look_at(parts)
        return tuple(grid.entries(_rows(data)))
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}") from None
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # noqa: BLE001  of a damaged workbook openpyxl may raise anything
        raise UsageError(f"{name} cannot be read as a workbook ({type(error).__name__})") from None


def _look_at(parts: zipfile.ZipFile) -> None:
    """Raises UsageError for what would take too much, or is not what Excel writes."""
    members = parts.infolist()
    if len(members) > _MOST_PARTS:
        raise UsageError(f"it has more than {_MOST_PARTS:,} parts")
    unpacked, packed = (
        sum(getattr(item, size) for item in members) for size in ("file_size", "compress_size")
    )
    if unpacked > max(_ALWAYS, _MOST_RATIO * packed):
        raise UsageError("it would grow too much when unpacked, and is refused as a zip bomb")
    for item in members:
        sheet = item.filename.startswith("xl/worksheets/")
        most = _MOST_SHEET if sheet else _MOST_TEXTS if "sharedStrings" in item.filename else _MOST_OTHER
        if item.file_size > most:
            raise UsageError(f"its part {item.filename[:60]!r} has more than {most:,} bytes")
        if item.filename.endswith((".xml", ".rels")):
            _refuse_types(parts, item)


def _refuse_types(parts: zipfile.ZipFile, item: zipfile.ZipInfo) -> None:
    """In UTF-8 alone, so that the words are found."""
    with parts.open(item) as file:
        chunk = file.read(_CHUNK)
        declared = _DECLARED.search(chunk)
        if b"\0" in chunk[:200] or (declared is not None and declared[1].lower() != b"utf-8"):
            raise UsageError("its XML is not in UTF-8, which Excel always writes")
        while chunk:
            if b"<!DOCTYPE" in chunk:
                raise UsageError("its XML has a document type, which Excel never writes")
            more = file.read(_CHUNK)
            chunk = chunk[-16:] + more if more else b""


def _rows(data: bytes) -> Iterator[Sequence[grid.Cell | grid.Unread]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts of Excel's that openpyxl leaves out
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, keep_links=False)
        try:
            if to_check.SHEET not in book.sheetnames:
                raise UsageError(f"it has no sheet {to_check.SHEET!r}")
            found = book[to_check.SHEET].iter_rows(max_col=_MOST_COLUMNS)
            for row in islice(found, _MOST_ROWS):
                yield [_cell(cell) for cell in row]
        finally:
            book.close()


def _cell(cell: Any) -> grid.Cell | grid.Unread:
    value = cell.value
    if cell.data_type == "f":
        return grid.Unread("a formula")
    if not isinstance(value, grid.Cell):
        return grid.Unread("a time of day or the like")
    if isinstance(value, str) and len(value) > _MOST_CHARACTERS:
        raise UsageError("a cell is longer than Excel's may be")
    return value
