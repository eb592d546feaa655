"""What an invoice says of another one: that it replaces or adjusts it, or was replaced or adjusted by it.

The words are those of Decree 123/2020, article 19, and of Decree 254/2026 after it: "Thay thế cho hóa đơn Mẫu
số … ký hiệu … số … ngày … tháng … năm …", "Điều chỉnh cho hóa đơn …"; a portal prints "Hóa đơn đã bị thay thế
bởi …".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from schemas.identity import Identity, identity
from schemas.in_xml import NOTE
from schemas.text import unaccented

Relation = Literal["replaces", "adjusts", "replaced by", "adjusted by"]

_RELATIONS: tuple[tuple[re.Pattern[str], Relation], ...] = (
    (re.compile(r"bi thay the|replaced by"), "replaced by"),
    (re.compile(r"bi dieu chinh|adjusted by"), "adjusted by"),
    (re.compile(r"thay the|replace"), "replaces"),
    (re.compile(r"dieu chinh|adjust"), "adjusts"),
)
_LABEL = r"(?: ?\([^)]{0,40}\))? ?:? ?"  # "ký hiệu (series):"
_FORM = re.compile(rf"(?:mau so|mau hoa don|form(?: no\.?)?){_LABEL}([0-9][0-9a-z/]*)")
_SERIES = re.compile(
    rf"(?:ky hieu(?: hoa don)?|serial(?: no\.?)?|series){_LABEL}([0-9a-z]{{2,8}}(?:/[0-9a-z]+)?)"
)
_NUMBER = re.compile(rf"(?<!mau )(?<!form )\b(?:so(?: hoa don)?|no\.?|number){_LABEL}([0-9]{{1,10}})\b")


@dataclass(frozen=True, slots=True)
class Related:
    """How this invoice stands to the other; `other` is None where the words do not say which one it is."""

    relation: Relation
    other: Identity | None


def related(text: str | None, seller_tax_code: str | None) -> Related | None:
    """Reads the note on another invoice of the same seller; None where no relation is named."""
    said = (text or "").partition(NOTE)[0]  # a note may name what else there is
    plain = " ".join(unaccented(said).casefold().split())
    relation = next((name for pattern, name in _RELATIONS if pattern.search(plain)), None)
    if relation is None:
        return None
    form, series, number = (
        found[1] if (found := pattern.search(plain)) else None for pattern in (_FORM, _SERIES, _NUMBER)
    )
    return Related(relation, identity(seller_tax_code, form, series, number))
