"""Invented trade: companies, shops, tax codes that begin with 99, goods with prices, printed numbers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from random import Random

from pipeline.specimens.content import (
    COMPANY_FORMS,
    GOODS,
    KINDS_OF_SHOP,
    PLACE_FIRST,
    PLACE_LAST,
    TRADES,
    WARES,
)
from pipeline.specimens.people import People

_CHECK_WEIGHTS = (31, 29, 23, 19, 17, 13, 7, 5, 3)


@dataclass(frozen=True, slots=True)
class Company:
    name: str
    tax_code: str
    address: str


class Trade:
    """A source of invented companies, shops and goods."""

    def __init__(self, rng: Random, invented: float = 0.0) -> None:
        self.rng = rng
        self.people = People(rng, invented)

    def company(self, branch: float = 0.1) -> Company:
        rng = self.rng
        own = " ".join(self.people.word(PLACE_FIRST + PLACE_LAST) for _ in range(rng.randint(1, 2))).upper()
        trade = rng.choice(TRADES)
        name = f"{rng.choice(COMPANY_FORMS)} {trade} {own}"
        return Company(name, tax_code(rng, branch), self.people.address())

    def shop(self) -> Company:
        rng = self.rng
        own = f"{self.people.word(PLACE_FIRST)} {self.people.word(PLACE_LAST)}"
        name = f"{rng.choice(KINDS_OF_SHOP)} {own}"
        if rng.random() < 0.4:
            name = name.upper()
        return Company(name, tax_code(rng, 0.0), self.people.address())

    def ware(self) -> tuple[str, int]:
        """A short name (at most about 16 letters) and a price in đồng."""
        rng = self.rng
        name, _, thousands = rng.choice(WARES)
        if rng.random() < self.people.invented:
            name = " ".join(self.people.syllable() for _ in range(2))
        if rng.random() < 0.25 and len(name) <= 9:
            name = f"{name} {rng.choice(('lớn', 'nhỏ', 'đá', 'gói', '1kg', '500g', 'hộp', 'x2'))}"
        price = thousands * 1000 * rng.choice((80, 90, 95, 100, 100, 105, 110, 120, 125)) // 100
        return name, price // 500 * 500 or 500

    def good(self) -> tuple[str, str, int]:
        """A name, a unit and a price in đồng."""
        rng = self.rng
        name, unit, thousands = rng.choice(GOODS)
        price = thousands * 1000 * rng.randint(80, 130) // 100
        return name, unit, price // 100 * 100


def tax_code(rng: Random, branch: float) -> str:
    """Ten digits from 99 with the right check digit; with chance `branch` followed by "-001" and so on."""
    while True:
        stem = f"99{rng.randint(0, 9_999_999):07d}"
        check = 10 - sum(w * int(d) for w, d in zip(_CHECK_WEIGHTS, stem, strict=True)) % 11
        if 0 <= check <= 9:
            return f"{stem}{check}" + (f"-{rng.randint(1, 12):03d}" if rng.random() < branch else "")


def amount(value: int | Decimal, point: str) -> str:
    """Thousands parted by `point` ("." or ","), the other one before decimals: 1.234.567,5 or 1,234,567.5."""
    whole, _, decimals = format(Decimal(value), "f").partition(".")
    text = f"{int(whole):,}".replace(",", point)
    return f"{text}{',' if point == '.' else '.'}{decimals}" if decimals else text
