# ruff: noqa: E501  (a paper a line reads best)
"""Sound papers of unusual kinds, as they are printed, and what is done with a printed page of any kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import cache
from typing import Any, get_args

from pipeline import merge
from pipeline.normal import normal
from pipeline.records import Extraction, Field, PageRecord
from schemas import mrz
from schemas.checks import CheckResult, Severity
from schemas.registry import SchemaSpec, resolve
from schemas.shape import Group, Leaf, Repeated, leaf_path
from schemas.words import to_words

Printed = dict[str, Any]


@cache
def spec_of(schema: str) -> SchemaSpec:
    return resolve(schema)


def judged(schema: str, printed: Mapping[str, Any]) -> Extraction:
    """The document of one page on which these texts are printed, merged and checked as in a run.

    A text that the grammar would not let the model write is an error of the test.
    """
    spec = spec_of(schema)
    fields = tuple(_fields(spec.shape, printed, ""))
    made = merge.document([PageRecord(1, fields)], spec)
    well_told(spec, made.checks)
    return made


def well_told(spec: SchemaSpec, checks: Iterable[CheckResult]) -> None:
    """Each check has a severity, names fields and suspects that there are, and says what it found."""
    leaves = [path for path, _ in spec.shape.leaves()]
    lists = {path.rpartition("[]")[0] for path in leaves if "[]" in path}
    there = {*leaves, *lists, *(f"{path}[]" for path in lists)}
    for check in checks:
        assert check.severity in get_args(Severity), check
        assert {leaf_path(path) for path in (*check.fields, *(check.suspects or ()))} <= there, check
        if check.code in SAYING_NOT or (check.code == "form_no" and " go" in check.message):
            assert bool(re.search(r"\b(?:not|no|none|neither)\b", check.message)) != check.passed, check
        assert not (check.passed and "differ by" in check.message), check


# Checks whose sentence says in words whether they passed, and not with two figures side by side.
SAYING_NOT = {
    *("coins", "date_order", "form_date", "line_numbers", "notes", "number_province", "series"),
    *("series_code", "tax_authority_code", "vat_rate"),
}


def stopped(schema: str, printed: Mapping[str, Any]) -> dict[str, str]:
    """The failed checks that send the paper to a person, by code."""
    made = judged(schema, printed)
    failed = {
        check.code: check.message for check in made.checks if not check.passed and check.severity != "info"
    }
    assert bool(failed) == (made.state == "review")
    return failed


def _fields(group: Group, printed: Mapping[str, Any], prefix: str) -> Iterator[Field]:
    names = {node.name for node in group.fields}
    assert set(printed) <= names, f"no such fields: {set(printed) - names}"
    for node in group.fields:
        path, value = f"{prefix}{node.name}", printed.get(node.name)
        if isinstance(node, Leaf):
            yield _value(node, path, value)
        elif isinstance(node, Repeated):
            assert isinstance(node.item, Group)
            yield Field(path, None, len(value or ()), 1.0, "read", 1)
            for i, item in enumerate(value or ()):
                yield from _fields(node.item, item, f"{path}[{i}].")


def _value(leaf: Leaf, path: str, raw: str | None) -> Field:
    if raw is None:
        return Field(path, None, None, 1.0, "read", 1)
    form = leaf.printed
    assert re.fullmatch(form.pattern, raw), f"{path}: no page can be read as {raw!r}"
    assert len(raw) <= form.max_chars, f"{path}: {raw!r} is too long"
    value, problem = normal(leaf, raw)
    return Field(path, raw, value, 1.0, "read", 1, problem=problem)


HEAD: Printed = {
    "form_no": "1",
    "series": "C26TAA",
    "number": "00000123",
    "issue_date": "Ngày 05 tháng 11 năm 2026",
    "tax_authority_code": "00A1B2C3D4E5F6A7B8C9D0E1F2A3B4C5D6",
    "seller_name": "CÔNG TY TNHH MẪU",
    "seller_tax_code": "9900000016",
    "seller_address": "Số 1 đường Mẫu, Hà Nội",
    "buyer_name": "CÔNG TY CỔ PHẦN THỬ",
    "buyer_tax_code": "9900000104",
    "buyer_address": "Số 2 đường Mẫu, Hà Nội",
    "payment_method": "TM/CK",
}
OLD: Printed = {
    "form_no": "01GTKT0/001",
    "series": "AA/21E",
    "number": "0000123",
    "issue_date": "05/11/2021",
    "tax_authority_code": None,
}


def in_words(amount: int) -> str:
    words = to_words(amount)
    return f"{words[0].upper()}{words[1:]} đồng"


def rows(*texts: str, columns: str = "name quantity unit_price amount") -> list[Printed]:
    """Lines from "Sữa | 2 | 45.000 | 90.000"; nothing between two bars is nothing on the paper."""
    names = columns.split()
    lines = []
    for number, text in enumerate(texts, 1):
        cells = [cell.strip() or None for cell in text.split("|")]
        line = dict(zip(names, [*cells, *[None] * (len(names) - len(cells))], strict=True))
        lines.append({"no": str(number), **line})
    return lines


RATED = "name quantity unit_price amount vat_rate"


def invoice(
    lines: list[Printed], net: str | None, rate: str | None, vat: str | None, total: str | None, **more: Any
) -> Printed:
    """A printed invoice; the total is said in words too, unless `total_in_words` is given."""
    said: Printed = {}
    if total is not None and "total_in_words" not in more and "currency" not in more:
        said["total_in_words"] = in_words(int(re.sub(r"[^\d-]", "", total)))
    figures = {"lines": lines, "net": net, "vat_rate": rate, "vat": vat, "total": total}
    return {**HEAD, **figures, **said, **more}


TWO = rows("Sữa | 2 | 45.000 | 90.000", "Kẹo | 10 | 12.500 | 125.000")


def plain(**more: Any) -> Printed:
    """An ordinary invoice with what makes it unusual."""
    return invoice(TWO, "215.000", "8%", "17.200", more.pop("total", "232.200"), **more)


BY_RATE = [{"rate": "5%", "net": "90.000", "vat": "4.500"}, {"rate": "8%", "net": "125.000", "vat": "10.000"}]
MIXED = invoice(
    rows("Sữa | 2 | 45.000 | 90.000 | 5%", "Kẹo | 10 | 12.500 | 125.000 | 8%", columns=RATED),
    "215.000", None, "14.500", "229.500", by_rate=BY_RATE,
)  # fmt: skip

INVOICES: dict[str, Printed] = {
    # numbering
    "form and series apart": plain(),
    "form printed with the series": plain(form_no=None, series="1C26TAA"),
    "form in both places": plain(series="1C26TAA"),
    "form as 01/GTGT": plain(form_no="01/GTGT"),
    "form as 01": plain(form_no="01"),
    "K: without the authority's code": plain(series="K26TAA", tax_authority_code=None),
    "code in small letters": plain(tax_authority_code="00a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6"),
    "cash register": plain(series="C26MAA", tax_authority_code="M1-26-ABCDE-00000000123"),
    "cash register, code as of others": plain(series="C26MAA"),
    "number without zeros": plain(number="7"),
    "number of eight digits": plain(number="12345678"),
    "form 2, a sale without VAT": invoice(TWO, None, None, None, "215.000", form_no="2"),
    "form 2, with a net": invoice(TWO, "215.000", None, None, "215.000", form_no="2"),
    "form 5, an e-ticket": plain(form_no="5", series="K26GVE", tax_authority_code=None),
    "form 6, a delivery note": invoice(TWO, None, None, None, "215.000", form_no="6", series="C26NAB"),
    "form 6, what is sent to a branch, without prices": invoice(
        [line | {"unit_price": None, "amount": None} for line in TWO], None, None, None, None, form_no="6", series="C26NAB",
        payment_method=None,
    ),
    "form 6, what is sent to an agent, without a total": invoice(
        TWO, None, None, None, None, form_no="6", series="C26BAB"
    ),
    "form 7, commercial": plain(form_no="7", series="K26XAB", tax_authority_code=None),
    "old form, electronic": invoice(TWO, "215.000", "10%", "21.500", "236.500", **OLD),
    "old form of another seller": invoice(TWO, "215.000", "10%", "21.500", "236.500", **OLD | {"series": "LC/21E"}),
    "old form, printed on order": invoice(
        TWO, "215.000", "10%", "21.500", "236.500",
        **OLD | {"form_no": "01GTKT3/001", "series": "AB/19P", "issue_date": "05/11/2019"},
    ),
    "old form, bought of the authority": invoice(
        TWO, None, None, None, "215.000",
        **OLD | {"form_no": "02GTTT3/001", "series": "01AA/18P", "issue_date": "05/11/2018"},
    ),
    "old series of the year before": invoice(
        TWO, "215.000", "10%", "21.500", "236.500", **OLD | {"series": "AA/20E"}
    ),
    "old form on its last day": invoice(
        TWO, "215.000", "10%", "21.500", "236.500", **OLD | {"series": "AA/22E", "issue_date": "30/06/2022"}
    ),
    "new form of a pioneer in 2021": invoice(
        TWO, "215.000", "10%", "21.500", "236.500", series="C21TAA", issue_date="15/12/2021"
    ),
    # parties
    "household with a personal number": plain(seller_tax_code="079199000007"),
    "person as buyer": plain(buyer_tax_code="001085000123"),
    "person born in this century": plain(buyer_tax_code="001201000123"),
    "person's number before July 2025": plain(
        buyer_tax_code="079199000007", issue_date="05/03/2025", series="C25TAA"
    ),
    "branch": plain(seller_tax_code="9900000016-001"),
    "branch with spaces": plain(seller_tax_code="9900000016 - 001"),
    "branch without a dash": plain(seller_tax_code="9900000016001"),
    "branch sells to its head office": plain(seller_tax_code="9900000104-001"),
    "digits in boxes": plain(seller_tax_code="9 9 0 0 0 0 0 0 1 6"),
    "first zero lost": plain(seller_tax_code="100109106"),
    "first zero of a branch lost": plain(seller_tax_code="100109106-001"),
    "buyer who wants no invoice": plain(
        buyer_name="Khách lẻ không lấy hóa đơn", buyer_tax_code=None, payment_method="Tiền mặt"
    ),
    "foreign buyer": plain(buyer_name="ACME Trading Pte. Ltd.", buyer_tax_code=None),
    "for the seller's own use": plain(
        buyer_name="CÔNG TY TNHH MẪU", buyer_tax_code="9900000016", payment_method="Tiêu dùng nội bộ"
    ),
    # rates
    "rate 10%": invoice(TWO, "215.000", "10%", "21.500", "236.500"),
    "rate 5%": invoice(TWO, "215.000", "5%", "10.750", "225.750"),
    "rate 0%": invoice(TWO, "215.000", "0%", "0", "215.000"),
    "rate 0%, no VAT printed": invoice(TWO, "215.000", "0%", None, "215.000"),
    "KCT": invoice(TWO, "215.000", "KCT", "0", "215.000"),
    "KCT, no VAT printed": invoice(TWO, "215.000", "KCT", None, "215.000"),
    "KKKNT": invoice(TWO, "215.000", "KKKNT", "0", "215.000"),
    "not taxable in words": invoice(TWO, "215.000", "Không chịu thuế", "0", "215.000"),
    "not taxable in capitals": invoice(TWO, "215.000", "KHÔNG CHỊU THUẾ GTGT", None, "215.000"),
    "not declared in words": invoice(TWO, "215.000", "Không kê khai, tính nộp thuế GTGT", None, "215.000"),
    "rate struck out by a slash": invoice(TWO, "215.000", "/", None, "215.000"),
    "rate struck out by a cross": invoice(TWO, "215.000", "x", None, "215.000"),
    "rate struck out by a dash": invoice(TWO, "215.000", "-", "0", "215.000"),
    "rate of another law": invoice(TWO, "215.000", "KHAC:5,26%", "11.309", "226.309"),
    "rate without its sign": plain(vat_rate="8"),
    "rate with a zero before it": plain(vat_rate="08%"),
    "7% of late 2021": invoice(
        TWO, "215.000", "7%", "15.050", "230.050", **OLD | {"issue_date": "15/12/2021"}
    ),
    "3,5% of late 2021": invoice(
        TWO, "215.000", "3,5%", "7.525", "222.525", **OLD | {"issue_date": "15/12/2021"}
    ),
    "10% x 70% of late 2021": invoice(
        TWO, "215.000", "10% x 70%", "15.050", "230.050", **OLD | {"issue_date": "15/12/2021"}
    ),
    "several rates": invoice(
        rows("Sữa | 2 | 45.000 | 90.000 | 5%", "Kẹo | 10 | 12.500 | 125.000 | 8%", columns=RATED),
        "215.000", None, "14.500", "229.500",
    ),
    "several rates, named below": invoice(
        rows("Sữa | 2 | 45.000 | 90.000 | 5%", "Kẹo | 10 | 12.500 | 125.000 | 8%", columns=RATED),
        "215.000", "5%, 8%", "14.500", "229.500",
    ),
    "several rates, struck out below": invoice(
        rows("Sữa | 2 | 45.000 | 90.000 | KCT", "Kẹo | 10 | 12.500 | 125.000 | 8%", columns=RATED),
        "215.000", "/", "10.000", "225.000",
    ),
    "8% on the lines alone": invoice(
        rows("Sữa | 2 | 45.000 | 90.000 | 8%", "Kẹo | 10 | 12.500 | 125.000 | 8%", columns=RATED),
        "215.000", None, "17.200", "232.200",
    ),
    "each rate's own total": invoice(
        TWO, "215.000", None, "14.500", "229.500",
        by_rate=[
            {"rate": "5%", "net": "90.000", "vat": "4.500"},
            {"rate": "8%", "net": "125.000", "vat": "10.000"},
        ],
    ),
    "an earlier invoice of 8% adjusted when 10% was the rate": plain(
        issue_date="15/03/2023", series="C23TAA",
        related_invoice="Thay thế cho hóa đơn ký hiệu C22TAA số 5 ngày 20/12/2022",
    ),
    # dates
    "date with slashes": plain(issue_date="05/11/2026"),
    "date with dashes": plain(issue_date="5-11-2026"),
    "date as ISO 8601": plain(issue_date="2026-11-05"),
    "date in two languages": plain(issue_date="Ngày (Date) 05 tháng (month) 11 năm (year) 2026"),
    "date in two languages, day": plain(issue_date="Ngày (day) 05 tháng (month) 11 năm (year) 2026"),
    "date with both its names": plain(issue_date="Ngày/Date: 05/11/2026"),
    "date of making": plain(issue_date="Ngày lập: 05/11/2026"),
    # figures and currencies
    "commas between thousands": invoice(
        rows("Sữa | 2 | 45,000 | 90,000"), "90,000", "8%", "7,200", "97,200"
    ),
    "spaces between thousands": invoice(
        rows("Sữa | 2 | 45 000 | 90 000"), "90 000", "8%", "7 200", "97 200"
    ),
    "đ behind amounts": invoice(rows("Sữa | 2 | 45.000đ | 90.000đ"), "90.000đ", "8%", "7.200đ", "97.200đ"),
    "VNĐ behind amounts, and as currency": invoice(
        rows("Sữa | 2 | 45.000 | 90.000 VNĐ"), "90.000 VNĐ", "8%", "7.200 VNĐ", "97.200 VNĐ",
        currency="VNĐ", total_in_words=in_words(97200),
    ),
    "đồng as currency": plain(currency="Đồng Việt Nam", total_in_words=in_words(232200)),
    "idle decimals": invoice(
        rows("Sữa | 2,00 | 45.000,00 | 90.000,00"), "90.000,00", "8%", "7.200,00", "97.200,00",
        total_in_words=in_words(97200),
    ),
    "dollars with their rate": invoice(
        rows("Software | 1 | 1.234,50 | 1.234,50"), "1.234,50", "10%", "123,45", "1.357,95",
        currency="USD", exchange_rate="25.345",
    ),
    "dollars with a sign, and named": invoice(
        rows("Software | 2 | $617.25 | $1,234.50"), "$1,234.50", "0%", "$0.00", "$1,234.50", currency="USD"
    ),
    "dollars in words": invoice(
        rows("Software | 2 | 600,00 | 1.200,00"), "1.200,00", "0%", "0", "1.200,00",
        currency="USD", total_in_words="Một nghìn hai trăm đô la Mỹ",
    ),
    "euro": invoice(rows("Máy | 3 | 99,99 | 299,97"), "299,97", "8%", "24,00", "323,97", currency="EUR"),
    "yen, which have no coins": invoice(
        rows("Máy | 1 | 123.455 | 123.455"), "123.455", "10%", "12.346", "135.801", currency="JPY"
    ),
    # lines
    "a unit price rounded from the amount": invoice(
        rows("Dịch vụ | 700 | 142.857 | 100.000.000"), "100.000.000", "8%", "8.000.000", "108.000.000"
    ),
    "a unit price with two decimals": invoice(
        rows("Vít | 3.000 | 333,33 | 1.000.000"), "1.000.000", "8%", "80.000", "1.080.000"
    ),
    "a unit price with four decimals": invoice(
        rows("Xăng | 45,678 | 21.890,9091 | 999.933"), "999.933", "10%", "99.993", "1.099.926"
    ),
    "litres worked out from the price": invoice(
        rows("Xăng RON95 | 22,862 | 21.870 | 500.000"), "500.000", "8%", "40.000", "540.000"
    ),
    "quantity with three decimals": invoice(
        rows("Thịt | 1,255 | 120.000 | 150.600"), "150.600", "5%", "7.530", "158.130"
    ),
    "no quantities": invoice(rows("Tư vấn | | | 10.000.000"), "10.000.000", "8%", "800.000", "10.800.000"),
    "quantity without a price": invoice(
        rows("Trọn gói | 1 | | 10.000.000"), "10.000.000", "8%", "800.000", "10.800.000"
    ),
    "noughts for no quantity and no price": invoice(
        rows("Tư vấn | 0 | 0 | 10.000.000"), "10.000.000", "8%", "800.000", "10.800.000"
    ),
    "a note among the lines": invoice(
        [*TWO, {"no": None, "name": "(Theo hợp đồng số 12 ngày 01/10/2026)"}],
        "215.000", "8%", "17.200", "232.200",
    ),
    "a heading before the lines": invoice(
        [{"no": None, "name": "Kỳ cước tháng 10"}, *TWO], "215.000", "8%", "17.200", "232.200"
    ),
    "a note by its nature": invoice(
        [*TWO, {"no": "3", "name": "Giao tại kho", "nature": "4"}], "215.000", "8%", "17.200", "232.200"
    ),
    "a gift with a price and amount 0": invoice(
        [*TWO, *rows("Cốc (hàng khuyến mại) | 2 | 10.000 | 0")], "215.000", "8%", "17.200", "232.200",
    ) | {"lines": rows("Sữa | 2 | 45.000 | 90.000", "Kẹo | 10 | 12.500 | 125.000", "Cốc (hàng khuyến mại) | 2 | 10.000 | 0")},
    "a gift that nothing names": invoice(
        rows("Sữa | 2 | 45.000 | 90.000", "Kẹo | 10 | 12.500 | 125.000", "Cốc | 2 | 10.000 | 0"),
        "215.000", "8%", "17.200", "232.200",
    ),
    "a gift without a price": invoice(
        rows("Sữa | 2 | 45.000 | 90.000", "Kẹo | 10 | 12.500 | 125.000", "Cốc tặng kèm | 2 | 0 | 0"),
        "215.000", "8%", "17.200", "232.200",
    ),
    "a gift whose amount is shown and not charged": invoice(
        rows("Sữa | 2 | 45.000 | 90.000", "Kẹo | 10 | 12.500 | 125.000", "Hàng tặng: cốc | 2 | 10.000 | 20.000"),
        "215.000", "8%", "17.200", "232.200",
    ),
    "a gift by its nature": invoice(
        [*TWO, {"no": "3", "name": "Cốc", "quantity": "2", "unit_price": "10.000", "amount": "20.000", "nature": "2"}],
        "215.000", "8%", "17.200", "232.200",
    ),
    "a discount line with its sign": invoice(
        [*TWO, {"no": "3", "name": "Chiết khấu thương mại", "amount": "-15.000"}],
        "200.000", "8%", "16.000", "216.000",
    ),
    "a discount line without its sign": invoice(
        [*TWO, {"no": "3", "name": "Chiết khấu thương mại", "amount": "15.000"}],
        "200.000", "8%", "16.000", "216.000",
    ),
    "a discount line in brackets": invoice(
        [*TWO, {"no": "3", "name": "CKTM", "amount": "(15.000)"}], "200.000", "8%", "16.000", "216.000"
    ),
    "a discount under another name": invoice(
        [*TWO, {"no": "3", "name": "Hỗ trợ bán hàng quý 3", "amount": "15.000"}],
        "200.000", "8%", "16.000", "216.000",
    ),
    "a reward for turnover": invoice(
        [*TWO, {"no": "3", "name": "Thưởng doanh số tháng 9", "quantity": "1", "unit_price": "15.000", "amount": "15.000"}],
        "200.000", "8%", "16.000", "216.000",
    ),
    "a discount by its nature": invoice(
        [*TWO, {"no": "3", "name": "Theo chương trình tháng 9", "quantity": "1", "unit_price": "15.000",
                "amount": "15.000", "nature": "3"}],
        "200.000", "8%", "16.000", "216.000",
    ),
    "a voucher": invoice(
        [*TWO, {"no": "3", "name": "Voucher 15K", "amount": "-15.000"}], "200.000", "8%", "16.000", "216.000"
    ),
    "a discount column in đồng": invoice(
        [TWO[0] | {"discount": "9.000", "amount": "81.000"}, TWO[1]], "206.000", "8%", "16.480", "222.480"
    ),
    "a discount column in percent": invoice(
        [TWO[0] | {"discount_rate": "10%", "amount": "81.000"}, TWO[1]], "206.000", "8%", "16.480", "222.480"
    ),
    "both discount columns": invoice(
        [TWO[0] | {"discount_rate": "10", "discount": "9.000", "amount": "81.000"}, TWO[1]],
        "206.000", "8%", "16.480", "222.480",
    ),
    "an odd discount in percent": invoice(
        [TWO[0] | {"discount_rate": "12,5%", "amount": "78.750"}, TWO[1]], "203.750", "8%", "16.300", "220.050"
    ),
    "a discount column, taken off below": invoice(
        [TWO[0] | {"discount": "9.000"}, TWO[1]], "206.000", "8%", "16.480", "222.480"
    ),
    "a discount below the sum": invoice(
        TWO, "215.000", "8%", "16.000", "216.000", discount="15.000"
    ),
    "a discount below, the net without it": invoice(
        TWO, "200.000", "8%", "16.000", "216.000", discount="15.000"
    ),
    "a discount after the VAT": invoice(TWO, "215.000", "8%", "17.200", "222.200", discount="10.000"),
    "a discount below that was not read": invoice(TWO, "215.000", "8%", "16.000", "216.000"),
    "fees": invoice(TWO, "215.000", "8%", "17.200", "237.200", fees="5.000"),
    "fees and a discount": invoice(
        TWO, "215.000", "8%", "16.000", "221.000", fees="5.000", discount="15.000"
    ),
    "several rates and a discount below": invoice(
        rows("Sữa | 2 | 45.000 | 90.000 | 5%", "Kẹo | 10 | 12.500 | 125.000 | 8%", columns=RATED),
        "215.000", None, "13.700", "218.700", discount="10.000",
    ),
    "amounts that hold the VAT": invoice(
        rows("Sữa | 2 | 54.000 | 108.000", "Kẹo | 10 | 10.800 | 108.000"), "200.000", "8%", "16.000", "216.000"
    ),
    "VAT rounded on each line": invoice(
        rows("A | 1 | 10.006 | 10.006", "B | 1 | 10.006 | 10.006", "C | 1 | 10.006 | 10.006"),
        "30.018", "8%", "2.400", "32.418",
    ),
    "VAT rounded down": invoice(rows("A | 1 | 10.009 | 10.009"), "10.009", "8%", "800", "10.809"),
    "net made before amounts were rounded": invoice(
        rows("A | 3 | 33,5 | 101", "B | 3 | 33,5 | 101", "C | 3 | 33,5 | 101"), "302", "10%", "30", "332"
    ),
    "line numbers that begin anew": invoice(
        [*TWO, *rows("Gạo | 1 | 20.000 | 20.000")], "235.000", "8%", "18.800", "253.800"
    ),
    "no line numbers": invoice([line | {"no": None} for line in TWO], "215.000", "8%", "17.200", "232.200"),
    "a line number that is not printed": invoice(
        [TWO[0] | {"no": None}, TWO[1]], "215.000", "8%", "17.200", "232.200"
    ),
    "line numbers with zeros": invoice(
        [line | {"no": f"0{i}"} for i, line in enumerate(TWO, 1)], "215.000", "8%", "17.200", "232.200"
    ),
    "tax on each line": invoice(
        [TWO[0] | {"vat_rate": "8%", "vat": "7.200"}, TWO[1] | {"vat_rate": "8%", "vat": "10.000"}],
        "215.000", None, "17.200", "232.200",
    ),
    "a trade-discount invoice: 8%, tax 0, quantity 0": invoice(
        [{"no": "1", "name": "Chiết khấu thương mại quý 3", "quantity": "0", "unit_price": "0",
          "amount": "-5.000.000", "vat_rate": "8%"}],
        "-5.000.000", None, "0", "-5.000.000", total_in_words="Âm năm triệu đồng",
    ),
    "returned goods, quantity negative": invoice(
        rows("Sữa | -2 | 45.000 | -90.000"), "-90.000", "8%", "-7.200", "-97.200",
        total_in_words="Âm chín mươi bảy nghìn hai trăm đồng",
    ),
    "returned goods, sign at the amount alone": invoice(
        rows("Sữa | 2 | 45.000 | -90.000"), "-90.000", "8%", "-7.200", "-97.200",
        total_in_words="Trừ chín mươi bảy nghìn hai trăm đồng",
    ),
    "an adjustment downwards, in words": invoice(
        rows("Điều chỉnh giảm đơn giá sữa | 2 | -45.000 | -90.000"), "-90.000", "8%", "-7.200", "-97.200",
        total_in_words="Giảm chín mươi bảy nghìn hai trăm đồng",
        related_invoice="Điều chỉnh cho hóa đơn ký hiệu C26TAA số 5 ngày 01/10/2026",
    ),
    "an adjustment downwards without a sign": invoice(
        rows("Điều chỉnh giảm đơn giá sữa | 2 | 45.000 | 90.000"), "90.000", "8%", "7.200", "97.200",
        total_in_words="Điều chỉnh giảm chín mươi bảy nghìn hai trăm đồng",
    ),
    "an adjustment downwards, and the words have no sign": invoice(
        rows("Điều chỉnh giảm đơn giá sữa | 2 | -45.000 | -90.000"), "-90.000", "8%", "-7.200", "-97.200",
        total_in_words="Chín mươi bảy nghìn hai trăm đồng",
        related_invoice="Điều chỉnh cho hóa đơn ký hiệu C26TAA số 5 ngày 01/10/2026",
    ),
    "an adjustment upwards, in words": invoice(
        rows("Điều chỉnh tăng đơn giá sữa | 2 | 45.000 | 90.000"), "90.000", "8%", "7.200", "97.200",
        total_in_words="Điều chỉnh tăng chín mươi bảy nghìn hai trăm đồng",
    ),
    "a rate adjusted, and no net": invoice(
        [{"no": "1", "name": "Điều chỉnh thuế suất từ 8% lên 10%", "amount": "0"}], "0", "10%", "20.000", "20.000",
        related_invoice="Điều chỉnh cho hóa đơn ký hiệu C26TAA số 5 ngày 01/10/2026",
    ),
    "an address adjusted": invoice(
        [{"no": "1", "name": "Điều chỉnh địa chỉ người mua"}], None, None, None, "0",
        total_in_words="Không đồng", related_invoice="Điều chỉnh cho hóa đơn ký hiệu C26TAA số 5",
    ),
    "an address adjusted, without a figure": invoice(
        [{"no": "1", "name": "Điều chỉnh địa chỉ người mua"}], None, None, None, None,
        related_invoice="Điều chỉnh cho hóa đơn ký hiệu C26TAA số 5",
    ),
    "a line discounted to nothing": invoice(
        [*TWO, {"no": "3", "name": "Gạo", "quantity": "1", "unit_price": "20.000", "discount_rate": "100%", "amount": "0"}],
        "215.000", "8%", "17.200", "232.200",
    ),
    "nothing to pay": invoice(
        rows("Cốc tặng | 2 | 10.000 | 0"), "0", "8%", "0", "0", total_in_words="Không đồng"
    ),
    "billions": invoice(
        rows("Căn hộ | 1 | 3.450.000.000 | 3.450.000.000"), "3.450.000.000", "10%", "345.000.000", "3.795.000.000"
    ),
    "a toll ticket, which names no buyer": invoice(
        rows("Vé đường bộ | 1 | 32.407 | 32.407"), "32.407", "8%", "2.593", "35.000", form_no="5", series="K26GBO",
        tax_authority_code=None, buyer_name=None, buyer_tax_code=None, buyer_address=None, total_in_words=None,
    ),
    # one sum said twice
    "each rate's own total, and rates on the lines": MIXED,
    "each rate's own total, a discount of one rate": MIXED
    | {"vat": "13.700", "total": "218.700", "total_in_words": in_words(218700), "discount": "10.000",
       "by_rate": [BY_RATE[0], {"rate": "8%", "net": "115.000", "vat": "9.200"}]},
    "each rate's own total, that of KCT left out": invoice(
        rows("Thu hộ | 1 | 45.000 | 45.000", "Kẹo | 10 | 12.500 | 125.000"),
        "170.000", None, "10.000", "180.000", by_rate=[BY_RATE[1]],
    ),
    "each rate's own total, KKKNT on the line and KCT below": invoice(
        rows("Thu hộ | 1 | 45.000 | 45.000 | KKKNT", "Kẹo | 10 | 12.500 | 125.000 | 8%", columns=RATED),
        "170.000", None, "10.000", "180.000", by_rate=[{"rate": "KCT", "net": "45.000", "vat": "0"}, BY_RATE[1]],
    ),
    "each fee and their sum": invoice(
        TWO, "215.000", "8%", "17.200", "237.200", fees="5.000",
        each_fee=[{"name": "Phí sân bay", "amount": "3.000"}, {"name": "Phí an ninh", "amount": "2.000"}],
    ),
    "a discount's rate rounded to whole percent": invoice(
        [TWO[0] | {"discount_rate": "11%", "discount": "10.000", "amount": "80.000"}, TWO[1]],
        "205.000", "8%", "16.400", "221.400",
    ),
    # words
    "words with chẵn": plain(total_in_words="Hai trăm ba mươi hai nghìn hai trăm đồng chẵn./."),
    "words with ngàn and Việt Nam đồng": plain(total_in_words="Hai trăm ba mươi hai ngàn hai trăm Việt Nam đồng"),
    "words with their label": plain(total_in_words="Bằng chữ: Hai trăm ba mươi hai nghìn hai trăm đồng"),
    "words in capitals": plain(total_in_words="HAI TRĂM BA MƯƠI HAI NGHÌN HAI TRĂM ĐỒNG"),
    "words without diacritics": plain(total_in_words="Hai tram ba muoi hai nghin hai tram dong"),
    "words in two languages": plain(
        total_in_words="Hai trăm ba mươi hai nghìn hai trăm đồng (Two hundred thirty-two thousand two hundred dong)"
    ),
    "words with commas": plain(total_in_words="Hai trăm ba mươi hai nghìn, hai trăm đồng."),
    "words with lẻ": invoice(
        rows("Sữa | 1 | 1.005 | 1.005"), "1.005", "KCT", None, "1.005",
        total_in_words="Một nghìn lẻ năm đồng",
    ),
}  # fmt: skip

SLIP: Printed = {
    "store": "SIÊU THỊ MẪU",
    "tax_code": "9900000016",
    "address": "Số 1 đường Mẫu, Hà Nội",
    "number": "HD000123",
    "date": "05/11/2026 14:30",
}
WARES = [
    {"name": "Sữa", "quantity": "2", "unit_price": "45.000", "amount": "90.000"},
    {"name": "Kẹo", "quantity": "1", "unit_price": "10.000", "amount": "10.000"},
]
RECEIPTS: dict[str, Printed] = {
    "cash and change": SLIP | {"lines": WARES, "total": "100.000", "paid": "200.000", "change": "100.000"},
    "paid by card": SLIP | {"lines": WARES, "total": "100.000"},
    "VAT below": SLIP | {"lines": WARES, "vat": "8.000", "total": "108.000"},
    "VAT for information": SLIP | {"lines": WARES, "vat": "7.407", "total": "100.000"},
    "service charge": SLIP | {"lines": WARES, "service_charge": "5.000", "total": "105.000"},
    "service charge and VAT": SLIP
    | {"lines": WARES, "service_charge": "5.000", "vat": "8.400", "total": "113.400"},
    "voucher": SLIP | {"lines": WARES, "discount": "20.000", "total": "80.000"},
    "voucher with its sign": SLIP | {"lines": WARES, "discount": "-20.000", "total": "80.000"},
    "voucher among the wares": SLIP
    | {"lines": [*WARES, {"name": "Voucher", "amount": "20.000"}], "total": "80.000"},
    "VAT among the wares": SLIP | {"lines": [*WARES, {"name": "VAT 8%", "amount": "8.000"}], "total": "108.000"},
    "rounding below": SLIP
    | {"lines": [WARES[0], WARES[1] | {"unit_price": "10.300", "amount": "10.300"}], "rounding": "-300", "total": "100.000"},
    "rounding upwards without a sign": SLIP
    | {"lines": [WARES[0], WARES[1] | {"unit_price": "9.800", "amount": "9.800"}], "rounding": "200", "total": "100.000"},
    "rounded without a word": SLIP
    | {"lines": [WARES[0], WARES[1] | {"unit_price": "9.800", "amount": "9.800"}], "total": "100.000"},
    "change without small coins": SLIP
    | {"lines": [WARES[0] | {"amount": "90.200", "unit_price": "45.100"}], "total": "90.200", "paid": "100.000", "change": "9.500"},
    "prices in 45k": SLIP
    | {"lines": [{"name": "Cà phê", "quantity": "2", "unit_price": "45k", "amount": "90k"}], "total": "90k"},
    "prices in 45K and a total in đồng": SLIP
    | {"lines": [{"name": "Cà phê", "quantity": "2", "unit_price": "45K", "amount": "90K"}], "total": "90.000đ"},
    "a dish of 1,5tr": SLIP
    | {"lines": [{"name": "Lẩu", "quantity": "1", "unit_price": "1,5tr", "amount": "1,5tr"}], "total": "1.500.000"},
    "no quantities": SLIP | {"lines": [{"name": "Bữa trưa", "amount": "100.000"}], "total": "100.000"},
    "a weighed ware": SLIP
    | {"lines": [{"name": "Cam", "quantity": "1,255", "unit_price": "42.900", "amount": "53.840"}], "total": "53.840"},
    "a gift": SLIP
    | {"lines": [*WARES, {"name": "Quà tặng", "quantity": "1", "unit_price": "5.000", "amount": "0"}], "total": "100.000"},
    "a discount under a ware": SLIP
    | {"lines": [*WARES, {"name": "Giảm giá 10%", "amount": "-10.000"}], "total": "90.000"},
    "a date in ISO form": SLIP | {"date": "2026-11-05 14:30:22", "lines": WARES, "total": "100.000"},
}  # fmt: skip


def card(name: str = "NGUYỄN THỊ MẪU", number: str = "079199000007", **more: Any) -> Printed:
    return {
        "number": number,
        "full_name": name,
        "date_of_birth": "01/01/1999",
        "sex": "Nữ",
        "nationality": "Việt Nam",
        **more,
    }


BORN = date(1999, 1, 1)


FRONT_OF_2021: Printed = {"place_of_origin": "Hà Nội", "place_of_residence": "Số 1, Hà Nội"}
BACK_OF_2021: Printed = {"personal_identification": "Nốt ruồi c: 1cm dưới mép trái"}


def zone(born: date = BORN, number: str = "079199000007", until: date | None = date(2039, 1, 1)) -> str:
    return mrz.build(number, born, "Nữ" if int(number[3]) % 2 else "Nam", until, "NGUYỄN THỊ MẪU")


def both_sides(name: str, zone_name: str | None = None, **more: Any) -> Printed:
    """Of the 2024 form."""
    said = mrz.build("079199000007", BORN, "Nữ", date(2039, 1, 1), zone_name or name)
    back = {"place_of_abode": "Số 1, Hà Nội", "expiry": "01/01/2039", "issue_date": "15/08/2024"}
    return card(name, **back, mrz=said) | more


# Papers that lack what the law asks for: they may be so, and go to a person, who sees why.
INCOMPLETE: dict[str, tuple[Printed, set[str]]] = {
    "an adjustment of amounts without their sum": (
        invoice(
            rows("Điều chỉnh tăng đơn giá sữa | 2 | 45.000 | 90.000"),
            None,
            "8%",
            None,
            "97.200",
            total_in_words="Điều chỉnh tăng chín mươi bảy nghìn hai trăm đồng",
        ),
        {"net", "vat"},
    ),
    "C, and the code is not printed": (plain(tax_authority_code=None), {"tax_authority_code"}),
    "no net printed": (invoice(TWO, None, "8%", "17.200", "232.200"), {"net"}),
    "no net, no VAT, no rate": (
        invoice(TWO, None, None, None, "215.000"),
        {"net", "vat", "vat_rate", "by_rate"},
    ),
    "a buyer with a tax code and no address": (plain(buyer_address=None), {"buyer_address"}),
}

CARDS: dict[str, Printed] = {
    "front of 2021": card(place_of_origin="Hà Nội", place_of_residence="Số 1, Hà Nội", expiry="01/01/2039"),
    "front of 2024": card(),
    "back of 2021": BACK_OF_2021 | {"issue_date": "01/06/2022", "mrz": zone()},
    "back of 2024": {
        "place_of_abode": "Số 1, phường Mẫu, Hà Nội",
        "place_of_birth_registration": "Phường Mẫu, Hà Nội",
        "issue_date": "15/08/2024",
        "expiry": "01/01/2039",
        "mrz": zone(),
    },
    "both sides of the card before the chip": card(
        **FRONT_OF_2021, **BACK_OF_2021, issue_date="01/06/2018", expiry="01/01/2024"
    ),
    "both sides": both_sides("NGUYỄN THỊ MẪU"),
    "an apostrophe, left out in the MRZ": both_sides("H'HEN NIÊ", "HHEN NIE"),
    "an apostrophe, a filler in the MRZ": both_sides("H'HEN NIÊ"),
    "a curly apostrophe and a space": both_sides("K’ BRÊU", "KBREU"),
    "a grave accent for an apostrophe": both_sides("H`WEN ÊBAN", "HWEN EBAN"),
    "a hyphen": both_sides("TRẦN ANNE-MARIE"),
    "a name longer than the zone": both_sides("NGUYỄN TRẦN HOÀNG PHƯƠNG KHÁNH LINH"),
    "letters of other languages": both_sides("MÜLLER ANDRÉ"),
    "born abroad": card(number="199199000007"),
    "without an end": card(number="079050000007", sex="Nam", date_of_birth="02/03/1950")
    | FRONT_OF_2021
    | {"expiry": "Không thời hạn"},
    "issued within two years of a milestone": card(
        **FRONT_OF_2021, **BACK_OF_2021, issue_date="01/06/2022", expiry="01/01/2039", mrz=zone()
    ),
    "a child's": both_sides(
        "NGUYỄN THỊ MẪU",
        number="079315000007",
        date_of_birth="05/05/2015",
        issue_date="01/08/2024",
        expiry="05/05/2029",
        mrz=zone(date(2015, 5, 5), "079315000007", date(2029, 5, 5)),
    ),
    "born on a leap day": card(
        number="079300000007",
        **FRONT_OF_2021,
        **BACK_OF_2021,
        issue_date="01/05/2021",
        expiry="01/03/2025",
        mrz=zone(date(2000, 2, 29), "079300000007", date(2025, 3, 1)),
    )
    | {"date_of_birth": "29/02/2000"},
    "old card of nine digits": {
        "number": "012345678",
        "full_name": "Nguyễn Văn Mẫu",
        "date_of_birth": "01/01/1970",
        "issue_date": "05/03/2015",
    },
}
