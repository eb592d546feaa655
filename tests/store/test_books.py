"""A workbook as Excel shows it: values of their kind, columns of a width that one can read."""

from __future__ import annotations

import io
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from pipeline.errors import UsageError
from pipeline.store import xlsx
from pipeline.store.query import Rows
from pipeline.store.xlsx import Book, Link


def opened(*rows: list[Any], heads: list[str], **looks: Any) -> list[Worksheet]:
    file = io.BytesIO()
    with Book(file) as book:
        sheet = book.sheet("Hàng", heads, **looks)
        for row in rows:
            sheet.append(row)
    return list(openpyxl.load_workbook(io.BytesIO(file.getvalue())).worksheets)


@pytest.mark.parametrize(
    ("value", "shown", "form"),
    [
        (7, 7, "General"),
        (10**15 - 1, 10**15 - 1, "General"),
        (10**15, "1000000000000000", "General"),  # Excel would round it
        (0.5, 0.5, "General"),
        (True, True, "General"),
        (Decimal("1234"), 1234, "#,##0"),
        (Decimal("1234.5"), 1234.5, "#,##0.00########"),
        (Decimal("123456789012345.6"), "123456789012345.6", "General"),
        (date(2026, 5, 1), datetime(2026, 5, 1), "dd/mm/yyyy"),
        (datetime(2026, 5, 1, 8, 30), datetime(2026, 5, 1, 8, 30), "dd/mm/yyyy hh:mm:ss"),
        (date(1899, 12, 31), "1899-12-31", "General"),
        (date(1900, 3, 1), datetime(1900, 3, 1), "dd/mm/yyyy"),
        ("=1+1", "=1+1", "General"),
        ("a\x0bb", "a\ufffdb", "General"),
        ("x" * 32_767, "x" * 32_767, "General"),
        ("", None, "General"),
        (None, None, "General"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_cell_holds_what_the_value_is(value: Any, shown: Any, form: str) -> None:
    [sheet] = opened([value], heads=["a"])
    cell = sheet["A2"]
    assert (cell.value, cell.number_format) == (shown, form)
    assert cell.data_type != "f"


def test_a_text_that_fits_into_no_cell_is_refused() -> None:
    with pytest.raises(UsageError, match="32,768 characters does not fit"):
        xlsx._shown("x" * 32_768, {})


def test_a_column_is_as_wide_as_its_longest_text_within_bounds() -> None:
    row = ["x" * 20, "x", "x" * 400, Link("http://a/b", "x" * 30)]
    [sheet] = opened(["y"], row, ["z"], heads=list("abcd"))
    widths = [round(sheet.column_dimensions[letter].width) for letter in "ABCD"]
    assert widths == [20 + 3, 9 + 1, 48 + 1, 30 + 3]  # two characters of air, and what Excel adds
    [labelled] = opened(["y"], heads=["a"], labels=["x" * 40])
    assert round(labelled.column_dimensions["A"].width) == 9 + 1  # a label takes several lines
    assert labelled["A2"].value == "x" * 40 and labelled["A3"].value == "y"
    assert labelled.auto_filter.ref == "A2:A3" and labelled.freeze_panes == "A3"


def test_a_link_opens_its_url_or_is_an_empty_cell() -> None:
    links = (Link("http://a/b", "mở"), Link(None, "c"), Link("u" * 256, "d"), Link("u" * 255, "e"))
    [sheet] = opened(list(links), heads=list("abcd"))
    assert sheet["D2"].value == f'=HYPERLINK("{"u" * 255}","e")'
    assert sheet["A2"].value == '=HYPERLINK("http://a/b","mở")'
    assert sheet["B2"].value is sheet["C2"].value is None


def test_a_sheet_that_is_full_goes_on_in_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "_ROWS", 3)
    sheets = opened(*([n] for n in range(5)), heads=["a"])
    assert [sheet.title for sheet in sheets] == ["Hàng", "Hàng_2", "Hàng_3"]
    assert [[row[0] for row in sheet.values] for sheet in sheets] == [["a", 0, 1], ["a", 2, 3], ["a", 4]]


def test_what_is_said_of_a_sheet_holds_for_each_of_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which columns are hidden or folded, what may be chosen, and that it is locked."""
    monkeypatch.setattr(xlsx, "_ROWS", 4)
    file = io.BytesIO()
    with Book(file) as book:
        sheet = book.sheet("Hàng " * 8, ("a", "b", "c"), ("x", "y", "z"), frozen=2, protected=True)
        sheet.fold([1])
        sheet.hide(2)
        sheet.choices(0, ("có", "không"), "Chọn", "ở đây")
        for number in range(3):
            sheet.append((number, Link("http://a/b", "mở"), None), (None, None, {"locked": False}))
        beside = book.sheet("beside", ("a",))
        assert book.add("plain", Rows(("n",), iter([(1,), (2,)]), {})) == 2
        beside.append((True,))
    first, second, other, plain = openpyxl.load_workbook(io.BytesIO(file.getvalue())).worksheets
    assert (first.title, second.title) == (("Hàng " * 8)[:31], ("Hàng " * 8)[:29] + "_2")
    for part, last in ((first, 4), (second, 3)):
        assert [cell.value for cell in part[1]] == ["a", "b", "c"] and part["A1"].font.bold
        assert [cell.value for cell in part[2]] == ["x", "y", "z"] and part["A2"].font.italic
        head, label = part["A1"], part["A2"]
        assert (head.fill.fgColor.rgb[2:], head.font.color.rgb[2:]) == ("1F3864", "FFFFFF")
        assert label.fill.fgColor.rgb[2:] == "D9E2F3" and label.alignment.wrap_text
        assert head.alignment.vertical == label.alignment.vertical == "top"
        assert part.freeze_panes == "C3" and part.auto_filter.ref == f"A2:C{last}"
        assert part.column_dimensions["B"].outlineLevel == 1 and not part.column_dimensions["B"].hidden
        assert part.column_dimensions["C"].hidden
        [rule] = part.data_validations.dataValidation
        assert str(rule.sqref) == ("A3:A4" if last == 4 else "A3") and rule.formula1 == '"có,không"'
        assert (rule.promptTitle, rule.prompt) == ("Chọn", "ở đây")
        lock = part.protection
        assert lock.sheet and not (lock.sort or lock.autoFilter or lock.formatColumns or lock.formatRows)
        assert lock.insertRows and not lock.password
        assert not part["C3"].protection.locked and part["A3"].protection.locked
    assert first["B3"].font.underline == "single" and first["B3"].font.color.rgb[2:] == "0563C1"
    assert not other.protection.sheet and other["A2"].value is True and other.freeze_panes == "A2"
    assert list(plain.iter_rows(values_only=True)) == [("n",), (1,), (2,)]


def test_a_sheet_without_rows_has_a_head_that_can_be_filtered() -> None:
    [empty] = opened(heads=["a", "b"], labels=["x", "y"])
    assert empty.auto_filter.ref == "A2:B3" and empty.max_row == 2
