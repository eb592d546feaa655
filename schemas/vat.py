"""Value-added-tax rates: a rate is right or wrong on the day of an invoice. The days stand in `law.toml`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from schemas import law
from schemas.fields import STRUCK_OUT

# Not taxable (không chịu thuế), neither declared nor paid (không kê khai, nộp thuế), and a rate struck out.
UNTAXED = ("KCT", "KKKNT", STRUCK_OUT)
UNDETERMINED = "KHAC"  # another rate, of which no percentage is said; the layout has KHAC:x%


def in_force(rate: str, on: date | None, *, or_before: bool = False) -> bool:
    """Whether the normalised rate existed on that day, or ever where the day is not known.

    `or_before`: or on an earlier day, as for an invoice that adjusts an earlier one.
    """
    if rate in UNTAXED or rate.startswith(UNDETERMINED):  # "other", which may name its own percentage
        return True
    periods = [period for period in law.in_force().vat_rates if period.rate == rate]
    return law.holds(periods, on) or (
        or_before and any((p.begin or date.min) <= (on or date.max) for p in periods)
    )


def rates(printed: str) -> Sequence[str]:
    """The rates that one text names: "8%; 10%" two, most texts one."""
    return printed.split("; ")


def percent(rate: str) -> Decimal:
    """The tax as a share of the net: "8%" → 0.08; 0 where a rate is none or has no known percentage."""
    if rate in (*UNTAXED, UNDETERMINED):
        return Decimal(0)
    return Decimal(rate.removeprefix("KHAC:").removesuffix("%")) / 100


def is_free(rate: str) -> bool:
    """Whether the rate says that no tax is charged."""
    return rate != UNDETERMINED and percent(rate) == 0
