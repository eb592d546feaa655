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

_SIGN = r"vnd|vnđ|usd|eur|gbp|jpy|cny|krw|kwd|sgd|thb|aud|cad|chf|hkd|twd|rmb|us\$|₫|đ|\$|€|£"
_CURRENCY = re.compile(rf"(?:^(?:{_SIGN})\s*)|(?:\s*(?:{_SIGN}|đồng)$)", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<=[0-9]) ?(?:(k|nghìn|ngàn)|(tr|triệu))$", re.IGNORECASE)  # 45k, 1,5tr
_PLAIN = re.compile(r"[0-9]+")
_GROUPED = {
    "dot": re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+(?:,[0-9]+)?"),
    "comma": re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?"),
}
_DECIMAL = {"dot": re.compile(r"[0-9]+,[0-9]+"), "comma": re.compile(r"[0-9]+\.[0-9]+")}
_STYLES: tuple[Style, Style] = ("dot", "comma")
_SIGNS = {"dot": (".", ","), "comma": (",", ".")}  # of groups, of decimals


def _bare(raw: str) -> tuple[int, str]:
    """A factor, and the digits with their separators, without currency, brackets and spaces.

    The factor is the sign, and a thousand times that behind "45k".
    """
    text = _CURRENCY.sub("", tidy(raw).replace("−", "-").replace("–", "-"))
    sign = 1
    if scale := _THOUSANDS.search(text):
        sign, text = 1000 if scale[1] else 1_000_000, text[: scale.start()]
    if text.startswith("(") and text.endswith(")"):  # an accountant's negative
        sign, text = -sign, text[1:-1]
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


def _times(factor: int, value: Decimal) -> Decimal:
    """The product, without idle zeros behind the point where thousands were meant."""
    product = factor * value
    whole = abs(factor) > 1 and product == product.to_integral_value()
    return product.quantize(Decimal(1)) if whole else product


def in_style(raw: str, style: Style) -> Decimal | None:
    """The number read with `style`'s separators; None where the text is no number in that style."""
    sign, text = _bare(raw)
    value = _read(text, style)
    return None if value is None else _times(sign, value)


def readings(raw: str) -> tuple[Decimal, ...]:
    """Every number that the text may mean: one, or for "1.234" the grouped one and then the decimal one.

    Raises ValueError where the text is no number in either style.
    """
    sign, text = _bare(raw)
    found = [value for style in _STYLES if (value := _read(text, style)) is not None]
    if not found:
        raise ValueError(f"{raw!r} is no number written like 1.234,56 or 1,234.56")
    return tuple(sorted({_times(sign, value) for value in found}, key=abs, reverse=True))


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
