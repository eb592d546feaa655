"""Where a second look reads another value than the first, what is written or adds up says which stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline import merge
from pipeline.records import Check, Extraction
from tests.pipeline.test_authority import INVOICE, LINES, PRINT, failed, printed
from tests.pipeline.test_text_witness import READ, SHEET, sheet, text

WRITTEN = sheet(*SHEET)


def looked(
    first: dict[str, Any], second: dict[str, Any], *, layer: bool = True, **doubts: float
) -> Extraction:
    """Of a page that was looked at twice, with or without its own text; the text is a witness alone."""
    page = replace(printed(READ | first, **doubts), again=printed(READ | second).fields)
    pages = [replace(page, text=WRITTEN) if layer else page]
    return merge.document(pages, INVOICE, authority=("xml",))


def remarks(made: Extraction) -> dict[str, Check]:
    return {check.fields[0]: check for check in made.checks if check.code == "second_look"}


@pytest.mark.parametrize(
    ("path", "wrong", "right"),
    [
        ("seller_name", "CÔNG TY MẬU", "CÔNG TY MẪU"),
        ("total", "1.100.001", "1.100.000"),
        ("number", "00000132", "00000123"),
        ("seller_tax_code", "9900000023", "9900000016"),  # of which the text says nothing: two digits
    ],
)
def test_the_reading_that_the_text_has_stands_whichever_came_first(path: str, wrong: str, right: str) -> None:
    made, other = looked({path: wrong}, {}), looked({}, {path: wrong})
    assert made.record == other.record == looked({}, {}).record
    [field] = [field for field in made.fields if field.path == path]
    assert (field.raw, field.source) == (right, "read")
    assert path in text(made, "agrees") and failed(made) == failed(other)
    check = remarks(made)[path]
    assert (check.expected, check.found, check.severity) == (right, wrong, "info")
    assert "the text layer has it too" in check.message
    [again] = [said for said in made.testimony if said.source == "again" and said.field == path]
    assert (again.verdict, again.raw) == ("differs", wrong), "the first reading stands beside it now"
    assert not remarks(other)


def test_what_nothing_written_bears_out_stays_as_it_was_read_first() -> None:
    made = looked({"seller_name": "CÔNG TY MẬU"}, {"seller_name": "CÔNG TY MÀU"})
    assert made.record["seller_name"] == "CÔNG TY MẬU" and not remarks(made)
    assert looked({"seller_name": "CÔNG TY MẬU"}, {}, layer=False).record["seller_name"] == "CÔNG TY MẬU"


def test_a_value_that_only_the_second_look_saw_is_taken_where_it_is_written() -> None:
    made = looked({"seller_tax_code": None}, {})
    assert made.record["seller_tax_code"] == "9900000016"
    assert "nothing was read at first" in remarks(made)["seller_tax_code"].message
    assert looked({}, {"seller_tax_code": None}).record["seller_tax_code"] == "9900000016"


def test_without_a_text_the_sums_say_which_reading_stands() -> None:
    made = looked({"net": "1.000.100"}, {}, layer=False)
    assert made.record["net"] == "1000000" and not failed(made) & {"net", "total", "vat"}
    assert "holds with it" in remarks(made)["net"].message
    lines = [LINES[0], LINES[1] | {"amount": "300.100"}, LINES[2]]
    made = looked({"lines": lines}, {}, layer=False)
    assert made.record["lines"][1]["amount"] == "300000" and set(remarks(made)) == {"lines[1].amount"}
    twice = looked({"lines": lines, "vat": "100.010"}, {}, layer=False)
    assert set(remarks(twice)) == {"lines[1].amount", "vat"} and "vat" not in failed(twice)


def test_a_reading_with_which_another_sum_fails_is_not_taken() -> None:
    made = looked({"net": "1.000.100"}, {"net": "1.000.200"}, layer=False)
    assert made.record["net"] == "1000100" and not remarks(made)
    # The total of the second look is what its own net and tax come to, and neither is what the lines do.
    made = looked({"total": "1.200.000"}, {"total": "1.300.000"}, layer=False)
    assert made.record["total"] == "1200000" and not remarks(made)


def test_where_the_two_saw_another_number_of_lines_no_line_is_taken() -> None:
    lines = [LINES[0], LINES[1] | {"amount": "300.100"}, LINES[2]]
    made = looked({"lines": lines}, {"lines": LINES[:2]})
    assert made.record["lines"][1]["amount"] == "300100"


def test_a_page_that_was_looked_at_once_is_as_it_was() -> None:
    page = replace(printed(READ | {"seller_name": "CÔNG TY MẬU"}), text=WRITTEN)
    assert merge.document([page], INVOICE, authority=("xml",)).record["seller_name"] == "CÔNG TY MẬU"
    assert PRINT["seller_name"] == "CÔNG TY MẪU"
