"""Two texts of one page, held against each other by their words: who left something out, who made it up."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_TOKEN = re.compile(r"[^\W_]+(?:[.,/:-][^\W_]+)*")
_SHORT = 4  # digits: a figure of fewer may be a count or a line's number, which nobody prints


def tokens(text: str) -> list[str]:
    """Words and figures, NFC and in small letters; 1.234.567 and 01/02/2026 are one each."""
    return _TOKEN.findall(unicodedata.normalize("NFC", text).casefold())


def figures(text: str) -> set[str]:
    """The digits of each figure of four digits and more, however they are grouped."""
    found = (re.sub(r"\D", "", token) for token in tokens(text) if any(map(str.isdigit, token)))
    return {digits for digits in found if len(digits) >= _SHORT}


def left_out(standing: str, said: str) -> tuple[int, int]:
    """How many words of `standing` are not in `said`, each as often as it stands there; and of how many."""
    there = Counter(tokens(standing))
    missing = there - Counter(tokens(said))
    return missing.total(), there.total()


def likeness(one: str, other: str) -> float:
    """0 to 1: what part of the words of both they have in common, with those of the other only once each."""
    a, b = Counter(tokens(one)), Counter(tokens(other))
    together = (a | b).total()
    return (a & b).total() / together if together else 0.0
