"""How far printed figures may be apart, and what the lines of a table may add up to.

No rule of law on rounding was found, so nothing is allowed that no rounding explains: whole figures add up
exactly, and a product may be off by what the rounding of its printed factors comes to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import lru_cache
from itertools import product
from typing import Any

from schemas.text import unaccented

_HALF = Decimal("0.5")
_QUARTER = Decimal("0.25")
_ROUND_PRICE = 100  # whole prices that are multiples of this were set, and not worked out from an amount

# What is taken off, whether or not its amount has a sign. Words of a name, without diacritics.
_DISCOUNT = re.compile(
    r"\b(?:chiet khau|giam|khau tru|tru|khuyen mai|uu dai|hoan tien|tra lai|thuong doanh so|ck(?:tm)?|"
    r"discount|rebate|voucher|coupon|phieu (?:qua|mua hang)|diem thuong|tich diem)\b"
)
# What is given away: printed with a price, and not charged.
_GIFT = re.compile(
    r"\b(?:khuyen mai|hang tang|qua tang|tang kem|tang|bieu|hang mau|km|khong thu tien|mien phi|"
    r"free|foc|gift|promotion)\b"
)
GOODS, GIFT, DISCOUNT, NOTE = 1, 2, 3, 4  # a line's nature, TChat of Decision 1450/QĐ-TCT


@dataclass(frozen=True, slots=True)
class Span:
    """Every figure from `low` to `high`, both included, around the `exact` one."""

    low: Decimal
    exact: Decimal
    high: Decimal

    @classmethod
    def of(cls, exact: Decimal, slack: Decimal = Decimal(0)) -> Span:
        return cls(exact - slack, exact, exact + slack)

    def less(self, off: Decimal) -> Span:
        return Span(self.low - off, self.exact - off, self.high - off)

    def holds(self, value: Decimal) -> bool:
        return self.low <= value <= self.high

    def gap(self, value: Decimal) -> Decimal:
        """How far the value is outside, 0 inside."""
        return max(self.low - value, value - self.high, Decimal(0))


def rounded(exact: Decimal, unit: Decimal) -> Span:
    """The figure as it may be printed in whole `unit`s: itself, or rounded up or down."""
    return Span(exact.quantize(unit, ROUND_FLOOR), exact, exact.quantize(unit, ROUND_CEILING))


def total(spans: Iterable[Span]) -> Span:
    found = tuple(spans)
    low, exact, high = (
        sum((getattr(span, name) for span in found), Decimal(0)) for name in ("low", "exact", "high")
    )
    return Span(low, exact, high)


def places(value: Decimal) -> int:
    """Decimals that count: 2 for 12.50 and 12.34, 1 for 12.5; idle zeros were dropped when it was read."""
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def half_place(value: Decimal) -> Decimal:
    """Half of the last printed place: how far a rounded figure may be off."""
    return _HALF.scaleb(-places(value))


def slack(quantity: Decimal, price: Decimal, unit: Decimal) -> Decimal:
    """How far a product may be off because its factors were rounded.

    A unit price may have been worked out from the amount, and a quantity too (litres at a pump): each is off
    by up to half of its last printed place. A round price was not, nor a count of pieces or of quarters.
    """
    worked_out = places(price) or price % _ROUND_PRICE
    of_price = abs(quantity) * min(half_place(price), unit / 2) if worked_out else Decimal(0)
    measured = places(quantity) > 1 and quantity % _QUARTER
    return of_price + (abs(price) * half_place(quantity) if measured else Decimal(0))


def factors(quantity: Decimal, price: Decimal, unit: Decimal) -> Span:
    """What quantity × price may come to, in whole `unit`s or by the rounding of its factors."""
    exact, off = quantity * price, slack(quantity, price, unit)
    around = rounded(exact, unit)
    return Span(min(around.low, exact - off), exact, max(around.high, exact + off))


def is_discount(line: Any) -> bool:
    """A line that takes something off: by its nature, or by its name where it has no price of its own."""
    if (nature := getattr(line, "nature", None)) is not None:
        return bool(nature == DISCOUNT)
    return line.name is not None and _names_discount(line.name)


def is_gift(line: Any) -> bool:
    if (nature := getattr(line, "nature", None)) is not None:
        return bool(nature == GIFT)
    return line.name is not None and _names_gift(line.name)


@lru_cache(maxsize=4096)  # rules ask for each line's name many times
def _names_discount(name: str) -> bool:
    return bool(_DISCOUNT.search(unaccented(name).casefold()))


@lru_cache(maxsize=4096)
def _names_gift(name: str) -> bool:
    return bool(_GIFT.search(unaccented(name).casefold()))


def is_note(line: Any) -> bool:
    """A line of words alone: a remark, or a heading between goods."""
    if getattr(line, "nature", None) == NOTE:
        return True
    return line.amount is None and line.quantity is None and line.unit_price is None


def charged(lines: Sequence[Any]) -> Iterator[tuple[Decimal, ...]]:
    """What each line may come to: the amounts as printed, then with other signs. Nothing where an amount was
    not read, or no line has one.

    A discount may be printed without its sign, and a gift with a price that nobody pays.
    """
    if all(line.amount is None for line in lines):
        return
    amounts = [Decimal(0) if is_note(line) and line.amount is None else line.amount for line in lines]
    if any(amount is None for amount in amounts):
        return
    plain = tuple(amount for amount in amounts if amount is not None)
    off = {i for i, line in enumerate(lines) if plain[i] > 0 and is_discount(line)}
    # What is taken off has no quantity: "Khuyến mại -20.000" is no gift.
    free = {
        i
        for i, line in enumerate(lines)
        if is_gift(line) and (plain[i] > 0 or (plain[i] and line.quantity is not None))
    }
    bare = [
        i
        for i, line in enumerate(lines)
        if plain[i] > 0 and line.quantity is None and line.unit_price is None
    ]
    named = [frozenset[int](), frozenset(off), *(frozenset({i}) for i in off if len(plain) > 1)]
    # Nothing says that a bare amount is taken off; with a gift beside it too much would come out.
    unnamed = [(frozenset({i}), frozenset[int]()) for i in bare if len(plain) > 1]
    seen = set()
    for taken, given in (*product(dict.fromkeys(named), (frozenset[int](), frozenset(free))), *unnamed):
        signed = tuple(
            Decimal(0) if i in given and i not in taken else -amount if i in taken else amount
            for i, amount in enumerate(plain)
        )
        if signed not in seen:
            seen.add(signed)
            yield signed


def unrounded(lines: Sequence[Any], printed: Decimal, unit: Decimal) -> Iterator[Span]:
    """The sum of the products, where amounts were rounded for print and the printed sum not made of them."""
    goods = [line for line in lines if not is_note(line)]
    if not goods or any(None in (line.quantity, line.unit_price, line.amount) for line in goods):
        return
    if all(line.quantity * line.unit_price == line.amount for line in goods):
        return  # nothing was rounded
    amounts = sum((line.amount for line in goods), Decimal(0))
    if abs(amounts - printed) <= unit * len(goods) / 2:
        made = sum((line.quantity * line.unit_price for line in goods), Decimal(0))
        off = sum((slack(line.quantity, line.unit_price, unit) for line in goods), Decimal(0))
        around = rounded(made, unit)
        yield Span(min(around.low, made - off), made, max(around.high, made + off))
