"""Form, series, number and the authority's code: what they say in themselves, and their common form."""

from __future__ import annotations

import pytest

from schemas import numbering
from schemas.identity import identity
from schemas.numbering import Series


@pytest.mark.parametrize(
    ("printed", "read"),
    [
        ("C26TAA", Series("new", None, "C", "26", "T")),
        ("1K25MYY", Series("new", "1", "K", "25", "M")),
        ("AA/21E", Series("old", None, None, "21", "E")),
        ("01AB/18P", Series("old", None, None, "18", "P")),
        ("C26XAA", Series("new", None, "C", "26", "X")),
        ("Z26TAA", None),
        ("C26ZAA", None),
        ("C26TA", None),
        ("0C26TAA", None),
        ("AA/21X", None),
        ("A/21E", None),
    ],
)
def test_a_series(printed: str, read: Series | None) -> None:
    assert numbering.series(printed) == read


def test_a_form() -> None:
    assert [numbering.form_digit(form) for form in ("1", "01", "01/GTGT", "01GTGT", "9")] == [*"1111", "9"]
    assert [numbering.form_digit(form) for form in ("0", "12", "01GTKT0/001", "A")] == [None] * 4
    assert [numbering.is_old_form(form) for form in ("01GTKT0/001", "02GTTT3/012", "1", "01GTKT0")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_the_authoritys_code() -> None:
    sent = "00A1B2C3D4E5F6A7B8C9D0E1F2A3B4C5D6"
    assert numbering.authority_code(sent) == ("sent", None)
    assert numbering.authority_code(sent.lower()) == ("sent", None)
    assert numbering.authority_code("M1-26-ABCDE-00000000123") == ("register", "26")
    assert [numbering.authority_code(wrong) for wrong in (sent[1:], sent + "0", "M1-26-ABCDE-123")] == [
        None
    ] * 3


ONE = ("9900000016", "1", "C26TAA", "00000123")


@pytest.mark.parametrize(
    "copy",
    [
        ("9900000016", None, "1C26TAA", "123"),
        ("9900000016", "01", "C26TAA", "0000123"),
        ("9900000016", "01/GTGT", "1C26TAA", "00000123"),
        ("9900000016", None, "C26TAA", "123"),
        ("99 0000 0016", "1", "c26taa", " 123"),
    ],
)
def test_copies_of_one_invoice_have_one_common_form(copy: tuple[str, str | None, str, str]) -> None:
    assert identity(*copy) == identity(*ONE)


def test_a_lost_zero_makes_no_other_seller() -> None:
    whole, lost = identity("0100109106-001", *ONE[1:]), identity("100109106-001", *ONE[1:])
    assert whole == lost != identity("0100109106", *ONE[1:])


@pytest.mark.parametrize("at", range(4))
def test_another_part_is_another_invoice(at: int) -> None:
    other = ("9900000104", "2", "C26TAB", "00000124")
    assert identity(*ONE[:at], other[at], *ONE[at + 1 :]) != identity(*ONE)


def test_old_forms_are_told_apart() -> None:
    old = identity("9900000016", "01GTKT0/001", "AA/21E", "0000123")
    assert old == identity("9900000016", "01gtkt0/001", "AA/21E", "123")
    assert old != identity("9900000016", "01GTKT0/002", "AA/21E", "0000123")
