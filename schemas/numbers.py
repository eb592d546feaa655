"""Printed numbers in both legal styles: 1.234,56 (dot groups) and 1,234.56 (comma groups).

One separator followed by exactly three digits ("1.234") is either a group or decimals. `readings` gives both;
`settle` in schemas/settle.py picks the one that the document's own style or its arithmetic supports.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal

from schemas.text import tidy

Style = Literal["dot", "comma"]  # the sign that separates thousands

_CURRENCY = re.compile(
    r"(?:^(?:vnd|vnđ|usd|eur|₫|đ|\$|€)\s*)|(?:\s*(?:vnd|vnđ|usd|eur|đồng|₫|đ|\$|€)$)", re.IGNORECASE
)
_PLAIN = re.compile(r"\d+")
_GROUPED = {
    "dot": re.compile(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?"),
    "comma": re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?"),
}
_DECIMAL = {"dot": re.compile(r"\d+,\d+"), "comma": re.compile(r"\d+\.\d+")}
_STYLES: tuple[Style, Style] = ("dot", "comma")


def _bare(raw: str) -> tuple[int, str]:
    """The sign and the digits with their separators, without currency, brackets and spaces."""
    text = _CURRENCY.sub("", tidy(raw).replace("−", "-").replace("–", "-"))
    sign = 1
    if text.startswith("(") and text.endswith(")"):  # an accountant's negative
        sign, text = -1, text[1:-1]
    if text[:1] in ("-", "+"):
        sign, text = (-sign if text[0] == "-" else sign), text[1:]
    text = text.strip()
    if re.fullmatch(r"\d{1,3}(?: \d{3})+(?:[.,]\d+)?", text):  # groups of three set apart by spaces
        text = text.replace(" ", "")
    return sign, text


def _read(text: str, style: Style) -> Decimal | None:
    """The number that `text` is in this style, None where it is none."""
    if _PLAIN.fullmatch(text) or _GROUPED[style].fullmatch(text) or _DECIMAL[style].fullmatch(text):
        group, point = (".", ",") if style == "dot" else (",", ".")
        return Decimal(text.replace(group, "").replace(point, "."))
    return None


def in_style(raw: str, style: Style) -> Decimal | None:
    """The number read with `style`'s separators; None where the text is no number in that style."""
    sign, text = _bare(raw)
    value = _read(text, style)
    return None if value is None else sign * value


def readings(raw: str) -> tuple[Decimal, ...]:
    """Every number that the text may mean: one, or for "1.234" the grouped one and then the decimal one.

    Raises ValueError where the text is no number in either style.
    """
    sign, text = _bare(raw)
    found = [value for style in _STYLES if (value := _read(text, style)) is not None]
    if not found:
        raise ValueError(f"{raw!r} is no number written like 1.234,56 or 1,234.56")
    return tuple(sorted({sign * value for value in found}, key=abs, reverse=True))


def style_of(raw: str) -> Style | None:
    """The style that the text proves, None where it fits both or neither."""
    text = _bare(raw)[1]
    fits = [style for style in _STYLES if _read(text, style) is not None]
    return fits[0] if len(fits) == 1 else None


def number(raw: str) -> Decimal:
    """The likeliest number: a single separator before exactly three digits counts as a group."""
    return readings(raw)[0]


def money(raw: str) -> Decimal:
    """An amount of money. Three digits after the only separator are thousands: no currency has mills."""
    return number(raw)


def whole(raw: str) -> int:
    """A whole number. Raises ValueError where there are decimals."""
    value = number(raw)
    if value != value.to_integral_value():
        raise ValueError(f"{raw!r} is no whole number")
    return int(value)
