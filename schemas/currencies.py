"""Currencies as they stand beside amounts and in words, by ISO 4217."""

from __future__ import annotations

import re
from decimal import Decimal

from schemas.text import unaccented

DONG = "VND"
# Currencies without coins, and those that are printed with three decimals.
NO_COINS = frozenset("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split())  # noqa: SIM905
MILLS = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))

_SIGNS = {
    "$": "USD",
    "US$": "USD",
    "€": "EUR",
    "£": "GBP",
    "RMB": "CNY",
    "₫": DONG,
    "Đ": DONG,
    "ĐỒNG": DONG,
    "VNĐ": DONG,
}
_SIGN = re.compile(
    r"US\$|RMB|VNĐ|ĐỒNG|[$€£₫Đ]|(?<![A-Z])(?:AUD|CAD|CHF|CNY|EUR|GBP|HKD|JPY|KRW|KWD|SGD|THB|TWD|USD|VND)(?![A-Z])"
)
_WORDS = (
    ("USD", re.compile(r"\b(?:do la|usd|dollars?)\b")),
    ("EUR", re.compile(r"\b(?:euro|eur|o ro)\b")),
    ("JPY", re.compile(r"\b(?:yen|jpy)\b")),
    ("CNY", re.compile(r"\b(?:nhan dan te|cny|rmb)\b")),
    ("KRW", re.compile(r"\b(?:won|krw)\b")),
    ("GBP", re.compile(r"\b(?:bang anh|gbp)\b")),
    (DONG, re.compile(r"\b(?:dong|vnd)\b")),
)


def coin(currency: str | None) -> Decimal:
    """The smallest coin; where no currency is known, that of the đồng."""
    if currency is None or currency in NO_COINS:
        return Decimal(1)
    return Decimal("0.001") if currency in MILLS else Decimal("0.01")


def beside(amount: str) -> str | None:
    """The currency whose sign or code stands beside a printed amount, as in "1.234,50 USD" or "$12"."""
    found = _SIGN.search(amount.upper())
    return None if found is None else _SIGNS.get(found[0], found[0])


def in_words(text: str) -> str | None:
    """The currency that an amount in words names, None where it names none that is known."""
    plain = unaccented(text).casefold()
    return next((code for code, words in _WORDS if words.search(plain)), None)
