"""Which invoice a paper is: seller, form, series and number in one common form.

An invoice is one of its seller's by form, series and number (Decree 254/2026 as Decree 123/2020 before it);
numbers begin anew each year, and the series names the year. Papers that agree in all four are one invoice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas import numbering
from schemas.fields import whole_tax_code
from schemas.text import unaccented

_VALUE_ADDED_TAX = "1"  # the form digit of what the schema `invoice` reads


@dataclass(frozen=True, slots=True)
class Identity:
    """All four in their common form."""

    seller: str
    form: str
    series: str
    number: str

    def __str__(self) -> str:
        return "|".join((self.seller, self.form, self.series, self.number))


def identity(
    seller_tax_code: str | None, form_no: str | None, series: str | None, number: str | None
) -> Identity | None:
    """The common form of what an invoice's head says; None where seller, series or number are absent.

    Spaces, capital letters and leading zeros do not count, nor the first zero of a tax code where it was
    lost; a form digit may stand before the series or apart, and as 1, 01 or 01/GTGT.
    Where a series of today's form comes without one, it is that of the value-added-tax invoice.
    """
    seller, form, bare, digits = map(_plain, (seller_tax_code, form_no, series, number))
    if not (seller and bare and digits):
        return None
    form = numbering.form_digit(form) or form
    known = numbering.series(bare)
    if known is not None and known.age == "new":
        form = known.form or form or _VALUE_ADDED_TAX
        bare = bare.removeprefix(known.form or "")
    return Identity(whole_tax_code(seller), form, bare, digits.lstrip("0") or "0")


def _plain(text: str | None) -> str:
    return re.sub(r"\s", "", unaccented(text or "")).upper()
