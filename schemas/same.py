"""Whether two readings of one field say the same, though one writes it otherwise."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from schemas.printed import Printed
from schemas.text import alike

_ROUNDED = Decimal("0.0001")  # a share of the figure: what one side may have rounded away


def same(printed: Printed, one: Any, other: Any) -> bool:
    """Of two JSON-ready values of one field: figures as numbers, texts whatever their capitals and commas."""
    if one == other:
        return True
    if printed.same is not None:
        return printed.same(one, other)
    if printed.sql == "decimal":
        return _figures(one, other)
    return printed.sql == "text" and alike(str(one), str(other))


def _figures(one: Any, other: Any) -> bool:
    """Two figures that are equal, or of which one is the other rounded to the decimals that it has."""
    try:
        figures = Decimal(one), Decimal(other)
        if abs(figures[0] - figures[1]) > abs(figures[0]) * _ROUNDED:
            return False
        short, long = sorted(figures, key=_decimals)
        return long.quantize(Decimal(1).scaleb(-_decimals(short)), ROUND_HALF_UP) == short
    except InvalidOperation:
        return False


def _decimals(figure: Decimal) -> int:
    return max(0, -int(figure.normalize().as_tuple().exponent))
