"""How XML writes values (XML Schema, part 2): one way each, so that "1.234" is never a thousand."""

from __future__ import annotations

import html
import re
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from pipeline.normal import json_ready, normal
from schemas.shape import Leaf, Printed

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")  # .NET writes 1E+07
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)
_ESCAPED = re.compile(r"&(?:amp;)*((?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});)")
_LONGEST_NUMBER = 60  # characters
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def exact(leaf: Leaf, raw: str) -> tuple[Any, str | None]:
    """The normalised, JSON-ready value of a text in XML and None, or None and what is wrong with it.

    A text that is not written as XML Schema says is read as if it were printed. Of a text that was escaped
    twice the second time is undone: "A &amp; B" is A & B, and no name has "&amp;" in it. A time of day or
    zone beside a date is left out: the day is the one that is written. Raises as `normal`.
    """
    try:
        value, problem = _remembered(leaf.printed, leaf.label, raw)
    except TypeError:  # a schema's own way of reading may have no hash
        value, problem = _exact(leaf.printed, leaf.label, raw)
    return value, None if leaf.xml is not None and leaf.xml.loose else problem


def is_number(text: str) -> bool:
    """Whether a figure is written as XML writes it."""
    return len(text) <= _LONGEST_NUMBER and _NUMBER.fullmatch(text) is not None


def _exact(printed: Printed, label: str, raw: str) -> tuple[Any, str | None]:
    kind, text = printed.sql, raw.strip()
    if kind in ("decimal", "integer", "real"):
        if is_number(text):
            return _number(text, kind)
    elif kind in ("date", "datetime"):
        found = _MOMENT.fullmatch(text)
        if found and (kind == "date" or found[2]):
            return _moment(found[1], found[2] if kind == "datetime" else None)
    elif kind == "boolean" and text in _TRUTH:
        return _TRUTH[text], None
    return normal(Leaf("", label, printed), _ESCAPED.sub(_unescaped, raw) if "&" in raw else raw)


def _unescaped(found: re.Match[str]) -> str:
    text = html.unescape(f"&{found[1]}")
    return text if text and (text.isprintable() or text.isspace()) else found[0]


# Most lines have one rate and unit, and pages from the store are read again when they are merged.
_remembered = lru_cache(maxsize=4096)(_exact)


def _number(text: str, kind: str) -> tuple[Any, str | None]:
    value = Decimal(text)
    if kind == "real":
        return float(value), None
    plain = format(value, "f")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain  # 2.000 and 2 are one value, as in print
    if kind == "decimal":
        return plain, None
    return (int(plain), None) if "." not in plain else (None, f"{text!r} is no whole number")


def _moment(day: str, clock: str | None) -> tuple[Any, str | None]:
    try:
        found = datetime.fromisoformat(f"{day}T{clock}") if clock else date.fromisoformat(day)
    except ValueError:
        return None, f"{day!r}{f' {clock}' if clock else ''} is a moment that does not exist"
    return json_ready(found), None
