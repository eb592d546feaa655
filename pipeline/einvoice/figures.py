"""Whether the figures of an XML document are written as XML writes them, or in groups as print has them.

XML has no groups of thousands: 540.000 is 540. An issuer that writes 1.234.567 elsewhere means 540 thousand
by it, and where nothing in the document tells which, neither is taken in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pipeline.einvoice.lexical import is_number
from pipeline.normal import normal
from pipeline.records import Check, Field
from schemas import numbers
from schemas.shape import Leaf, leaf_path

Way = Literal["xml", "print"]

_FIGURES = ("decimal", "real")
_ONE_GROUP = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")
_GROUPS_MISSING = re.compile(r"[+-]?[1-9][0-9]{3,}(?:\.[0-9]*)?")
_FEW = 3  # named in a check


def way(fields: Sequence[Field], leaves: Mapping[str, Leaf]) -> Way | None:
    """How these figures are written; None where they fit both. Where one can only be XML's, all are."""
    found = None
    for field in fields:
        if field.raw is not None and (leaf := leaves.get(leaf_path(field.path))) is not None:
            proof = _proof(field.raw.strip(), leaf) if leaf.printed.sql in _FIGURES else None
            if proof == "xml":
                return proof
            found = found or proof
    return found


def _proof(text: str, leaf: Leaf) -> Way | None:
    if not is_number(text):
        return "print" if _is_printed(text) else None
    if _is_money(leaf) and _GROUPS_MISSING.fullmatch(text):  # a count may have none, and amounts have
        return "xml"
    return "xml" if "." in text and text.strip("+-0.") and not _ONE_GROUP.fullmatch(text) else None


def _is_printed(text: str) -> bool:
    try:
        return numbers.style_of(text) is not None
    except ValueError:
        return False


def as_printed(field: Field, leaves: Mapping[str, Leaf]) -> Field:
    """The field with what its figure is in print; `schemas.settle` then asks all of the document."""
    leaf = leaves.get(leaf_path(field.path))
    if field.raw is None or leaf is None or leaf.printed.sql not in _FIGURES:
        return field
    value, problem = normal(leaf, field.raw)
    return field._replace(value=value, problem=problem)


def unclear(fields: Sequence[Field], leaves: Mapping[str, Leaf]) -> Check | None:
    """What to say of amounts like 540.000 where no other figure tells what they are."""
    paths = [
        field.path
        for field in fields
        if field.raw is not None and (leaf := leaves.get(leaf_path(field.path))) is not None
        if _may_be_thousands(field.raw.strip(), leaf)
    ]
    if not paths:
        return None
    named = ", ".join(paths[:_FEW]) + (", …" if len(paths) > _FEW else "")
    message = f"{named}: written like 540.000, which is 540 in XML; the issuer may mean thousands"
    return Check("thousands_unclear", False, "warning", message, tuple(paths))


def _is_money(leaf: Leaf) -> bool:
    return leaf.printed.parse is numbers.money


def _may_be_thousands(text: str, leaf: Leaf) -> bool:
    return _is_money(leaf) and _ONE_GROUP.fullmatch(text) is not None
