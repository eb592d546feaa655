"""Printed numbers in both legal styles: 1.234,56 (dot groups) and 1,234.56 (comma groups).

One separator followed by exactly three digits ("1.234") is either a group or decimals. `readings` gives both;
schemas/settle.py picks the one that the document's own style or its arithmetic supports.
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
_PLAIN = re.compile(r"[0-9]+")
_GROUPED = {
    "dot": re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+(?:,[0-9]+)?"),
    "comma": re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?"),
}
_DECIMAL = {"dot": re.compile(r"[0-9]+,[0-9]+"), "comma": re.compile(r"[0-9]+\.[0-9]+")}
_STYLES: tuple[Style, Style] = ("dot", "comma")
_SIGNS = {"dot": (".", ","), "comma": (",", ".")}  # of groups, of decimals


def _bare(raw: str) -> tuple[int, str]:
    """The sign and the digits with their separators, without currency, brackets and spaces."""
    text = _CURRENCY.sub("", tidy(raw).replace("−", "-").replace("–", "-"))
    sign = 1
    if text.startswith("(") and text.endswith(")"):  # an accountant's negative
        sign, text = -1, text[1:-1]
    if text[:1] in ("-", "+"):
        sign, text = (-sign if text[0] == "-" else sign), text[1:]
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,3}(?: [0-9]{3})+(?:[.,][0-9]+)?", text):  # groups of three set apart by spaces
        text = text.replace(" ", "")
    return sign, text


def _read(text: str, style: Style) -> Decimal | None:
    """The number that `text` is in this style, None where it is none."""
    if _PLAIN.fullmatch(text) or _GROUPED[style].fullmatch(text) or _DECIMAL[style].fullmatch(text):
        group, point = _SIGNS[style]
        whole, _, fraction = text.replace(group, "").partition(point)
        return Decimal(f"{whole}.{fraction}".rstrip("0").rstrip("."))  # 2.000 and 2 are one value
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


def style_of(raw: str, decimals: bool = True) -> Style | None:
    """The style that the text proves, None where it fits both or neither.

    `decimals` False: a single separator before three digits is known to be a group, as in amounts of money.
    """
    text = _bare(raw)[1]
    fits = [style for style in _STYLES if _read(text, style) is not None]
    if len(fits) == 2 and not decimals:
        fits = [style for style in _STYLES if _GROUPED[style].fullmatch(text)]
    return fits[0] if len(fits) == 1 else None


def number(raw: str) -> Decimal:
    """The likeliest number: a single separator before exactly three digits counts as a group."""
    return readings(raw)[0]


def money(raw: str) -> Decimal:
    """An amount of money alone: three digits after the only separator are thousands, as in đồng.

    In a document schemas/settle.py looks at the currency and at how the paper writes other amounts.
    """
    return number(raw)


def decimals(raw: str, style: Style) -> int:
    """How many decimals the text shows as a number of this style: "1.234,000" three in the style of dots."""
    return len(_bare(raw)[1].partition(_SIGNS[style][1])[2])


def real(raw: str) -> float:
    """The likeliest number in binary, for what is measured and never for money."""
    return float(number(raw))


def whole(raw: str) -> int:
    """A whole number. Raises ValueError where there are decimals."""
    value = number(raw)
    if value != value.to_integral_value():
        raise ValueError(f"{raw!r} is no whole number")
    return int(value)
