"""Files of corrections are of others: what they may take is bounded, and what is wrong is one line."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import openpyxl
import pytest
import xlsxwriter

from pipeline.corrections import grid, table, workbook
from pipeline.errors import UsageError
from pipeline.store import formats, to_check

Parts = dict[str, bytes]
KEY = "k0-0-0"


def sheet(*rows: tuple[object, ...], heads: tuple[str, ...] = grid.COLUMNS) -> bytes:
    book = openpyxl.Workbook()
    page = book.active
    page.title = to_check.SHEET
    for row in (heads, *rows):
        page.append(row)
    book.save(held := io.BytesIO())
    return held.getvalue()


def changed(data: bytes, change: Callable[[Parts], None]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        kept = {name: parts.read(name) for name in parts.namelist()}
    change(kept)
    with zipfile.ZipFile(held := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as parts:
        for name, content in kept.items():
            parts.writestr(name, content)
    return held.getvalue()


SOUND = sheet(("/in/a", "total", "30.000", None, KEY))
_SHEET = "xl/worksheets/sheet1.xml"


def bomb(parts: Parts) -> None:
    parts["xl/media/zeros.bin"] = bytes(15 * 2**20)


def large_texts(parts: Parts) -> None:
    parts["xl/styles.xml"] = b" " * (17 * 2**20)


def laughs(parts: Parts) -> None:
    entity = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    parts[_SHEET] = parts[_SHEET].replace(b"<worksheet", entity + b"<worksheet", 1)


def wide_laughs(parts: Parts) -> None:
    laughs(parts)
    parts[_SHEET] = parts[_SHEET].decode().encode("utf-16")


def broken(parts: Parts) -> None:
    parts[_SHEET] = parts[_SHEET][:-40]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (bomb, "zip bomb"),
        (large_texts, "zip bomb"),
        (laughs, "document type"),
        (wide_laughs, "not in UTF-8"),
        (broken, "cannot be read as a workbook"),
        (lambda parts: parts.pop("xl/workbook.xml"), "cannot be read as a workbook"),
    ],
)
def test_a_hostile_workbook_ends_in_one_line(change: Callable[[Parts], None], why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        workbook.entries(changed(SOUND, change), "x.xlsx")
    assert caught.value.message.startswith("x.xlsx") and "\n" not in caught.value.message


def test_a_row_far_down_and_a_cell_far_right_cost_nothing() -> None:
    def far(parts: Parts) -> None:
        cell = b'<c r="ZZZ900000000000" t="inlineStr"><is><t>x</t></is></c>'
        row = b'<row r="900000000000">' + cell + b"</row></sheetData>"
        parts[_SHEET] = parts[_SHEET].replace(b"</sheetData>", row)

    [entry] = workbook.entries(changed(SOUND, far), "x.xlsx")
    assert (entry.uri, entry.text) == ("/in/a", "30.000")


def test_what_is_no_sheet_to_check_is_told() -> None:
    with pytest.raises(UsageError, match="it has no columns document_uri, field, correction, ruling, key"):
        workbook.entries(sheet(heads=("a", "b", "c", "d", "e")), "x.xlsx")
    xlsxwriter.Workbook(held := io.BytesIO()).close()
    with pytest.raises(UsageError, match="it has no sheet 'to check'"):
        workbook.entries(held.getvalue(), "x.xlsx")
    with pytest.raises(UsageError, match="row 2 has lost its document_uri or key"):
        workbook.entries(sheet(("/in/a", "total", "30.000", None, None)), "x.xlsx")
    with pytest.raises(UsageError, match="is not UTF-8; save it as"):
        table.entries("document_uri;đ".encode("cp1258", "replace") + b"\xff", "x.csv")
    with pytest.raises(UsageError, match=r"x\.csv is no CSV|it has no columns"):
        table.entries(b'"' + b"a" * 200_000, "x.csv")


def test_a_csv_gives_back_what_was_made_harmless() -> None:
    for text in ("=1+1", "'=1", "-5", "@x", "'tis", "Bút"):
        assert formats.unharmed(formats.harmless(text)) == text
    heads = ",".join(grid.COLUMNS)
    [entry] = table.entries(f"{heads}\n/in/a,total,'+84 90,,{KEY}\n".encode(), "x.csv")
    assert entry.text == "+84 90"
