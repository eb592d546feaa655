"""How one value stands on paper: the pattern of its text, and the way from the text to a normal form.

A pattern says which characters and what rough shape the text has. It is deliberately wider than what is
valid: a misprint must come out as printed and be found by `parse` or by a check, never be bent into
something valid.
"""

from __future__ import annotations

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
    """

    pattern: str
    parse: Callable[[str], Any]
    sql: Sql
    max_chars: int
    readings: Callable[[str], tuple[Decimal, ...]] | None = None


# Members of a character class: every Vietnamese letter, composed (NFC), and the basic Latin ones.
LETTERS = "A-Za-zÀ-ÃÈ-ÊÌÍÒ-ÕÙÚÝà-ãè-êìíò-õùúýĂăĐđĨĩŨũƠơƯưẠ-ỹ"

# What running text may hold: printable ASCII but the backslash, Latin letters, dashes, curly quotes, currency
# signs. The first character is no space.
_SOLID = r"!-\[\]-~¡-ɏẠ-ỹ‐-―‘-”•…€₫"


def text_pattern(max_chars: int) -> str:
    """Running text of 1 to `max_chars` characters that does not start with a space."""
    return f"[{_SOLID}]" + (f"[ {_SOLID}]{{0,{max_chars - 1}}}" if max_chars > 1 else "")
