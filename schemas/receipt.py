"""The receipt of a shop's till. `receipt@2` asks also for what may stand between the lines and the total."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import product
from typing import ClassVar

from pydantic import BaseModel, Field

from schemas import checks as compare
from schemas import columns, reading_day, sums
from schemas.checks import CheckResult, Rule
from schemas.fields import Code, Money, Quantity, TaxCode, Text, TillDate, UnitPrice
from schemas.required import Where

_FORMAL = ("tax_code", "address", "number")
_KEPT = 10  # years for which papers of accounting are kept (Law 88/2015/QH13 and Decree 174/2016/NĐ-CP)
_NOTES = (500, 1000)  # đồng, the smallest that change is given in


class ReceiptLine(BaseModel):
    """Một dòng hàng"""

    product: ClassVar = ("quantity", "unit_price", "amount")
    required: ClassVar = ("name", Where(lambda line: not sums.is_note(line), "a line of wares", "amount"))

    name: Text | None = Field(None, title="Tên hàng")
    quantity: Quantity | None = Field(None, title="SL")
    unit_price: UnitPrice | None = Field(None, title="Đơn giá")
    amount: Money | None = Field(None, title="Thành tiền")


def line_amounts(receipt: Receipt) -> Iterator[CheckResult]:
    """quantity × unit price = amount on each line."""
    yield from compare.line_amounts(receipt.lines, balanced=lambda: _adds_up(receipt))


def total(receipt: Receipt) -> Iterator[CheckResult]:
    """The amounts of the lines, with what stands below them, add up to the total."""
    if receipt.total is None:
        return
    rounds = bool(getattr(receipt, "rounding", None))  # it says by how much, so nothing else was rounded
    spans = [
        span
        for amounts in sums.charged(receipt.lines)
        for made in _below(receipt, sum(amounts, Decimal(0)))
        for span in (_paid_in_cash(made) if made >= _NOTES[0] and not rounds else [_as_printed(made)])
    ]
    spans += sums.unrounded(receipt.lines, receipt.total, Decimal(1))
    what = "the lines add up to {}, the total is {}"
    yield from compare.summed("total", ("lines", "total"), spans, receipt.total, what)


def change(receipt: Receipt) -> Iterator[CheckResult]:
    """What was paid less the total is the change, but for coins that nobody has."""
    if receipt.paid is None or receipt.total is None or receipt.change is None:
        return
    exact = receipt.paid - receipt.total
    in_notes = receipt.paid % _NOTES[0] == 0
    rounded = in_notes and any(span.holds(receipt.change) for span in _paid_in_cash(exact))
    yield compare.equal(
        "change",
        ("paid", "total", "change"),
        receipt.change if rounded else exact,
        receipt.change,
        "paid less total is {expected}, the change is {found}",
    )


def notes(receipt: Receipt) -> Iterator[CheckResult]:
    """Who gets change paid in notes, and there are none below 500 đồng in use."""
    if receipt.paid is None or not receipt.change or receipt.paid == receipt.total:
        return
    if receipt.paid < _NOTES[0]:
        return  # not in đồng
    passed = receipt.paid % _NOTES[0] == 0
    message = f"{compare.figure(receipt.paid)} can {'' if passed else 'not '}be paid in notes"
    yield CheckResult("notes", passed, "warning", message, ("paid",), f"a multiple of {_NOTES[0]}")


def _adds_up(receipt: Receipt) -> bool:
    return any(sum(amounts) == receipt.total for amounts in sums.charged(receipt.lines))


def _below(receipt: Receipt, lines: Decimal) -> Iterator[Decimal]:
    """What the total may be: the prices may hold the VAT, and the charge may be printed for information."""
    yield lines
    if not isinstance(receipt, Receipt2):
        return
    off, rest = abs(receipt.discount or Decimal(0)), receipt.rounding or Decimal(0)
    if abs(rest) >= _NOTES[-1]:
        return  # nobody rounds by a note
    parts = [part for part in (receipt.vat, receipt.service_charge) if part is not None]
    for chosen in product((0, 1), repeat=len(parts)):
        added = sum((part for part, used in zip(parts, chosen, strict=True) if used), Decimal(0))
        for taken_off in {Decimal(0), off}:
            for sign in (1, -1):  # "Làm tròn 300" does not say which way
                yield lines + added - taken_off + sign * rest


def _as_printed(exact: Decimal) -> sums.Span:
    return sums.rounded(exact, Decimal(1))


def _paid_in_cash(exact: Decimal) -> Iterator[sums.Span]:
    """The figure, and the multiples of the smallest notes beside it where it cannot be paid in notes."""
    yield _as_printed(exact)
    for note in _NOTES if exact % _NOTES[0] else ():
        below = exact // note * note
        there = [near for near in (below, below + note) if near or exact < _NOTES[0]]
        yield from (sums.Span(near, exact, near) for near in there)


def _is_formal(receipt: Receipt) -> bool:
    """A till that prints one of them prints them all, as a rule; a stall has none of them."""
    return sum(getattr(receipt, name) is not None for name in _FORMAL) > 1


def _is_overpaid(receipt: Receipt) -> bool:
    return receipt.paid is not None and receipt.total is not None and receipt.paid > receipt.total


def tax_code(receipt: Receipt) -> Iterator[CheckResult]:
    """The shop's tax code has the right check digit."""
    yield from compare.tax_code("tax_code", receipt.tax_code)


def gaps(receipt: Receipt) -> Iterator[CheckResult]:
    """Each line has what the rest of the table has."""
    yield from columns.gaps(receipt.lines, single=True)


def days(receipt: Receipt) -> Iterator[CheckResult]:
    """The day had come when the receipt was read, and is not so long ago that no till printed it."""
    yield from reading_day.future(date=receipt.date)
    read, day = reading_day.known(), receipt.date
    if read is not None and day is not None and day.year < read.year - _KEPT:
        message = f"the receipt is of {day}, {read.year - day.year} years before it was read"
        yield CheckResult("date_old", False, "warning", message, ("date",), f"at most {_KEPT}", str(day))


class Receipt(BaseModel):
    """Phiếu thanh toán của cửa hàng"""

    checks: ClassVar[tuple[Rule, ...]] = (line_amounts, gaps, total, change, notes, tax_code, days)
    equations: ClassVar[tuple[Rule, ...]] = (line_amounts, total, change, notes)
    proofs: ClassVar = ("line_amount", "total", "change", "tax_code")

    identified_by: ClassVar = ("number", "date", "store", "total")
    sources_of_authority: ClassVar = ("text",)  # a PDF's own text is its print, letter for letter
    required: ClassVar = ("date", "lines", "total")
    expected: ClassVar = (
        "store",
        Where(_is_formal, "a till's receipt with the like", *_FORMAL),
        Where(lambda receipt: receipt.change is not None, "a receipt that says the change", "paid"),
        Where(_is_overpaid, "a receipt of what was paid in cash", "change"),
    )  # fmt: skip

    store: Text | None = Field(None, title="Cửa hàng")
    tax_code: TaxCode | None = Field(None, title="MST")
    address: Text | None = Field(None, title="Địa chỉ")
    number: Code | None = Field(None, title="Số HĐ")
    date: TillDate | None = Field(None, title="Ngày")
    lines: list[ReceiptLine] = Field(default_factory=list, title="Hàng hóa")
    total: Money | None = Field(None, title="Tổng cộng")
    paid: Money | None = Field(None, title="Tiền khách đưa")
    change: Money | None = Field(None, title="Tiền thừa")


class Receipt2(Receipt):
    """Phiếu thanh toán của cửa hàng"""

    discount: Money | None = Field(None, title="Giảm giá")
    service_charge: Money | None = Field(None, title="Phí phục vụ")
    vat: Money | None = Field(None, title="Thuế GTGT")
    rounding: Money | None = Field(None, title="Làm tròn")
