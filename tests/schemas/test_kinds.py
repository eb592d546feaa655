# ruff: noqa: E501  (a paper a line reads best)
"""Sound papers of unusual kinds go through; the same papers with a planted error do not.

The kinds are those that issuers of real invoices, shops and card offices print (tests/schemas/kinds.py).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import date

import pytest

from schemas import qr
from schemas.evidence import Claim
from schemas.registry import resolve
from tests.schemas.kinds import (
    BORN,
    CARDS,
    HEAD,
    INCOMPLETE,
    INVOICES,
    MIXED,
    OLD,
    RATED,
    RECEIPTS,
    SLIP,
    TWO,
    WARES,
    Printed,
    both_sides,
    card,
    in_words,
    invoice,
    judged,
    plain,
    rows,
    stopped,
)


@pytest.mark.parametrize("kind", INVOICES)
def test_a_sound_invoice_is_not_stopped(kind: str) -> None:
    assert stopped("invoice@2", INVOICES[kind]) == {}


@pytest.mark.parametrize("kind", RECEIPTS)
def test_a_sound_receipt_is_not_stopped(kind: str) -> None:
    assert stopped("receipt@2", RECEIPTS[kind]) == {}


@pytest.mark.parametrize("kind", CARDS)
def test_a_sound_card_is_not_stopped(kind: str) -> None:
    assert stopped("id_card@2", CARDS[kind]) == {}


@pytest.mark.parametrize("kind", INCOMPLETE)
def test_what_an_invoice_must_bear_and_does_not_is_named(kind: str) -> None:
    printed, lacking = INCOMPLETE[kind]
    checks = judged("invoice@2", printed).checks
    failed = [check for check in checks if not check.passed and check.severity != "info"]
    assert {check.code for check in failed} == {"expected"}
    assert {path for check in failed for path in check.fields} == lacking


@pytest.mark.parametrize("kind", INVOICES)
def test_version_one_judges_the_same_where_it_has_the_fields(kind: str) -> None:
    """From XML it has them all, and from a page only what it asks for."""
    assert stopped("invoice@1", INVOICES[kind]) == {}


DOLLARS = rows("Software | 2 | 617,25 USD | 1.234,50 USD", "Support | 1 | 100,00 USD | 100,00 USD")
FAULTY: dict[str, tuple[str, Printed, str]] = {
    "dollars beside every amount, and no currency line": (
        "invoice@2",
        invoice(DOLLARS, "1.334,50 USD", "0%", "0", "1.334,50 USD", total_in_words=None),
        "currency",
    ),
    "whole dollars beside every amount": (
        "invoice@2",
        invoice(rows("Software | 2 | 617 USD | 1.234 USD"), "1.234 USD", "0%", "0", "1.234 USD"),
        "currency",
    ),
    "a dollar sign and đồng as currency": (
        "invoice@2",
        invoice(rows("Software | 2 | $617 | $1,234"), "$1,234", "0%", "0", "$1,234", currency="VND"),
        "currency",
    ),
    "dollars in words alone": (
        "invoice@2",
        invoice(rows("Software | 2 | 600 | 1.200"), "1.200", "0%", "0", "1.200", total_in_words="Một nghìn hai trăm đô la Mỹ"),
        "currency",
    ),
    "cents, and no currency": (
        "invoice@2",
        invoice(rows("Software | 1 | 1.234,50 | 1.234,50"), "1.234,50", "0%", "0", "1.234,50", total_in_words=None),
        "coins",
    ),
    "a total beyond net and VAT, in digits and in words": (
        "invoice@2", invoice(TWO, "215.000", "8%", "17.200", "332.200"), "total",
    ),
    "a VAT of one đồng too much": ("invoice@2", invoice(TWO, "215.000", "8%", "17.201", "232.201"), "vat"),
    "a net of one đồng too much": ("invoice@2", invoice(TWO, "215.001", "8%", "17.200", "232.201"), "net"),
    "a total of one đồng too much": ("invoice@2", invoice(TWO, "215.000", "8%", "17.200", "232.201"), "total"),
    "a discount column that does not fit": (
        "invoice@2",
        invoice([TWO[0] | {"discount_rate": "10%", "amount": "82.000"}, TWO[1]], "207.000", "8%", "16.560", "223.560"),
        "line_amount",
    ),
    "a discount that no column says": (
        "invoice@2",
        invoice([TWO[0] | {"amount": "81.000"}, TWO[1]], "206.000", "8%", "16.480", "222.480"),
        "line_amount",
    ),
    "a gift that is charged after all": (
        "invoice@2",
        invoice(rows("Sữa | 2 | 45.000 | 90.000", "Cốc | 2 | 10.000 | 0"), "110.000", "8%", "8.800", "118.800"),
        "line_amount",
    ),
    "fees that are missing in the total": (
        "invoice@2", invoice(TWO, "215.000", "8%", "17.200", "232.200", fees="5.000"), "total",
    ),
    "a rounded price that is off by more": (
        "invoice@2",
        invoice(rows("Dịch vụ | 700 | 142.857 | 100.001.000"), "100.001.000", "8%", "8.000.080", "108.001.080"),
        "line_amount",
    ),
    "a round price": (
        "invoice@2",
        invoice(rows("Sữa | 700 | 45.000 | 31.500.100"), "31.500.100", "8%", "2.520.008", "34.020.108"),
        "line_amount",
    ),
    "a note where an amount was lost": (
        "invoice@2",
        invoice([*TWO, {"no": "3", "name": "Gạo"}], "235.000", "8%", "18.800", "253.800"),
        "net",
    ),
    "a line number missing": (
        "invoice@2",
        invoice([TWO[0], TWO[1] | {"no": "3"}], "215.000", "8%", "17.200", "232.200"),
        "line_numbers",
    ),
    "lines that were read twice": (
        "invoice@2", invoice([*TWO, *TWO], "215.000", "8%", "17.200", "232.200"), "line_numbers",
    ),
    "8% in 2027": (
        "invoice@2", plain(issue_date="05/01/2027", series="C27TAA"), "vat_rate",
    ),
    "7% in 2022": (
        "invoice@2",
        invoice(TWO, "215.000", "7%", "15.050", "230.050", **OLD | {"issue_date": "15/01/2022"}),
        "vat_rate",
    ),
    "an old form in July 2022": (
        "invoice@2",
        invoice(TWO, "215.000", "10%", "21.500", "236.500", **OLD | {"series": "AA/22E", "issue_date": "01/07/2022"}),
        "series",
    ),
    "an old series of the year after": (
        "invoice@2", invoice(TWO, "215.000", "10%", "21.500", "236.500", **OLD | {"series": "AA/22E"}), "series_year",
    ),
    "an old series with a new form": (
        "invoice@2", invoice(TWO, "215.000", "10%", "21.500", "236.500", **OLD | {"form_no": "1"}), "form_no",
    ),
    "an old number of eight digits": (
        "invoice@2", invoice(TWO, "215.000", "10%", "21.500", "236.500", **OLD | {"number": "00000123"}), "number",
    ),
    "K with the authority's code": ("invoice@2", plain(series="K26TAA"), "series_code"),
    "a code that lost a sign": (
        "invoice@2", plain(tax_authority_code=HEAD["tax_authority_code"][:-1]), "tax_authority_code",
    ),
    "a cash register of another year": (
        "invoice@2", plain(series="C26MAA", tax_authority_code="M1-25-ABCDE-00000000123"), "register_code",
    ),
    "a cash register's code on another invoice": (
        "invoice@2", plain(tax_authority_code="M1-26-ABCDE-00000000123"), "register_code",
    ),
    "seller and buyer are one": ("invoice@2", plain(buyer_tax_code="9900000016"), "parties"),
    "a person born after the invoice": ("invoice@2", plain(buyer_tax_code="079390000007"), "tax_code"),
    "a wrong digit behind a lost zero": ("invoice@2", plain(seller_tax_code="100109107"), "tax_code"),
    "words of another amount, taken off": (
        "invoice@2",
        invoice(rows("Sữa | -2 | 45.000 | -90.000"), "-90.000", "8%", "-7.200", "-97.200", total_in_words="Giảm chín mươi nghìn đồng"),
        "total_in_words",
    ),
    "a sign that only the digits have, and nothing is adjusted": (
        "invoice@2",
        invoice(rows("Sữa | 2 | -45.000 | -90.000"), "-90.000", "8%", "-7.200", "-97.200", total_in_words=in_words(97200)),
        "total_in_words",
    ),
    "a delivery note of which one price was not read": (
        "invoice@2",
        invoice([TWO[0], TWO[1] | {"amount": None}], None, None, None, None, form_no="6", series="C26NAB"),
        "required",
    ),
    "no total": ("invoice@2", plain(total=None), "required"),
    "a sign that only the words have": (
        "invoice@2", plain(total_in_words="Trừ hai trăm nghìn đồng"), "total_in_words",
    ),
    "two of three rates' totals": (
        "invoice@2",
        invoice(TWO, "215.000", None, "14.500", "229.500", by_rate=[{"rate": "8%", "net": "125.000", "vat": "10.000"}]),
        "vat",
    ),
    "a rate's total with another VAT": (
        "invoice@2",
        invoice(
            TWO, "215.000", None, "14.600", "229.600",
            by_rate=[{"rate": "5%", "net": "90.000", "vat": "4.500"}, {"rate": "8%", "net": "125.000", "vat": "10.100"}],
        ),
        "vat",
    ),
    "a line under another rate than its total": (
        "invoice@2", MIXED | {"lines": [MIXED["lines"][0] | {"vat_rate": "8%"}, MIXED["lines"][1]]}, "net",
    ),
    "an untaxed total with another digit": (
        "invoice@2",
        invoice(
            rows("Thu hộ | 1 | 45.000 | 45.000", "Kẹo | 10 | 12.500 | 125.000"), "170.000", None, "10.000", "180.000",
            by_rate=[{"rate": "KCT", "net": "43.000", "vat": "0"}, {"rate": "8%", "net": "125.000", "vat": "10.000"}],
        ),
        "net",
    ),
    "fees that are not their sum": (
        "invoice@2",
        invoice(TWO, "215.000", "8%", "17.200", "237.200", fees="5.000", each_fee=[{"name": "Phí", "amount": "3.000"}]),
        "fees",
    ),
    "a discount that is not its rate": (
        "invoice@2",
        invoice(
            [TWO[0] | {"discount_rate": "70%", "discount": "9.000", "amount": "81.000"}, TWO[1]],
            "206.000", "8%", "16.480", "222.480",
        ),
        "line_discount",
    ),
    "a net whose lines of goods are gone": (
        "invoice@2",
        invoice([{"no": None, "name": "Tờ khai số 30651"}], "230.000", "0%", "0", "230.000"),
        "net",
    ),
    "a total whose lines of goods are gone": (
        "invoice@2", invoice([{"no": None, "name": "(đã giảm 20%)"}], None, None, None, "99.000", form_no="2"), "total",
    ),
    "a net that is the total once more": (
        "invoice@2",
        invoice(rows("Tivi | 1 | 10.800.000 | 10.800.000"), "10.800.000", "8%", "800.000", "10.800.000"),
        "vat",
    ),
    "a line that a gift and a discount together would explain": (
        "invoice@2",
        invoice(
            rows("Cước | | | 250.000 | 10%", "Thu hộ | | | 5.000 | KKKNT", "Khuyến mại trừ cước | | | -20.000 | 10%", columns=RATED),
            "245.000", None, "23.000", "268.000",
        ),
        "net",
    ),
    "a VAT without a net, and nothing is adjusted": (
        "invoice@2", invoice(rows("Sữa | | | 0"), "0", "8%", "20.000", "20.000"), "vat",
    ),
    "tax on a line struck out": (
        "invoice@2", invoice(TWO, "215.000", "/", "17.200", "232.200"), "vat",
    ),
    "a receipt beyond its lines": ("receipt@2", SLIP | {"lines": WARES, "total": "110.000"}, "total"),
    "a receipt with another VAT": ("receipt@2", SLIP | {"lines": WARES, "vat": "8.000", "total": "109.000"}, "total"),
    "a receipt that was rounded too far": (
        "receipt@2", SLIP | {"lines": [WARES[0] | {"amount": "90.200", "unit_price": "45.100"}], "total": "92.000"}, "total",
    ),
    "a rounded total of nothing, read with a 0 for its first digit": (
        "receipt@2",
        SLIP | {"lines": [WARES[0], {"name": "Kẹo", "amount": "10.450"}], "rounding": "-450", "total": "000.000"},
        "total",
    ),
    "a receipt rounded by more than a note": (
        "receipt@2",
        SLIP | {"lines": [WARES[0], WARES[1] | {"unit_price": "20.300", "amount": "20.300"}], "rounding": "-10.300", "total": "100.000"},
        "total",
    ),
    "a figure of a receipt that says how it was rounded": (
        "receipt@2",
        SLIP | {"lines": [WARES[0], WARES[1] | {"unit_price": "10.348", "amount": "10.348"}], "rounding": "-338", "total": "100.000"},
        "total",
    ),
    "change that is short": (
        "receipt@2", SLIP | {"lines": WARES, "total": "100.000", "paid": "200.000", "change": "99.500"}, "change",
    ),
    "a misread note of money": (
        "receipt@2", SLIP | {"lines": WARES, "total": "100.000", "paid": "200.300", "change": "100.000"}, "change",
    ),
    "dollars on a receipt": (
        "receipt@2", SLIP | {"lines": [{"name": "Coffee", "amount": "$5.00"}], "total": "$5.00"}, "currency",
    ),
    "45 where 45k is meant": (
        "receipt@2",
        SLIP | {"lines": [{"name": "Cà phê", "quantity": "2", "unit_price": "45k", "amount": "90"}], "total": "90k"},
        "line_amount",
    ),
    "another name in the zone": ("id_card@2", both_sides("NGUYỄN THỊ MẪU", "NGUYEN THI MAI"), "mrz_full_name"),
    "an apostrophe and another name": ("id_card@2", both_sides("H'HEN NIÊ", "HHAN NIE"), "mrz_full_name"),
    "another year in the number": ("id_card@2", card(number="079198000007"), "number_birth_year"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAULTY)
def test_a_faulty_paper_is_stopped(kind: str) -> None:
    schema, printed, code = FAULTY[kind]
    assert code in stopped(schema, printed)


FIGURES = ("net", "vat", "total")


def misread(text: str) -> Iterator[str]:
    """The text with each of its digits read as another one."""
    dice = random.Random(text)
    for found in re.finditer("[0-9]", text):
        other = dice.choice([digit for digit in "0123456789" if digit != found[0]])
        yield text[: found.start()] + other + text[found.end() :]


@pytest.mark.medium
@pytest.mark.parametrize("figure", FIGURES)
def test_no_digit_of_a_sum_may_be_misread(figure: str) -> None:
    """A sum of whole figures has no tolerance: each digit of the VAT, the net and the total is borne out."""
    passed = [
        (kind, other)
        for kind, printed in INVOICES.items()
        if all(printed[name] for name in FIGURES) and printed["vat"] not in ("0", "$0.00")
        for other in misread(printed[figure])
        if not stopped("invoice@2", printed | {figure: other})
    ]
    assert passed == []


def test_a_remark_stops_nothing_and_says_the_cure() -> None:
    made = judged("invoice@2", INVOICES["first zero lost"])
    [remark] = [check for check in made.checks if check.code == "tax_code_zero"]
    assert (remark.severity, remark.expected, remark.found) == ("info", "0100109106", "100109106")
    assert made.record["seller_tax_code"] == "100109106"

    made = judged("invoice@2", INVOICES["an adjustment downwards without a sign"])
    assert [check.expected for check in made.checks if check.code == "total_sign"] == ["-97200"]

    made = judged("invoice@2", INVOICES["a discount below that was not read"])
    [implied] = [check for check in made.checks if check.code == "discount_implied"]
    assert (implied.expected, implied.fields) == ("15000", ("net", "vat", "total"))


def test_an_old_series_is_held_against_its_own_time() -> None:
    for day, verdict in (("15/01/2022", "was in use then"), ("01/07/2022", "was not in use then")):
        printed = invoice(TWO, "215.000", "10%", "21.500", "236.500", **OLD | {"issue_date": day})
        [check] = [one for one in judged("invoice@2", printed).checks if one.code == "series"]
        assert check.message.endswith(verdict)


def test_the_codes_issue_date_tells_the_expiry_that_the_front_prints() -> None:
    spec = resolve("id_card@2")
    front = {"number": "079199000007", "date_of_birth": "1999-01-01", "expiry": "2039-01-01"}
    for issued, right in ((date(2024, 8, 15), True), (date(2021, 3, 4), False)):
        code = qr.build("079199000007", "NGUYỄN THỊ MẪU", BORN, "Nữ", "Số 1, Hà Nội", issued)
        said = spec.claims(spec.evidence[0], front, code)
        [found] = [item for item in said if not isinstance(item, Claim)]
        assert (found.code, found.passed) == ("qr_expiry", right)
