"""The types of printed values: `Annotated[python type, Printed(...)]`, to be used in any schema.

    class DeliveryNote(BaseModel):
        supplier_tax_code: TaxCode | None = Field(None, title="MST")
        total: Money | None = Field(None, title="Tổng cộng")

The Python type is that of the normalised value. The printed text is turned into it by `Printed.parse`, which
is done once, by the pipeline; a record that pydantic sees holds normalised values only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from schemas import dates, numbers
from schemas.printed import LETTERS, Printed, text_pattern
from schemas.text import alike, tidy, unaccented
from schemas.words import from_words

_SPACED = r"(?: ?[.-]? ?[0-9])"
STRUCK_OUT = "/"  # a VAT rate that is crossed out: no tax is charged
_UNTAXED = (
    ("KKKNT", re.compile(r"KHONG(?:PHAI)?KEKHAI")),
    ("KCT", re.compile(r"KHONG(?:CHIU|THUOC|COTHUE|TINHTHUE)")),
    ("KKKNT", re.compile(r"KKKT(?:NT|T)\Z")),  # (không) kê khai, tính (nộp) thuế
)
_SHARE = re.compile(r"0[.,](?:0[0-9]{1,3}|10*)")  # no rate is so small: 0.08 is a share of the price, 8%


def tax_code(raw: str) -> str:
    """10 digits, 10 digits "-" 3 digits, or 12 digits. The check digit is left to the checks.

    Where a first zero was lost, as spreadsheets lose it, 9 digits or 9 "-" 3 stay as printed for the checks.
    """
    digits = re.sub(r"[ .\-]", "", tidy(raw))
    if not re.fullmatch(r"[0-9]{9,10}|[0-9]{12,13}", digits):
        raise ValueError(f"{raw!r} is no tax code: 10 digits, 10 + 3 for a branch, or 12 for a person")
    branch = len(digits) == 13 or (len(digits) == 12 and re.search(r"[-.] ?[0-9]{3}$", tidy(raw)))
    return f"{digits[:-3]}-{digits[-3:]}" if branch else digits


def whole_tax_code(code: str) -> str:
    """A normalised tax code with the first zero that it may have lost, of a firm or before a branch."""
    return f"0{code}" if len(code.partition("-")[0]) == 9 else code


def national_id(raw: str) -> str:
    """12 digits (CCCD, căn cước) or 9 (the old CMND)."""
    digits = tidy(raw).replace(" ", "")
    if not re.fullmatch(r"[0-9]{9}|[0-9]{12}", digits):
        raise ValueError(f"{raw!r} is no identity number: 12 digits, or 9 on an old CMND")
    return digits


def vat_rate(raw: str) -> str:
    """ "8%", "KCT" (not taxable), "KKKNT" (not declared), "KHAC:5.26%", "/" for a rate that is struck out.

    "10% x 70%", as Decree 92/2021 has it written, is 7%. Several rates, "8%, 10%", are "8%; 10%".
    """
    text = tidy(raw).upper().replace(" ", "")
    several = re.split(r"(?<=%)[,;/+&](?=[0-9])", text)
    if len(several) > 1:
        return "; ".join(dict.fromkeys(map(vat_rate, several)))
    if text in ("-1", "-2"):
        raise ValueError(f"{raw!r} is an issuer's own code for KCT or KKKNT; not all mean the same by it")
    if text in ("KCT", "KKKNT", "KHAC"):  # KHAC alone: the percentage is not determined
        return text
    if re.fullmatch(r"[-–—/\\X*.]+", text):
        return STRUCK_OUT
    if name := next((name for name, words in _UNTAXED if words.match(unaccented(text))), None):
        return name
    if found := re.fullmatch(r"([0-9]{1,2})%?[X*]([0-9]{1,2})%", text):
        reduced = Decimal(found[1]) * Decimal(found[2]) / 100
        return f"{reduced.normalize():f}%"
    if _SHARE.fullmatch(text):
        return f"{(Decimal(text.replace(',', '.')) * 100).normalize():f}%"
    if found := re.fullmatch(r"(KHAC:?|KHÁC:?)?([0-9]{1,2}(?:[.,][0-9]{1,4})?)%?", text):
        # A percentage has no thousands: "5.263" is five and a bit, whichever sign it is written with.
        plain = f"{Decimal(found[2].replace(',', '.')).normalize():f}"
        return f"KHAC:{plain}%" if found[1] else f"{plain}%"
    raise ValueError(f"{raw!r} is no VAT rate: a percentage, KCT, KKKNT or KHAC:x%")


def percentage(raw: str) -> Decimal:
    """ "12,5%" → 12.5: a discount's share of the price, in percent."""
    return numbers.readings(tidy(raw).removesuffix("%").strip())[-1]


def currency(raw: str) -> str:
    """An ISO 4217 code; VNĐ and đồng are VND."""
    text = tidy(raw).upper()
    if text in ("VND", "VNĐ", "ĐỒNG", "Đ", "₫", "ĐỒNG VIỆT NAM", "VIỆT NAM ĐỒNG"):
        return "VND"
    if not re.fullmatch(r"[A-Z]{3}", text):
        raise ValueError(f"{raw!r} is no currency code like VND or USD")
    return text


def compact_upper(raw: str) -> str:
    return tidy(raw).replace(" ", "").upper()


def mrz(raw: str) -> str:
    """Three lines of 30, joined by one space."""
    lines = tidy(raw).split(" ")
    if [len(line) for line in lines] != [30, 30, 30]:
        raise ValueError("the MRZ of a card is three lines of 30 characters")
    return " ".join(lines)


def same_but_zeros(one: str, other: str) -> bool:
    """0000123 and 123."""
    return one.lstrip("0") == other.lstrip("0")


def same_series(one: str, other: str) -> bool:
    """1C26TAA and C26TAA: the form's digit may stand before the series. Two digits that differ do not."""
    if len(one) == len(other):
        return one == other
    return re.sub(r"^[1-9](?=[CK][0-9]{2})", "", one) == re.sub(r"^[1-9](?=[CK][0-9]{2})", "", other)


def same_words(one: str, other: str) -> bool:
    """Amounts in words that are one number, whatever stands around it."""
    try:
        return from_words(one) == from_words(other)
    except ValueError:
        return alike(one, other)


_CODE = "USD|EUR|GBP|JPY|CNY|KRW|KWD|SGD|THB|AUD|CAD|CHF|HKD|TWD|RMB"
_AMOUNT = (
    rf"(?:(?:{_CODE}|VND|US[$]|[$€£₫]) ?)?[(-]?(?:[0-9]{{1,3}}(?:[., ][0-9]{{3}})+|[0-9]{{1,15}})"
    r"(?:[.,][0-9]{1,6})?\)?(?: ?(?:k|K|nghìn|ngàn|tr|triệu))?"
    rf"(?: ?(?:đồng|đ|₫|VND|VNĐ|vnđ|{_CODE}|US[$]|[$€£]))?"
)


def yes_or_no(raw: str) -> bool:
    """Có / Không, true / false, or a box that is ticked or crossed."""
    text = tidy(raw).casefold()
    if text in ("có", "true", "x", "✓", "☑", "☒"):
        return True
    if text in ("không", "false", "☐"):
        return False
    raise ValueError(f"{raw!r} is neither Có nor Không")


Text = Annotated[str, Printed(text_pattern(200), tidy, "text", 200)]
LongText = Annotated[str, Printed(text_pattern(400), tidy, "text", 400)]
Code = Annotated[str, Printed(r"[0-9A-Za-zĐđ][0-9A-Za-zĐđ/._#:-]{0,39}", tidy, "text", 40)]
# The apostrophe of K’ Brêu and H'Hen is printed in any of these ways.
PersonName = Annotated[str, Printed(rf"[{LETTERS}][{LETTERS} '’‘ʼ`´.,()-]{{0,79}}", tidy, "text", 80)]

Money = Annotated[Decimal, Printed(_AMOUNT, numbers.money, "decimal", 40)]
Quantity = Annotated[Decimal, Printed(_AMOUNT, numbers.number, "decimal", 40, numbers.readings)]
UnitPrice = Annotated[Decimal, Printed(_AMOUNT, numbers.number, "decimal", 40, numbers.readings)]
DiscountRate = Annotated[Decimal, Printed(r"[0-9]{1,3}(?:[.,][0-9]{1,4})? ?%?", percentage, "decimal", 12)]
# What a line of an invoice is: 1 goods, 2 a gift, 3 a discount, 4 a note (TChat of Decision 1450/QĐ-TCT).
LineNature = Annotated[int, Printed(r"[0-9]", numbers.whole, "integer", 1)]
LineNumber = Annotated[int, Printed(r"[0-9]{1,4}", numbers.whole, "integer", 4)]

VnDate = Annotated[date, Printed(dates.DATE_PATTERN, dates.day, "date", 60)]
ExpiryDate = Annotated[date, Printed(dates.EXPIRY_PATTERN, dates.expiry, "date", 60)]
TillDate = Annotated[date, Printed(dates.STAMP_PATTERN, dates.till_day, "date", 80)]

TaxCode = Annotated[str, Printed(rf"[0-9]{_SPACED}{{8,12}}", tax_code, "text", 40)]
NationalId = Annotated[str, Printed(r"[0-9](?: ?[0-9]){8,11}", national_id, "text", 24)]
VatRate = Annotated[
    str,
    Printed(
        r"(?:KHAC:? ?|KHÁC:? ?)?[0-9]{1,2}(?:[.,][0-9]{1,4})? ?%?|KCT|KKKNT|[xX/–*-]{1,5}|"
        r"[0-9]{1,2}(?:[.,][0-9]{1,4})? ?%(?: ?[,;/+&] ?[0-9]{1,2}(?:[.,][0-9]{1,4})? ?%){1,4}|"
        r"[0-9]{1,2} ?%? ?[xX*] ?[0-9]{1,2} ?%|(?:Không|KHÔNG|không)[ A-Za-zĐđÀ-ỹ,]{1,50}",
        vat_rate,
        "text",
        60,
    ),
]
Currency = Annotated[str, Printed(r"[A-Z]{3}|VNĐ|[ĐđVv][A-Za-zđồệ ]{1,15}|₫|đ", currency, "text", 16)]

FormNumber = Annotated[
    str, Printed(r"[0-9A-Z][0-9A-Z/-]{0,14}", compact_upper, "text", 15, same=same_but_zeros)
]
Series = Annotated[str, Printed(r"[0-9A-Z][0-9A-Z/-]{1,11}", compact_upper, "text", 12, same=same_series)]
InvoiceNumber = Annotated[str, Printed(r"[0-9]{1,10}", tidy, "text", 10, same=same_but_zeros)]
AuthorityCode = Annotated[str, Printed(r"[0-9A-Za-z][0-9A-Za-z-]{0,39}", tidy, "text", 40)]
AmountInWords = Annotated[str, Printed(text_pattern(300), tidy, "text", 300, same=same_words)]
# Three lines of 30, or one "<": an unreadable zone must have a way out that invents nothing.
Mrz = Annotated[str, Printed(r"[A-Z0-9<]{30} [A-Z0-9<]{30} [A-Z0-9<]{30}|<", mrz, "text", 92)]

# What plain Python types look like on paper, so that a schema needs none of the types above.
PLAIN: Mapping[type, Printed] = {
    str: Printed(text_pattern(200), tidy, "text", 200),
    int: Printed(r"-?(?:[0-9]{1,3}(?:[., ][0-9]{3})+|[0-9]{1,18})", numbers.whole, "integer", 30),
    float: Printed(_AMOUNT, numbers.real, "real", 40, numbers.readings),
    Decimal: Printed(_AMOUNT, numbers.number, "decimal", 40, numbers.readings),
    bool: Printed("Có|Không|có|không|CÓ|KHÔNG|true|false|x|X|✓|☑|☒|☐", yes_or_no, "boolean", 8),
    date: Printed(dates.DATE_PATTERN, dates.day, "date", 60),
    datetime: Printed(dates.MOMENT_PATTERN, dates.moment, "datetime", 80),
}
