"""The value-added-tax invoice (hóa đơn GTGT, form 01/GTGT), as displayed in PDF or on paper.

Its rules: arithmetic, words against digits, tax codes, numbering, rates of the day. No rule of law on
rounding was found, so sums may be off by 1 đồng a line (1 cent in another currency). A miss never rejects an
invoice: it sends it to a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field

from schemas import checks
from schemas import vat as rates
from schemas.checks import CheckResult, Rule, equal
from schemas.fields import (
    AmountInWords,
    AuthorityCode,
    Currency,
    FormNumber,
    InvoiceNumber,
    LineNumber,
    Money,
    Quantity,
    Series,
    TaxCode,
    Text,
    UnitPrice,
    VatRate,
    VnDate,
)
from schemas.in_xml import InXml, Part
from schemas.words import from_words

_SERIES = re.compile(
    r"[CK][0-9]{2}[TDLMNBGHXF][A-Z]{2}"
)  # behind a form digit 1-9, which has a field of its own


def _data(*paths: str, **how: Any) -> InXml:
    """Where a field stands in the XML of an e-invoice, in its part that the seller signs."""
    return InXml(*(f"DLHDon/{path}" for path in paths), **how)


_AUTHORITY_CODE = InXml("MCCQT", "DLHDon/MCCQT", "DLHDon/TTChung/MCCQT")
_BUYER = _data("NDHDon/NMua/Ten", "NDHDon/NMua/HVTNMHang")  # the firm, else the person who buys
_RATE = _data("NDHDon/TToan/THTTLTSuat/LTSuat/TSuat", sole=True)
_RELATED = _data(
    "TTChung/TTHDLQuan",
    parts=(
        Part("TCHDon", words={"1": "Thay thế cho hóa đơn", "2": "Điều chỉnh cho hóa đơn"}),
        Part("KHMSHDCLQuan", "mẫu số"),
        Part("KHHDCLQuan", "ký hiệu", names=True),
        Part("SHDCLQuan", "số", names=True),
        Part("NLHDCLQuan", "ngày"),
    ),
    free="GChu",
)


def line_numbers(invoice: Invoice) -> Iterator[CheckResult]:
    """The printed line numbers run 1, 2, 3 …: a gap is a line that was not read."""
    numbers = [line.no for line in invoice.lines if line.no is not None]
    if not numbers:
        return
    expected = list(range(1, len(numbers) + 1))
    passed = numbers == expected
    sequence = "run without a gap" if passed else "do not run 1, 2, 3 …: a line may be missing or doubled"
    yield CheckResult(
        "line_numbers",
        passed,
        "warning",
        f"the line numbers {sequence}",
        tuple(f"lines[{i}].no" for i, line in enumerate(invoice.lines) if line.no is not None),
        f"1 to {len(numbers)}",
        ", ".join(map(str, numbers)),
    )


def line_amounts(invoice: Invoice) -> Iterator[CheckResult]:
    """quantity × unit price = amount on each line."""
    yield from checks.line_amounts(invoice.lines, _unit(invoice))


def net(invoice: Invoice) -> Iterator[CheckResult]:
    """The amounts of the lines add up to the net."""
    if invoice.net is None:
        return
    expected = checks.sum_of_lines(invoice.lines, invoice.net)
    if expected is None:
        return
    yield equal(
        "net",
        ("lines", "net"),
        expected,
        invoice.net,
        "the lines add up to {expected}, the net is {found}",
        _unit(invoice) * len(invoice.lines),
    )


def vat(invoice: Invoice) -> Iterator[CheckResult]:
    """The VAT is that of the net at the invoice's rate, or else of the lines at their own rates."""
    if invoice.vat is None:
        return
    tolerance = _unit(invoice) * max(1, len(invoice.lines))
    if invoice.vat_rate is not None and invoice.net is not None:
        yield equal(
            "vat",
            ("net", "vat_rate", "vat"),
            invoice.net * rates.percent(invoice.vat_rate),
            invoice.vat,
            f"{invoice.vat_rate} of the net is {{expected}}, the VAT is {{found}}",
            tolerance,
        )
        return
    shares = [_line_vat(line) for line in invoice.lines]
    if shares and None not in shares:
        yield equal(
            "vat",
            ("lines", "vat"),
            sum((share for share in shares if share is not None), Decimal(0)),
            invoice.vat,
            "the VAT of the lines at their rates is {expected}, the VAT is {found}",
            tolerance,
        )


def total(invoice: Invoice) -> Iterator[CheckResult]:
    """net + VAT = total. Without a printed VAT only where the rate says that none is charged."""
    if invoice.net is None or invoice.total is None:
        return
    free = invoice.vat_rate is not None and rates.percent(invoice.vat_rate) == 0
    if invoice.vat is None and not free:
        return
    yield equal(
        "total",
        ("net", "vat", "total"),
        invoice.net + (invoice.vat or 0),
        invoice.total,
        "net and VAT make {expected}, the total is {found}",
        _unit(invoice) * max(1, len(invoice.lines)),
    )


def total_in_words(invoice: Invoice) -> Iterator[CheckResult]:
    """The amount in words says the same as the digits; read for đồng only."""
    if invoice.total is None or invoice.total_in_words is None or invoice.currency not in (None, "VND"):
        return
    fields = ("total", "total_in_words")
    try:
        amount = from_words(invoice.total_in_words)
    except ValueError as error:
        message = f"the amount in words cannot be read: {error}"
        figure = checks.figure(invoice.total, "")
        yield CheckResult("total_in_words", False, "warning", message, fields, figure, invoice.total_in_words)
        return
    yield equal(
        "total_in_words",
        fields,
        Decimal(amount),
        invoice.total,
        "the words say {expected}, the digits {found}",
    )


def tax_codes(invoice: Invoice) -> Iterator[CheckResult]:
    """Check digits of both parties' tax codes."""
    yield from checks.tax_code("seller_tax_code", invoice.seller_tax_code)
    yield from checks.tax_code("buyer_tax_code", invoice.buyer_tax_code)


def numbering(invoice: Invoice) -> Iterator[CheckResult]:
    """Form digit, series, number and authority code are as the law says, and the series fits the year."""
    if invoice.series is not None:
        yield from _series(invoice, invoice.series)
    if invoice.number is not None:
        passed = len(invoice.number) <= 8
        message = f"the number {invoice.number} has {len(invoice.number)} digits, at most 8 are allowed"
        yield CheckResult(
            "number", passed, "warning", message, ("number",), "at most 8", str(len(invoice.number))
        )
    if invoice.tax_authority_code is not None:
        length = len(invoice.tax_authority_code)
        message = f"the tax authority's code has {length} characters, at most 34 are allowed"
        yield CheckResult(
            "tax_authority_code",
            length <= 34,
            "warning",
            message,
            ("tax_authority_code",),
            "at most 34",
            str(length),
        )


def vat_rates(invoice: Invoice) -> Iterator[CheckResult]:
    """Each VAT rate existed on the day of the invoice."""
    printed: dict[str, list[str]] = {}
    for path, rate in [
        ("vat_rate", invoice.vat_rate),
        *((f"lines[{i}].vat_rate", line.vat_rate) for i, line in enumerate(invoice.lines)),
    ]:
        if rate is not None:
            printed.setdefault(rate, []).append(path)
    day = invoice.issue_date
    for rate, paths in printed.items():
        passed = rates.in_force(rate, day)
        when = f"on {day}" if day else "on any day"
        message = f"the VAT rate {rate} was {'' if passed else 'not '}in force {when}"
        yield CheckResult("vat_rate", passed, "warning", message, ("issue_date", *paths), None, rate)


def _series(invoice: Invoice, printed: str) -> Iterator[CheckResult]:
    form, series = (printed[0], printed[1:]) if printed[:1].isdigit() else (None, printed)
    passed = _SERIES.fullmatch(series) is not None
    message = f"the series {printed} {'has' if passed else 'does not have'} the form of C26TAA"
    yield CheckResult(
        "series", passed, "warning", message, ("series",), "C or K, year, type, two letters", printed
    )
    if form and invoice.form_no and invoice.form_no.isdigit():
        message = f"the series begins with form {form}, the form number is {invoice.form_no}"
        yield CheckResult(
            "form_no",
            form == invoice.form_no,
            "warning",
            message,
            ("form_no", "series"),
            form,
            invoice.form_no,
        )
    if passed and invoice.issue_date:
        year = f"{invoice.issue_date:%y}"
        message = f"the series {printed} is of 20{series[1:3]}, the invoice of {invoice.issue_date.year}"
        yield CheckResult(
            "series_year",
            series[1:3] == year,
            "warning",
            message,
            ("series", "issue_date"),
            year,
            series[1:3],
        )


def _unit(invoice: Invoice) -> Decimal:
    """The smallest coin of the invoice's currency."""
    return Decimal(1) if invoice.currency in (None, "VND") else Decimal("0.01")


def _line_vat(line: InvoiceLine) -> Decimal | None:
    if line.amount is None or line.vat_rate is None:
        return None
    return line.amount * rates.percent(line.vat_rate)


class InvoiceLine(BaseModel):
    """Một dòng hàng hóa, dịch vụ"""

    product: ClassVar = ("quantity", "unit_price", "amount")

    no: Annotated[LineNumber | None, InXml("STT")] = Field(None, title="STT")
    name: Annotated[Text | None, InXml("THHDVu")] = Field(None, title="Tên hàng hóa, dịch vụ")
    unit: Annotated[Text | None, InXml("DVTinh")] = Field(None, title="Đơn vị tính")
    quantity: Annotated[Quantity | None, InXml("SLuong")] = Field(None, title="Số lượng")
    unit_price: Annotated[UnitPrice | None, InXml("DGia")] = Field(None, title="Đơn giá")
    amount: Annotated[Money | None, InXml("ThTien")] = Field(None, title="Thành tiền")
    vat_rate: Annotated[VatRate | None, InXml("TSuat")] = Field(None, title="Thuế suất")


class Invoice(BaseModel):
    """Hóa đơn giá trị gia tăng"""

    checks: ClassVar[tuple[Rule, ...]] = (
        line_numbers,
        line_amounts,
        net,
        vat,
        total,
        total_in_words,
        tax_codes,
        numbering,
        vat_rates,
    )
    required: ClassVar = (
        "series", "number", "issue_date", "seller_name", "seller_tax_code", "lines", "total"
    )  # fmt: skip

    form_no: Annotated[FormNumber | None, _data("TTChung/KHMSHDon")] = Field(None, title="Mẫu số")
    series: Annotated[Series | None, _data("TTChung/KHHDon")] = Field(None, title="Ký hiệu")
    number: Annotated[InvoiceNumber | None, _data("TTChung/SHDon")] = Field(None, title="Số")
    issue_date: Annotated[VnDate | None, _data("TTChung/NLap")] = Field(None, title="Ngày lập")
    tax_authority_code: Annotated[AuthorityCode | None, _AUTHORITY_CODE] = Field(None, title="Mã CQT")
    seller_name: Annotated[Text | None, _data("NDHDon/NBan/Ten")] = Field(None, title="Người bán")
    seller_tax_code: Annotated[TaxCode | None, _data("NDHDon/NBan/MST")] = Field(None, title="MST người bán")
    seller_address: Annotated[Text | None, _data("NDHDon/NBan/DChi")] = Field(None, title="Địa chỉ người bán")
    buyer_name: Annotated[Text | None, _BUYER] = Field(None, title="Người mua")
    buyer_tax_code: Annotated[TaxCode | None, _data("NDHDon/NMua/MST")] = Field(None, title="MST người mua")
    buyer_address: Annotated[Text | None, _data("NDHDon/NMua/DChi")] = Field(None, title="Địa chỉ người mua")
    payment_method: Annotated[Text | None, _data("TTChung/HTTToan")] = Field(
        None, title="Hình thức thanh toán"
    )
    currency: Annotated[Currency | None, _data("TTChung/DVTTe")] = Field(None, title="Loại tiền")
    lines: Annotated[list[InvoiceLine], _data("NDHDon/DSHHDVu/HHDVu")] = Field(
        default_factory=list, title="Hàng hóa, dịch vụ"
    )
    net: Annotated[Money | None, _data("NDHDon/TToan/TgTCThue")] = Field(None, title="Cộng tiền hàng")
    vat_rate: Annotated[VatRate | None, _RATE] = Field(None, title="Thuế suất GTGT")
    vat: Annotated[Money | None, _data("NDHDon/TToan/TgTThue")] = Field(None, title="Tiền thuế GTGT")
    total: Annotated[Money | None, _data("NDHDon/TToan/TgTTTBSo")] = Field(
        None, title="Tổng cộng tiền thanh toán"
    )
    total_in_words: Annotated[AmountInWords | None, _data("NDHDon/TToan/TgTTTBChu")] = Field(
        None, title="Số tiền viết bằng chữ"
    )
    related_invoice: Annotated[Text | None, _RELATED] = Field(None, title="Hóa đơn liên quan")
