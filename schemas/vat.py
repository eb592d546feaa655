"""Value-added-tax rates as dated data: a rate is right or wrong on the day of an invoice.

The reduced rate of 8% was set by Decrees 15/2022, 44/2023, 94/2023, 72/2024, 180/2024 and 174/2025, each for
half a year to a year and a half; the last one ends with 2026. Change this table when the law changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

Period = tuple[date, date]  # first and last day

ALWAYS: Period = (date.min, date.max)
PERIODS: Mapping[str, tuple[Period, ...]] = {
    "0%": (ALWAYS,),
    "5%": (ALWAYS,),
    "8%": ((date(2022, 2, 1), date(2022, 12, 31)), (date(2023, 7, 1), date(2026, 12, 31))),
    "10%": (ALWAYS,),
    "KCT": (ALWAYS,),  # không chịu thuế: not taxable
    "KKKNT": (ALWAYS,),  # không kê khai, nộp thuế: neither declared nor paid
}


def in_force(rate: str, on: date | None) -> bool:
    """Whether the normalised rate existed on that day, or ever where the day is not known."""
    if rate.startswith("KHAC:"):  # "other", which names its own percentage
        return True
    return any(on is None or first <= on <= last for first, last in PERIODS.get(rate, ()))


def percent(rate: str) -> Decimal:
    """The tax as a share of the net: "8%" → 0.08; nothing is charged under KCT and KKKNT."""
    if rate in ("KCT", "KKKNT"):
        return Decimal(0)
    return Decimal(rate.removeprefix("KHAC:").removesuffix("%")) / 100
