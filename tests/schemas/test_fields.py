"""Each printed form: its pattern takes what is printed, and its parser makes the normal form of it."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import dates, fields
from schemas.printed import Printed
from schemas.registry import BUILT_IN
from schemas.shape import shape_of

MRZ = "IDVNM1990000070099199000007<<6 9901018F3901016VNM<<<<<<<<<<<4 NGUYEN<<THI<MAU<<<<<<<<<<<<<<<"


def form(kind: Any) -> Printed:
    """The printed form of an annotated type."""
    return next(item for item in get_args(kind) if isinstance(item, Printed))


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (fields.Money, "1.234.000 đồng", Decimal(1_234_000)),
        (fields.Money, "(12,500.75)", Decimal("-12500.75")),
        (fields.Quantity, "0,125", Decimal("0.125")),
        (fields.LineNumber, "12", 12),
        (fields.VnDate, "05/11/2026", date(2026, 11, 5)),
        (fields.VnDate, "5-1-2026", date(2026, 1, 5)),
        (fields.VnDate, "05.11.2026", date(2026, 11, 5)),
        (fields.VnDate, "05 / 11 / 2026", date(2026, 11, 5)),
        (fields.VnDate, "2026-11-05", date(2026, 11, 5)),
        (fields.VnDate, "Ngày 05 tháng 11 năm 2026", date(2026, 11, 5)),
        (fields.VnDate, "ngày 5 tháng 1 năm 2026", date(2026, 1, 5)),
        *(
            (fields.VnDate, raw, date(2026, 11, 5))
            for raw in (
                "Ngày 5/11/2026",
                "Ngày: 05-11-2026",
                "NGÀY 05 THÁNG 11 NĂM 2026",
                "05 THÁNG 11 NĂM 2026",
                "5 tháng 11, năm 2026",
                "Ngày (Date) 05 tháng (month) 11 năm (year) 2026",
                "2026/11/05",
                "5/11/26",
                "05.11.26",
                "05-11-26",
            )
        ),
        (fields.VnDate, "05/11/95", date(1995, 11, 5)),
        (fields.VnDate, "25/11/26", date(2026, 11, 25)),
        # A year that few papers have, last or first: the other reading is none of recent years.
        (fields.VnDate, "09/03/01", date(2001, 3, 9)),
        (fields.VnDate, "12/03/10", date(2010, 3, 12)),
        (fields.VnDate, "12/03/39", date(2039, 3, 12)),
        (fields.VnDate, "01/03/49", date(2049, 3, 1)),
        (fields.VnDate, "01/03/50", date(1950, 3, 1)),
        (fields.ExpiryDate, "Không thời hạn", dates.UNLIMITED),
        (fields.ExpiryDate, "KHÔNG THỜI HẠN", dates.UNLIMITED),
        (fields.ExpiryDate, "01/01/2039", date(2039, 1, 1)),
        (fields.TillDate, "05/11/2026 14:30", date(2026, 11, 5)),
        (fields.TillDate, "14:30:05 05/11/26", date(2026, 11, 5)),
        (fields.TillDate, "05-11-26", date(2026, 11, 5)),
        (fields.TillDate, "2025-03-01", date(2025, 3, 1)),
        (fields.TillDate, "2025-03-01 10:22:33", date(2025, 3, 1)),
        (fields.TillDate, "2025-03-01T10:22:33", date(2025, 3, 1)),
        (fields.TillDate, "10:22 2025-03-01", date(2025, 3, 1)),
        (fields.TillDate, "Ngày: 01/03/2025 - 10h22", date(2025, 3, 1)),
        (fields.TillDate, "01/03/2025 10:22:33 SA", date(2025, 3, 1)),
        (fields.TaxCode, "0100109106", "0100109106"),
        (fields.TaxCode, "0100109106-001", "0100109106-001"),
        (fields.TaxCode, "0100109106001", "0100109106-001"),
        (fields.TaxCode, "0 1 0 0 1 0 9 1 0 6", "0100109106"),
        (fields.TaxCode, "079199000007", "079199000007"),
        (fields.NationalId, "099199000007", "099199000007"),
        (fields.NationalId, "012 345 678", "012345678"),
        (fields.VatRate, "8%", "8%"),
        (fields.VatRate, "0.08", "8%"),
        (fields.VatRate, "0,1", "10%"),
        (fields.VatRate, "10.00", "10%"),
        (fields.VatRate, "0.5", "0.5%"),
        (fields.VatRate, "10 %", "10%"),
        (fields.VatRate, "05%", "5%"),
        (fields.VatRate, "10", "10%"),
        (fields.VatRate, "KCT", "KCT"),
        (fields.VatRate, "KHAC: 5,26%", "KHAC:5.26%"),
        (fields.VatRate, "KHAC:5.263%", "KHAC:5.263%"),
        (fields.VatRate, "3,500%", "3.5%"),
        (fields.Currency, "VNĐ", "VND"),
        (fields.Currency, "USD", "USD"),
        *(
            (fields.Currency, dong, "VND")
            for dong in ("VND", "đồng", "đ", "₫", "Đồng Việt Nam", "Việt Nam đồng")
        ),
        (fields.Series, "C26TAA", "C26TAA"),
        (fields.Series, "1C26TAA", "1C26TAA"),
        (fields.InvoiceNumber, "00000123", "00000123"),
        (fields.AuthorityCode, "00A1B2C3D4E5F6A7B8C9D0E1F2A3B4C5D6", "00A1B2C3D4E5F6A7B8C9D0E1F2A3B4C5D6"),
        *(
            (fields.PersonName, name, name)
            for name in (
                "NGUYỄN THỊ MẪU",
                "MÜLLER ANDRÉ",
                "François Garçon",
                "K’ BRÊU",
                "H'Hen Niê",
                "H`WEN ÊBAN",
                "Ksor H´Bŏ",
                "Łukasz Øberg-Çelik, Jr.",
            )
        ),
        (fields.Money, "$1,234.50", Decimal("1234.50")),
        (fields.Money, "USD 12.50", Decimal("12.5")),
        (fields.Text, 'Công ty TNHH "Hoà Bình" & Cộng sự', 'Công ty TNHH "Hoà Bình" & Cộng sự'),
        (fields.Code, "HD-2026/0001", "HD-2026/0001"),
        (fields.Mrz, MRZ, MRZ),
    ],
)
def test_what_is_printed_fits_its_pattern_and_is_normalised(kind: Any, raw: str, value: object) -> None:
    printed = form(kind)
    assert re.fullmatch(printed.pattern, raw)
    assert len(raw) <= printed.max_chars
    assert printed.parse(raw) == value
    assert printed.parse(unicodedata.normalize("NFD", f" {raw} ")) == value


@pytest.mark.parametrize(
    ("kind", "raw", "complaint"),
    [
        (fields.VnDate, "30/02/2026", "does not exist"),
        (fields.VnDate, "2026", "no day is printed"),
        (fields.VnDate, "11/2026", "no day is printed"),
        (fields.TillDate, "31/11/26", "does not exist"),
        # Years of two digits that may come first.
        (fields.TillDate, "25-03-01", "may be 2025-03-01 or 2001-03-25"),
        (fields.TillDate, "25/03/01", "may be 2025-03-01 or 2001-03-25"),
        (fields.TillDate, "25-03-26", "may be 2025-03-26 or 2026-03-25"),
        (fields.VnDate, "32/03/01", "may be 2032-03-01: "),
        (fields.VnDate, "10/03/01", "may be 2010-03-01 or 2001-03-10"),
        (fields.VnDate, "10/03/09", "may be 2010-03-09 or 2009-03-10"),
        (fields.VnDate, "39/03/01", "may be 2039-03-01: "),
        (fields.VnDate, "40/03/01", "does not exist"),
        (fields.TaxCode, "01001091061", "is no tax code"),
        (fields.NationalId, "0991990000", "is no identity number"),
        (fields.VatRate, "tám", "is no VAT rate"),
        (fields.Mrz, "<", "three lines of 30"),
        (fields.LineNumber, "", "is no number"),
        (fields.Currency, "đô la", "is no currency code"),
    ],
)
def test_a_misprint_is_no_value_but_a_sentence(kind: Any, raw: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        form(kind).parse(raw)


COLUMNS = {
    str: "text", int: "integer", float: "real", Decimal: "decimal", bool: "boolean",
    date: "date", datetime: "datetime",
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "printed"),
    [
        *fields.PLAIN.items(),
        *((get_args(kind)[0], form(kind)) for kind in vars(fields).values() if get_origin(kind) is Annotated),
    ],
)
def test_a_value_has_the_column_of_its_type(kind: type, printed: Printed) -> None:
    assert printed.sql == COLUMNS[kind]


DIGITS = (fields.InvoiceNumber, fields.LineNumber)


@pytest.mark.parametrize(
    "kind",
    [
        *(fields.Text, fields.LongText, fields.Code, fields.PersonName, fields.AmountInWords, fields.Mrz),
        *(fields.FormNumber, fields.Series, fields.InvoiceNumber, fields.AuthorityCode, fields.LineNumber),
    ],
)
def test_a_text_is_full_where_its_pattern_ends(kind: Any) -> None:
    """What is that long may have been cut (pipeline/bounds.py), and nothing longer can be read."""
    longest = form(kind).max_chars
    sample = MRZ if kind is fields.Mrz else ("1" if kind in DIGITS else "A") * longest
    assert re.fullmatch(form(kind).pattern, sample) and len(sample) == longest
    assert not re.fullmatch(form(kind).pattern, sample + sample[-1])


def test_absent_digits_are_never_bent_into_a_valid_number() -> None:
    """The reader may write a number of 11 digits; only then can a person learn that it is wrong."""
    assert re.fullmatch(form(fields.NationalId).pattern, "09919900000")
    assert re.fullmatch(form(fields.TaxCode).pattern, "010010910")


@given(st.dates(date(1900, 1, 1), date(2199, 12, 31)))
def test_every_day_is_read_in_every_form(day: date) -> None:
    printed = form(fields.VnDate)
    long = f"Ngày {day.day:02} tháng {day.month:02} năm {day.year}"
    for raw in (f"{day:%d/%m/%Y}", f"{day.day}.{day.month}.{day.year}", day.isoformat(), long):
        assert re.fullmatch(printed.pattern, raw)
        assert printed.parse(raw) == day


def test_times_are_read_with_their_day() -> None:
    moment = fields.PLAIN[datetime]
    for raw in ("05/11/2026 14:30", "14:30 05/11/2026", "14:30 ngày 05 tháng 11 năm 2026"):
        assert re.fullmatch(moment.pattern, raw)
        assert moment.parse(raw) == datetime(2026, 11, 5, 14, 30)
    for raw in ("05/11/2026 02:30 CH", "2:30 PM 05/11/2026", "2026-11-05T14:30", "05/11/2026 14h30"):
        assert re.fullmatch(moment.pattern, raw)
        assert moment.parse(raw) == datetime(2026, 11, 5, 14, 30)
    assert moment.parse("05/11/2026 12:05 SA") == datetime(2026, 11, 5, 0, 5)
    for raw, complaint in (("05/11/2026", "no clock time"), ("05/11/2026 25:00", "time of day")):
        with pytest.raises(ValueError, match=complaint):
            moment.parse(raw)


def test_yes_and_no() -> None:
    parse = fields.PLAIN[bool].parse
    assert [parse(raw) for raw in ("Có", "không", "☑", "x")] == [True, False, True, True]
    with pytest.raises(ValueError, match="neither"):
        parse("có thể")


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_no_pattern_lets_a_value_start_empty(name: str) -> None:
    for version in BUILT_IN[name].values():
        for path, leaf in shape_of(version).leaves():
            pattern = re.compile(leaf.printed.pattern)
            assert not pattern.fullmatch(""), path
            assert not pattern.fullmatch(" "), path
            assert not pattern.fullmatch("a\n"), path


@pytest.mark.parametrize(
    "raw",
    [
        "Thép Φ10 – Ø12 (≥ 99,5%) ½″",
        "Số 1/2A, ngõ 3, đường “Hoà Bình”…",
        "Cà phê 100% 'Arabica' & Co. [mới] {x} ~5℃ №7",
    ],
)
def test_running_text_holds_the_signs_of_trade(raw: str) -> None:
    assert re.fullmatch(form(fields.Text).pattern, raw)


@pytest.mark.parametrize("raw", ["发票", "chữ\tcột", "một\\hai", "ไทย", " trước"])
def test_running_text_holds_no_other_script_and_no_control(raw: str) -> None:
    assert not re.fullmatch(form(fields.Text).pattern, raw)
