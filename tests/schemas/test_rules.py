"""The built-in rules: each finds its fault with its figures, and keeps quiet where a value is absent."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import mrz, vat
from schemas.checks import CheckResult
from schemas.dates import UNLIMITED
from schemas.id_card import PROVINCES, expiries
from schemas.invoice import Invoice
from schemas.registry import BUILT_IN, resolve
from schemas.words import to_words
from tests.schemas.kinds import well_told

INVOICE: dict[str, Any] = {
    "form_no": "1",
    "series": "C26TAA",
    "number": "00000123",
    "issue_date": "2026-11-05",
    "tax_authority_code": "00A1B2C3D4E5F6A7B8C9D0E1F2A3B4C5D6",
    "seller_name": "Công ty TNHH Mẫu",
    "seller_tax_code": "9900000016",
    "buyer_name": "Hộ kinh doanh Mẫu",
    "buyer_tax_code": "099199000007",
    "seller_address": "Số 1, Hà Nội",
    "buyer_address": "Số 2, Hà Nội",
    "payment_method": "TM/CK",
    "currency": "VND",
    "lines": [
        {"no": 1, "name": "Sữa", "quantity": "2", "unit_price": "45000", "amount": "90000", "vat_rate": None},
        {
            "no": 2,
            "name": "Kẹo",
            "quantity": "1.5",
            "unit_price": "20001",
            "amount": "30002",
            "vat_rate": None,
        },
    ],
    "net": "120002",
    "vat_rate": "8%",
    "vat": "9600",
    "total": "129602",
    "total_in_words": "Một trăm hai mươi chín nghìn sáu trăm linh hai đồng",
}
RECEIPT: dict[str, Any] = {
    "store": "Cửa hàng Mẫu",
    "tax_code": "9900000016",
    "address": "Số 1, Hà Nội",
    "number": "HD000123",
    "date": "2026-11-05",
    "lines": [
        {"name": "Sữa", "quantity": "2", "unit_price": "45000", "amount": "90000"},
        {"name": "Kẹo", "quantity": None, "unit_price": None, "amount": "10000"},
    ],
    "total": "100000",
    "paid": "200000",
    "change": "100000",
}
BORN, ISSUED = date(1999, 1, 1), date(2022, 3, 4)
CARD: dict[str, Any] = {
    "number": "079199000007",
    "full_name": "Nguyễn Thị Hoà",
    "date_of_birth": "1999-01-01",
    "sex": "Nữ",
    "nationality": "Việt Nam",
    "place_of_origin": "Xã Mẫu, Hà Nội",
    "personal_identification": "Nốt ruồi c: 1cm dưới mép trái",
    "place_of_residence": "Số 1, đường Hoà Bình, Hà Nội",
    "expiry": "2024-01-01",
    "issue_date": "2021-03-04",
    "mrz": mrz.build("079199000007", BORN, "Nữ", date(2024, 1, 1), "Nguyễn Thị Hoà"),
}


def faults(schema: str, record: dict[str, Any]) -> dict[str, CheckResult]:
    """The failed checks by code, but for what such a paper bears as a rule (test_required.py)."""
    spec = resolve(schema)
    results = spec.run_checks(record)
    well_told(spec, results)
    return {check.code: check for check in results if not check.passed and check.code != "expected"}


def line(n: int, **changed: Any) -> dict[str, Any]:
    lines = [dict(item) for item in INVOICE["lines"]]
    lines[n] |= changed
    return {"lines": lines}


@pytest.mark.parametrize(
    ("schema", "record"), [("invoice", INVOICE), ("receipt", RECEIPT), ("id_card", CARD)]
)
def test_a_right_record_passes_and_says_what_was_compared(schema: str, record: dict[str, Any]) -> None:
    results = resolve(schema).run_checks(record)
    assert [result for result in results if not result.passed] == []
    assert len(results) >= 4
    assert all(result.message and result.code for result in results)


@pytest.mark.parametrize("schema", list(BUILT_IN))
def test_an_empty_record_fails_nothing_but_what_is_required(schema: str) -> None:
    assert set(faults(schema, {})) == {"required"}
    absent = dict.fromkeys(resolve(schema).model.model_fields)
    assert set(faults(schema, absent)) == {"required"}


def test_without_a_net_the_lines_and_the_vat_make_the_total() -> None:
    assert "total" not in faults("invoice", INVOICE | {"net": None})
    (wrong,) = (
        one
        for one in resolve("invoice").run_checks(INVOICE | {"net": None, "total": "139602"})
        if one.code == "total" and not one.passed
    )
    assert wrong.message.startswith("the lines and the VAT make 129,602, the total is 139,602")


@pytest.mark.parametrize(
    ("changed", "parts"), [({}, "net and VAT"), ({"discount": "1000"}, "net, VAT, fees and discount")]
)
def test_a_wrong_total_is_said_with_what_it_was_summed_of(changed: dict[str, Any], parts: str) -> None:
    results = resolve("invoice").run_checks(INVOICE | changed | {"total": "139602"})
    (wrong,) = (one for one in results if one.code == "total" and not one.passed)
    assert wrong.message.startswith(f"{parts} make ")


@pytest.mark.parametrize("name", [name for name in INVOICE if name not in (*Invoice.required, "total")])
def test_a_single_absent_value_fails_no_rule(name: str) -> None:
    assert faults("invoice", INVOICE | {name: None}) == {}


@pytest.mark.parametrize(
    ("schema", "record", "required"),
    [
        ("invoice", INVOICE, "series number issue_date seller_name seller_tax_code lines total"),
        ("receipt", RECEIPT, "date lines total"),
        ("id_card", CARD, "number full_name"),
    ],
)
def test_a_required_field_that_is_missing_is_said(schema: str, record: dict[str, Any], required: str) -> None:
    for name in required.split():
        fault = faults(schema, {**record, name: [] if name == "lines" else None})["required"]
        assert (fault.severity, fault.fields) == ("error", (name,))
        assert name in fault.message


@pytest.mark.parametrize(
    ("changed", "code", "figures"),
    [
        (line(0, amount="90002"), "line_amount", ("90000", "90002")),
        (line(0, quantity="20"), "line_amount", ("900000", "90000")),
        ({"net": "120005"}, "net", ("120002", "120005")),
        ({"vat": "9603"}, "vat", ("9600.16", "9603")),
        ({"vat_rate": "10%"}, "vat", ("12000.2", "9600")),
        ({"total": "139602"}, "total", ("129602", "139602")),
        ({"total_in_words": "Một trăm nghìn đồng"}, "total_in_words", ("100000", "129602")),
        ({"total_in_words": "Một trăm nghìm đồng"}, "total_in_words", ("129602", "Một trăm nghìm đồng")),
        ({"seller_tax_code": "9900000017"}, "tax_code", (None, "9900000017")),
        ({"buyer_tax_code": "9900000016-000"}, "tax_code", (None, "9900000016-000")),
        ({"series": "C26XAAA"}, "series", ("C or K, year, type, two letters", "C26XAAA")),
        ({"series": "Z26TAA"}, "series", ("C or K, year, type, two letters", "Z26TAA")),
        ({"series": "2C26TAA"}, "form_no", ("2", "1")),
        ({"series": "C25TAA"}, "series_year", ("26", "25")),
        ({"number": "123456789"}, "number", ("at most 8", "9")),
        (
            {"tax_authority_code": "A" * 35},
            "tax_authority_code",
            ("34 characters, or like M1-26-ABCDE-00000000001", "A" * 35),
        ),
        ({"issue_date": "2027-01-01", "series": "C27TAA"}, "vat_rate", (None, "8%")),
        ({"vat_rate": "7%"}, "vat_rate", (None, "7%")),
        ({"series": "K26TAA"}, "series_code", ("C", "K")),
        ({"buyer_tax_code": "9900000016"}, "parties", (None, "9900000016")),
        ({"seller_tax_code": "990000016"}, "tax_code", (None, "990000016")),
        ({"buyer_tax_code": "099499000007"}, "tax_code", (None, "099499000007")),
        # Whatever the day of the invoice is, nobody is born after this century.
        ({"buyer_tax_code": "099400000007", "issue_date": None}, "tax_code", (None, "099400000007")),
        ({"form_no": "01GTKT0/001"}, "form_no", ("1 to 9", "01GTKT0/001")),
        (
            {"series": "AA/25E", "form_no": "01GTKT0/001"},
            "series",
            ("C or K, year, type, two letters", "AA/25E"),
        ),
        ({"total": "129602.5", "total_in_words": None}, "coins", (None, "129602.5")),
        (line(1, no=3), "line_numbers", ("1 to 2", "1, 3")),
    ],
)
def test_a_wrong_invoice_is_found_out(
    changed: dict[str, Any], code: str, figures: tuple[str | None, str | None]
) -> None:
    found = faults("invoice", INVOICE | changed)
    assert code in found
    assert (found[code].expected, found[code].found) == figures
    assert found[code].fields
    assert found[code].severity in ("warning", "error")


def test_what_rounding_explains_is_no_fault() -> None:
    """1.5 × 20001 = 30001.5 may be printed either way, and the net may be made before or after that."""
    net = {"net": "120001", "total": "129601", "total_in_words": None}
    assert faults("invoice", INVOICE | net) == {}
    assert faults("invoice", INVOICE | net | line(1, amount="30001")) == {}
    assert faults("invoice", INVOICE | line(1, amount="30001")) == {}
    assert "net" in faults("invoice", INVOICE | net | {"net": "120003"})


NO_LINES = {"lines": [], "total_in_words": None}
DOLLARS = {
    "currency": "USD",
    "lines": [{"no": n, "quantity": "3", "unit_price": "0.10", "amount": "0.30"} for n in (1, 2)],
    "net": "0.60",
    "vat_rate": "10%",
    "vat": "0.06",
    "total": "0.66",
    "total_in_words": None,
}


@pytest.mark.parametrize(
    ("changed", "code", "field", "right", "wrong"),
    [
        # A line: 1.5 × 20001 = 30001.5, and the price may be rounded.
        ({"net": None}, "line_amount", "lines", "30002.25", "30003"),
        ({"net": None}, "line_amount", "lines", "30000.75", "30000"),
        # Sums of whole figures: nothing. The net may also be that of the products, 120001.5.
        ({"total": None, "vat": None}, "net", "net", "120002", "120003"),
        ({"total": None, "vat": None}, "net", "net", "120001", "120000"),
        ({"total": None}, "vat", "vat", "9601", "9602"),
        ({"total": None}, "vat", "vat", "9600", "9599"),
        ({"total": None} | NO_LINES, "vat", "vat", "9601", "9602"),
        ({}, "total", "total", "129602", "129603"),
        (NO_LINES, "total", "total", "129602", "129601"),
        # In another currency: cents.
        (DOLLARS | {"net": None}, "line_amount", "lines", "0.31", "0.32"),
        (DOLLARS | {"total": None, "vat": None}, "net", "net", "0.60", "0.61"),
        (DOLLARS | {"total": None}, "vat", "vat", "0.06", "0.07"),
        (DOLLARS, "total", "total", "0.66", "0.67"),
    ],
)
def test_how_far_a_figure_may_be_off(
    changed: dict[str, Any], code: str, field: str, right: str, wrong: str
) -> None:
    for printed, off in ((right, False), (wrong, True)):
        record = INVOICE | {"total_in_words": None} | changed
        if field == "lines":
            first, second = record["lines"]
            record |= {"lines": [first, second | {"amount": printed}]}
        else:
            record |= {field: printed}
        assert (code in faults("invoice", record)) is off, printed


def test_a_discount_line_counts_with_its_sign_or_without() -> None:
    discount = {"no": 3, "name": "Chiết khấu thương mại", "amount": "-2"}
    for amount in ("-20000", "20000"):
        lines = [*INVOICE["lines"], discount | {"amount": amount}]
        record = INVOICE | {"lines": lines, "net": "100002", "vat": "8000", "total": "108002"}
        assert faults("invoice", record | {"total_in_words": None}) == {}
        assert "net" in faults("invoice", record | {"net": "90000"})


def test_a_discount_on_a_receipt() -> None:
    lines = [*RECEIPT["lines"], {"name": "Giảm giá", "amount": "10000"}]
    assert faults("receipt", RECEIPT | {"lines": lines, "total": "90000", "change": "110000"}) == {}
    lines[1] = {"name": "Kẹo", "quantity": "1", "amount": None}
    found = faults("receipt", RECEIPT | {"lines": lines, "total": "90000", "change": "110000"})
    assert {check.fields for check in found.values()} == {("lines[1].amount",), ("lines[1].unit_price",)}


def test_vat_at_several_rates_is_summed_over_the_lines() -> None:
    lines = [INVOICE["lines"][0] | {"vat_rate": "10%"}, INVOICE["lines"][1] | {"vat_rate": "KCT"}]
    record = INVOICE | {
        "lines": lines,
        "vat_rate": None,
        "vat": "9000",
        "total": "129002",
        "total_in_words": None,
    }
    assert faults("invoice", record) == {}
    assert faults("invoice", record | {"vat": "9600"})["vat"].expected == "9000"


def test_without_a_printed_vat_the_total_is_compared_only_where_none_is_charged() -> None:
    record = INVOICE | {"vat": None, "total": "120002", "total_in_words": None}
    assert faults("invoice", record | {"vat_rate": "KCT"}) == {}
    assert "total" in faults("invoice", record | {"vat_rate": "KCT", "total": "120009"})
    assert "total" not in faults("invoice", record | {"total": "999"})


def test_cents_are_counted_in_another_currency() -> None:
    record = INVOICE | {"currency": "USD", "net": "120002.05"}
    assert "net" in faults("invoice", record)
    assert "total_in_words" not in faults("invoice", record | {"total_in_words": "một"})


@pytest.mark.medium
@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_words_and_digits_disagree_exactly_when_they_differ(said: int, printed: int) -> None:
    record = {"total": str(printed), "total_in_words": to_words(said).capitalize() + " đồng"}
    assert ("total_in_words" in faults("invoice", record)) is (said != printed)


@pytest.mark.parametrize(
    ("changed", "code", "figures"),
    [
        ({"total": "100003"}, "total", ("100000", "100003")),
        ({"change": "90000"}, "change", ("100000", "90000")),
        ({"tax_code": "9900000010"}, "tax_code", (None, "9900000010")),
        ({"lines": [RECEIPT["lines"][0] | {"quantity": "3"}]}, "line_amount", ("135000", "90000")),
    ],
)
def test_a_wrong_receipt_is_found_out(
    changed: dict[str, Any], code: str, figures: tuple[str | None, str | None]
) -> None:
    found = faults("receipt", RECEIPT | changed)[code]
    assert (found.expected, found.found) == figures


@pytest.mark.parametrize(
    ("rate", "day", "right"),
    [
        ("8%", date(2022, 1, 31), False),
        ("8%", date(2022, 2, 1), True),
        ("8%", date(2023, 6, 30), False),
        ("8%", date(2023, 7, 1), True),
        ("8%", date(2026, 12, 31), True),
        ("8%", date(2027, 1, 1), False),
        ("8%", None, True),
        ("6%", None, False),
        ("7%", date(2021, 10, 31), False),
        ("7%", date(2021, 11, 1), True),
        ("3.5%", date(2021, 12, 31), True),
        ("3.5%", date(2022, 1, 1), False),
        ("/", date(2026, 1, 1), True),
        ("10%", date(2010, 1, 1), True),
        ("KCT", date(2026, 1, 1), True),
        ("KHAC:5.26%", date(2026, 1, 1), True),
    ],
)
def test_rates_are_dated(rate: str, day: date | None, right: bool) -> None:
    assert vat.in_force(rate, day) is right


@pytest.mark.parametrize(
    ("changed", "codes"),
    [
        ({"number": "079198000007"}, {"number_birth_year"}),
        ({"number": "079399000007"}, {"number_birth_year"}),
        ({"number": "079099000007"}, {"number_sex"}),
        ({"number": "099199000007"}, {"number_province"}),
        ({"sex": "Nam"}, {"number_sex"}),
        ({"date_of_birth": "1999-02-01"}, {"expiry"}),
        ({"expiry": "2024-01-02"}, {"expiry"}),
        ({"expiry": "2020-01-01"}, {"date_order", "expiry"}),
        ({"issue_date": "2024-08-01"}, {"date_order", "expiry", "form_date"}),
        ({"date_of_birth": "2009-01-01"}, {"number_birth_year", "expiry", "issue_age"}),
        ({"issue_date": "2022-01-01"}, {"expiry"}),
        ({"number": "012345678", "mrz": None}, {"cmnd_expired"}),
    ],
)
def test_a_wrong_card_is_found_out(changed: dict[str, Any], codes: set[str]) -> None:
    assert set(faults("id_card", CARD | changed)) == codes


# What each rule of the card looked at, and how bad a miss is: by hand, from the rules' own words.
RULES_OF_THE_CARD = {
    "form_date": ("error", ("issue_date",)),
    "issue_age": ("error", ("date_of_birth", "issue_date")),
    "number_province": ("info", ("number",)),
    "number_birth_year": ("error", ("number", "date_of_birth")),
    "number_sex": ("error", ("number", "sex")),
    "date_order": ("error", ("date_of_birth", "issue_date", "expiry")),
    "expiry": ("warning", ("date_of_birth", "issue_date", "expiry")),
}
RULES_OF_THE_INVOICE = {
    "line_amount": ("error", None),  # of each line its own
    "net": ("error", ("lines", "net")),
    "vat": ("error", ("net", "vat_rate", "vat")),
    "total": ("error", ("net", "vat", "total")),
    "total_in_words": ("error", ("total", "total_in_words")),
    "tax_code": ("error", None),
    "parties": ("warning", ("seller_tax_code", "buyer_tax_code")),
    "coins": ("warning", ("total", "currency")),
    "form_no": ("warning", ("form_no", "series")),
    "series_code": ("warning", ("series", "tax_authority_code")),
    "series": ("warning", ("series",)),
    "series_year": ("warning", ("series", "issue_date")),
    "number": ("warning", ("number",)),
    "tax_authority_code": ("warning", ("tax_authority_code",)),
    "vat_rate": ("warning", ("issue_date", "vat_rate")),
    "line_numbers": ("warning", ("lines[0].no", "lines[1].no")),
}


@pytest.mark.parametrize(
    ("schema", "record", "expected"),
    [("id_card", CARD, RULES_OF_THE_CARD), ("invoice", INVOICE, RULES_OF_THE_INVOICE)],
    ids=["id_card", "invoice"],
)
def test_each_rule_says_what_it_looked_at_and_how_bad_a_miss_is(
    schema: str, record: dict[str, Any], expected: dict[str, tuple[str, Any]]
) -> None:
    results = resolve(schema).run_checks(record)
    assert {result.code for result in results} == expected.keys()
    results = tuple(result for result in results if result.fields != ("buyer_tax_code",))  # a person's number
    for result in results:
        severity, fields = expected[result.code]
        assert result.severity == severity, result.code
        assert fields is None or result.fields == fields, result.code


@pytest.mark.parametrize(
    ("changed", "code", "severity", "fields"),
    [
        ({"number": "012345678", "mrz": None}, "cmnd_expired", "info", ("number",)),
        ({"expiry": "2024-01-02", "issue_date": None}, "expiry", "warning", ("date_of_birth", "expiry")),
    ],
)
def test_a_miss_names_its_fields(
    changed: dict[str, Any], code: str, severity: str, fields: tuple[str, ...]
) -> None:
    found = faults("id_card", CARD | changed)[code]
    assert (found.severity, found.fields, found.passed) == (severity, fields, False)


def test_an_unusual_province_is_told_but_not_a_reason_for_review() -> None:
    assert (
        faults("id_card", CARD | {"number": "099199000007", "mrz": None})["number_province"].severity
        == "info"
    )
    assert len(PROVINCES) == 63


@pytest.mark.parametrize(
    ("born", "issued", "until"),
    [
        (date(1999, 1, 1), date(2016, 1, 1), date(2024, 1, 1)),
        (date(1999, 1, 1), date(2021, 12, 31), date(2024, 1, 1)),
        (date(1999, 1, 1), date(2022, 1, 1), date(2039, 1, 1)),
        (date(1999, 1, 1), date(2037, 1, 1), date(2059, 1, 1)),
        (date(2015, 5, 5), date(2024, 8, 1), date(2029, 5, 5)),
        (date(1950, 1, 1), date(2021, 1, 1), UNLIMITED),
        (date(1965, 1, 1), date(2023, 1, 1), UNLIMITED),
    ],
)
def test_a_card_lasts_to_the_next_milestone(born: date, issued: date, until: date) -> None:
    assert expiries(born, issued) == {until}
    assert until in expiries(born, None)


def test_a_birthday_on_a_leap_day_has_two_days_in_other_years() -> None:
    assert expiries(date(2000, 2, 29), date(2021, 5, 1)) == {date(2025, 2, 28), date(2025, 3, 1)}


def test_a_card_without_expiry() -> None:
    old = CARD | {
        "number": "079050000007",
        "sex": "Nam",
        "date_of_birth": "1950-01-01",
        "expiry": UNLIMITED.isoformat(),
    }
    assert faults("id_card", old) == {}
