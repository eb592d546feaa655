"""How one value stands on paper: the pattern of its text, and the way from the text to a normal form.

A pattern says which characters and what rough shape the text has. It is deliberately wider than what is
valid: a misprint must come out as printed and be found by `parse` or by a check, never be bent into
something valid.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

Sql = Literal["text", "decimal", "date", "datetime", "integer", "real", "boolean"]


@dataclass(frozen=True, slots=True)
class Printed:
    """How one value appears on paper, and how it becomes a normal form.

    pattern    a regular expression of the whole printed text, in the regular subset that Rust's regex
               and Python's re share: no look-around, no back-reference, no anchors
    parse      printed text → normalised value (Decimal, date, datetime, str, int, float, bool);
               ValueError says what is wrong
    sql        the column type of the normalised value
    max_chars  the longest plausible printed text; a longer one is a loop
    readings   printed text → every number that it may mean, the likeliest first; None where the text
               can mean only one thing
    same       whether two normalised values are one, though they are written otherwise, like 0000123 and 123;
               None: as `schemas.same` compares values of this column type
    """

    pattern: str
    parse: Callable[[str], Any]
    sql: Sql
    max_chars: int
    readings: Callable[[str], tuple[Decimal, ...]] | None = None
    same: Callable[[Any, Any], bool] | None = None


# Members of a character class: every Latin letter, composed (NFC). Names of people in Vietnam hold those of
# other languages too: Ü, ç, Ł, and ŏ of the minorities' own scripts.
LETTERS = "A-Za-zÀ-ÖØ-öø-ɏẠ-ỹ"

# What running text may hold: printable ASCII but the backslash, Latin and Greek letters (steel is Φ10 thick),
# dashes, curly quotes, signs of measure and money. No other script: a reader that strays into one is lost.
_SOLID = r"!-\[\]-~¡-ɏΑ-ωẠ-ỹ‐-―‘-”•…‰′″€₫℃№™≈≤≥"


def text_pattern(max_chars: int) -> str:
    """Running text of 1 to `max_chars` characters that does not start with a space."""
    return f"[{_SOLID}]" + (f"[ {_SOLID}]{{0,{max_chars - 1}}}" if max_chars > 1 else "")


def whole_pattern(searched: str) -> str:
    """The pattern of the whole text in which `searched` is found, as pydantic's `pattern` searches.

    "^[A-Z]{2}$" → "[A-Z]{2}"; without an anchor other text may stand on that side.
    Raises ValueError for what is not regular: look-around, back-references, anchors and word edges inside.
    """
    body = searched
    start, end = body.startswith("^"), bool(re.search(r"(?<!\\)(?:\\\\)*\$$", body))
    body = body[start : len(body) - end]
    outside = re.sub(
        r"\\[^bBAZzG1-9]|\[\^?\]?(?:\\.|[^\]\\])*\]", "", body
    )  # neither plain escapes nor classes
    if found := re.search(r"\(\?(?:[=!>(]|<[=!]|P=)|\\[bBAZzG1-9]|[\^$]", outside):
        raise ValueError(
            f"holds {found[0]!r}, which a printed form cannot say; write what may stand there instead"
        )
    try:
        re.compile(body)
    except re.error as error:
        raise ValueError(f"is no regular expression of Python's re: {error}") from None
    around = f"[ {_SOLID}]*"
    return f"{'' if start else around}(?:{body}){'' if end else around}"
