"""Where an invoice says one sum twice: the rates' own totals, each fee, each discount."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from schemas import sums
from schemas.checks import CheckResult, figure, summed
from schemas.currencies import coin
from schemas.sums import Span
from schemas.vat import UNDETERMINED, percent, rates

_Share = Decimal | str | None  # what a rate takes; UNDETERMINED where it does not say


def rate_nets(invoice: Any) -> Iterator[CheckResult]:
    """Each rate's own total is that of its lines; without rates on lines, all of them are the net.

    Rates of which no tax is charged count as one: some print KCT on a line and 0% below.
    """
    rows = [(i, row) for i, row in enumerate(invoice.by_rate) if row.net is not None and _share(row.rate)[0]]
    charged = list(_by_share(invoice.lines))
    if charged:
        for share in dict.fromkeys(_share(row.rate)[1] for _, row in rows):
            paths = [(f"by_rate[{i}].net", row) for i, row in rows if _share(row.rate)[1] == share]
            yield from _of_lines(invoice, share, [made[share] for made in charged], paths)
    elif rows and invoice.net is not None:
        yield from _of_all(invoice, [row for _, row in rows], tuple(f"by_rate[{i}].net" for i, _ in rows))


def _share(rate: str | None) -> tuple[bool, _Share]:
    """Whether it is one rate, and its share."""
    if rate is None or len(rates(rate)) != 1:
        return False, None
    return True, UNDETERMINED if rate == UNDETERMINED else percent(rate)


class _Made(dict[_Share, Decimal]):
    """What the lines of each share add up to; 0 for one that no line has."""

    def __missing__(self, share: _Share) -> Decimal:
        return Decimal(0)


def _by_share(lines: Sequence[Any]) -> Iterator[_Made]:
    """One for each way to read the signs of amounts; nothing where a line that is charged has no rate."""
    for amounts in sums.charged(lines):
        made = _Made()
        for amount, line in zip(amounts, lines, strict=True):
            known, share = _share(line.vat_rate)
            if amount and not known:
                return
            made[share] += amount
        yield made


def _of_lines(
    invoice: Any, share: _Share, made: Sequence[Decimal], rows: Sequence[tuple[str, Any]]
) -> Iterator[CheckResult]:
    printed = sum((row.net for _, row in rows), Decimal(0))
    tax = sum((row.vat for _, row in rows if row.vat is not None), Decimal(0))
    spans = _spans(invoice, share, made, printed, tax)
    what = f"the lines of {rows[0][1].rate} add up to {{}}, its net is {{}}"
    yield from summed("net", ("lines", *(path for path, _ in rows)), spans, printed, what)


def _spans(
    invoice: Any, share: _Share, made: Sequence[Decimal], printed: Decimal, tax: Decimal
) -> Iterator[Span]:
    """What the lines of a share may come to."""
    unit, off = coin(invoice.currency), abs(invoice.discount or Decimal(0))
    yield from (sums.rounded(one, unit) for one in made)
    if off:
        yield from (Span(one - off, one, one) for one in made)  # it is not said of which rate
    if tax:
        yield from (sums.rounded(one - tax, unit) for one in made)  # the amounts hold the VAT
    lines = [line for line in invoice.lines if _share(line.vat_rate) == (True, share)]
    yield from sums.unrounded(lines, printed, unit)


def _of_all(invoice: Any, rows: Sequence[Any], paths: tuple[str, ...]) -> Iterator[CheckResult]:
    printed = sum((row.net for row in rows), Decimal(0))
    whole = len(rows) == len(invoice.by_rate) and any(not _share(row.rate)[1] for row in rows)
    if printed < invoice.net and not whole:
        return  # some print no total of what is not taxed
    off = {Decimal(0), abs(invoice.discount or Decimal(0))}
    fees = {Decimal(0), invoice.fees or Decimal(0)}
    spans = [Span.of(invoice.net - less + more) for less in off for more in fees]
    spans.sort(key=lambda span: span.exact != invoice.net)
    yield from summed(
        "net", (*paths, "net"), spans, printed, "the net is {}, the rates' own nets add up to {}"
    )


def fees(invoice: Any) -> Iterator[CheckResult]:
    """The fees that are named each add up to what is printed for all of them."""
    amounts = [fee.amount for fee in invoice.each_fee]
    if invoice.fees is None or not amounts or None in amounts:
        return
    made = sum(amounts, Decimal(0))
    paths = ("fees", *(f"each_fee[{i}].amount" for i in range(len(amounts))))
    what = "the fees add up to {}, {} is printed for all of them"
    yield from summed("fees", paths, [Span.of(made)], invoice.fees, what)


def line_discounts(invoice: Any) -> Iterator[CheckResult]:
    """A line's discount is its rate of quantity × price. A rate is rounded where it was worked out."""
    unit = coin(invoice.currency)
    for i, line in enumerate(invoice.lines):
        if not line.discount or not line.discount_rate or not line.quantity or not line.unit_price:
            continue
        made = sums.factors(line.quantity, line.unit_price, unit)
        due = abs(made.exact) * line.discount_rate / 100
        slack = unit + abs(made.exact) * sums.half_place(line.discount_rate) / 100 + (made.high - made.low)
        paths = tuple(
            f"lines[{i}].{name}" for name in ("quantity", "unit_price", "discount_rate", "discount")
        )
        what = f"line {i + 1}: {figure(line.discount_rate)}% of {figure(abs(made.exact))} is {{}}, "
        what += "the discount is {}"
        yield from summed("line_discount", paths, [Span.of(due, slack)], abs(line.discount), what)
