"""What an invoice comes to at each rate of value-added tax, as its paper says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from schemas import vat


@dataclass(frozen=True, slots=True)
class Share:
    """The part of an invoice at one rate; None where the paper does not say which."""

    rate: str | None
    net: Decimal
    vat: Decimal


def in_dong(parts: Sequence[Share], unit: Decimal) -> Iterator[Share]:
    """The shares in đồng, of which one unit of the invoice's currency is `unit`."""
    for part in parts:
        yield part if unit == 1 else Share(part.rate, _dong(part.net * unit), _dong(part.vat * unit))


def shares(record: Mapping[str, Any]) -> tuple[Share, ...]:
    """Net and VAT of an invoice by rate, as its paper says: nothing is computed that it does not bear out.

    Several rates have shares of their own where what is printed by rate, or else the lines at their rates,
    add up to the printed net and VAT; else the invoice is one share without a rate. Empty where net or VAT is
    unknown.
    """
    net, tax = amount(record.get("net")), amount(record.get("vat"))
    lines = [line for line in record.get("lines") or () if line.get("amount") is not None]
    own = record.get("vat_rate")
    rates = {_single(own)} if own else {_single(line.get("vat_rate")) for line in lines}
    rate = next(iter(rates)) if len(rates) == 1 else None
    if tax is None and rate is not None and vat.is_free(rate):
        tax = Decimal(0)
    if net is None or tax is None:
        return ()
    if rate is None:
        for parts in (_printed(record.get("by_rate") or ()), _of_lines(lines)):
            if parts and sum(part.net for part in parts) == net and sum(part.vat for part in parts) == tax:
                return parts
    return (Share(rate, net, tax),)


def _printed(rows: Sequence[Mapping[str, Any]]) -> tuple[Share, ...]:
    """The totals by rate; empty where one of them lacks its rate, net or VAT."""
    found = []
    for row in rows:
        rate, net, tax = _single(row.get("rate")), amount(row.get("net")), amount(row.get("vat"))
        if tax is None and rate is not None and vat.is_free(rate):
            tax = Decimal(0)
        if rate is None or net is None or tax is None:
            return ()
        found.append(Share(rate, net, tax))
    return tuple(found)


def _of_lines(lines: Sequence[Mapping[str, Any]]) -> tuple[Share, ...]:
    """The lines' amounts by rate with their VAT in whole đồng; empty where a line has no rate."""
    nets: dict[str, Decimal] = {}
    for line in lines:
        rate = _single(line.get("vat_rate"))
        if rate is None:
            return ()
        nets[rate] = nets.get(rate, Decimal(0)) + Decimal(line["amount"])
    return tuple(Share(rate, net, _dong(net * vat.percent(rate))) for rate, net in sorted(nets.items()))


def _single(printed: str | None) -> str | None:
    """The rate, where the text names one and not several."""
    return printed if printed is not None and len(vat.rates(printed)) == 1 else None


def amount(value: str | None) -> Decimal | None:
    """A canonical amount of a record as a number."""
    return None if value is None else Decimal(value)


_WIDE = Context(prec=1000)  # a misread amount may have more digits than the 28 that numbers have by default


def _dong(value: Decimal) -> Decimal:
    return value.quantize(Decimal(1), ROUND_HALF_UP, _WIDE)
