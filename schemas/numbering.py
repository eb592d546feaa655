"""How invoices are numbered: form, series, number and the tax authority's code, new and old.

Since July 2022 (Circular 78/2021/TT-BTC, then 32/2025 and 91/2026): a form digit 1-9 and a series such as
C26TAA: C with the authority's code or K without one, the year, the kind, two letters of the seller's. Before
(Circular 39/2014/TT-BTC): a form such as 01GTKT0/001, a series such as AA/21E, numbers of seven digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_NEW = re.compile(r"([1-9])?([CK])([0-9]{2})([TDLMNBGHXF])[A-Z]{2}")
# E: electronic, P: printed on order, T: printed by the seller.
_OLD = re.compile(r"(?:[0-9]{2})?[A-Z]{2}/([0-9]{2})[EPT]")
_OLD_FORM = re.compile(r"0[1-9][A-Z]{2,6}[0-9]/[0-9]{3}")
_NEW_FORM = re.compile(r"0?([1-9])(?:/?[A-Z]{2,4})?")  # 1, 01, 01/GTGT

# What the tax authority gives: 34 signs for an invoice that it was sent, and a range of numbers for a cash
# register: M, the form, the year, the authority's five signs, eleven digits (Decisions 1450 and 1510/QĐ-TCT).
_SENT = re.compile(r"[0-9A-Z]{34}")
_REGISTER = re.compile(r"M[0-9]-([0-9]{2})-[0-9A-Z]{5}-[0-9]{11}")


@dataclass(frozen=True, slots=True)
class Series:
    """form  the digit printed before it, None where it stands apart
    code  C with the authority's code, K without one; None of an old series
    year  two digits
    kind  T, M (of a cash register) and so on; E, P or T of an old one
    """

    age: Literal["new", "old"]
    form: str | None
    code: str | None
    year: str
    kind: str


def series(printed: str) -> Series | None:
    """None for what is neither a new nor an old series."""
    if found := _NEW.fullmatch(printed):
        return Series("new", found[1], found[2], found[3], found[4])
    if found := _OLD.fullmatch(printed):
        return Series("old", None, None, found[1], printed[-1])
    return None


def form_digit(printed: str) -> str | None:
    """The digit of a new form, however it is written: 1, 01, 01/GTGT. None for an old form."""
    found = _NEW_FORM.fullmatch(printed)
    return found[1] if found else None


def is_old_form(printed: str) -> bool:
    """Whether the form is one like 01GTKT0/001."""
    return bool(_OLD_FORM.fullmatch(printed))


def authority_code(printed: str) -> tuple[Literal["sent", "register"], str | None] | None:
    """Which of the two forms the authority's code has, and its year where it holds one; None for neither."""
    plain = printed.upper().replace(" ", "")
    if found := _REGISTER.fullmatch(plain):
        return "register", found[1]
    return ("sent", None) if _SENT.fullmatch(plain) else None
