"""What a line of a table lacks that the rest of it bears."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from schemas import sums
from schemas.checks import CheckResult


def gaps(lines: Sequence[Any], *, single: bool = False, path: str = "lines") -> Iterator[CheckResult]:
    """Lines with a price and no count, or a count and no price, though others have both; or without a unit.

    `single`: also in a table of one line. A flat charge has neither count nor price, and a discount, a gift
    or a note need not have them. What comes to 0 need not have a price.
    """
    goods = [
        (i, line)
        for i, line in enumerate(lines)
        if not (sums.is_note(line) or sums.is_discount(line) or sums.is_gift(line))
    ]
    for i, line in goods:
        others = [other for at, other in goods if at != i]
        lacking = [
            name
            for name, counterpart in (("quantity", "unit_price"), ("unit_price", "quantity"))
            if _lacks(line, name, counterpart, others, single)
        ]
        if _lacks_unit(line, others):
            lacking.append("unit")
        for name in lacking:
            here = f"{path}[{i}].{name}"
            message = f"{here}: nothing was read there, and the line or the others are not whole without it"
            yield CheckResult("line_gap", False, "warning", message, (here,))


def _lacks(line: Any, name: str, counterpart: str, others: Sequence[Any], single: bool) -> bool:
    if getattr(line, name) is not None or getattr(line, counterpart) is None:
        return False
    if name == "unit_price" and line.amount == 0:
        return False
    if others:
        return any(getattr(other, name) is not None for other in others)
    # One piece costs what its price says, and not everybody prints both.
    return single or not (line.quantity == 1 or (line.quantity is None and line.unit_price == line.amount))


def _lacks_unit(line: Any, others: Sequence[Any]) -> bool:
    if getattr(line, "unit", "") is not None or line.quantity is None:
        return False
    counted = [other for other in others if other.quantity is not None]
    return bool(counted) and all(other.unit is not None for other in counted)


def rates(lines: Sequence[Any], path: str = "lines") -> Iterator[CheckResult]:
    """Lines with an amount and no rate, though others have their own."""
    rated = [line.vat_rate is not None for line in lines]
    if not any(rated):
        return
    for i, line in enumerate(lines):
        if not rated[i] and line.amount and not sums.is_note(line) and not sums.is_gift(line):
            here = f"{path}[{i}].vat_rate"
            message = f"{here}: nothing was read there, and other lines have a rate of their own"
            yield CheckResult("line_gap", False, "warning", message, (here,))
