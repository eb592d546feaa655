"""The receipt of a shop's till."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import ClassVar

from pydantic import BaseModel, Field

from schemas import checks as compare
from schemas.checks import CheckResult, Rule
from schemas.fields import Code, Money, Quantity, TaxCode, Text, TillDate, UnitPrice


class ReceiptLine(BaseModel):
    """Một dòng hàng"""

    product: ClassVar = ("quantity", "unit_price", "amount")

    name: Text | None = Field(None, title="Tên hàng")
    quantity: Quantity | None = Field(None, title="SL")
    unit_price: UnitPrice | None = Field(None, title="Đơn giá")
    amount: Money | None = Field(None, title="Thành tiền")


def line_amounts(receipt: Receipt) -> Iterator[CheckResult]:
    """quantity × unit price = amount on each line."""
    yield from compare.line_amounts(receipt.lines)


def total(receipt: Receipt) -> Iterator[CheckResult]:
    """The amounts of the lines add up to the total, within 1 đồng a line."""
    if receipt.total is None:
        return
    expected = compare.sum_of_lines(receipt.lines, receipt.total)
    if expected is None:
        return
    yield compare.equal(
        "total",
        ("lines", "total"),
        expected,
        receipt.total,
        "the lines add up to {expected}, the total is {found}",
        tolerance=Decimal(len(receipt.lines)),
    )


def change(receipt: Receipt) -> Iterator[CheckResult]:
    """What was paid less the total is the change."""
    if receipt.paid is None or receipt.total is None or receipt.change is None:
        return
    yield compare.equal(
        "change",
        ("paid", "total", "change"),
        receipt.paid - receipt.total,
        receipt.change,
        "paid less total is {expected}, the change is {found}",
        tolerance=Decimal(1),
    )


def tax_code(receipt: Receipt) -> Iterator[CheckResult]:
    """The shop's tax code has the right check digit."""
    yield from compare.tax_code("tax_code", receipt.tax_code)


class Receipt(BaseModel):
    """Phiếu thanh toán của cửa hàng"""

    checks: ClassVar[tuple[Rule, ...]] = (line_amounts, total, change, tax_code)

    required: ClassVar = ("date", "lines", "total")

    store: Text | None = Field(None, title="Cửa hàng")
    tax_code: TaxCode | None = Field(None, title="MST")
    address: Text | None = Field(None, title="Địa chỉ")
    number: Code | None = Field(None, title="Số HĐ")
    date: TillDate | None = Field(None, title="Ngày")
    lines: list[ReceiptLine] = Field(default_factory=list, title="Hàng hóa")
    total: Money | None = Field(None, title="Tổng cộng")
    paid: Money | None = Field(None, title="Tiền khách đưa")
    change: Money | None = Field(None, title="Tiền thừa")
