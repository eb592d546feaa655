"""Two texts of one page, held against each other by their words: who left something out, who made it up."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_TOKEN = re.compile(r"[^\W_]+(?:[.,/:-][^\W_]+)*")
_FIGURE = re.compile(r"\d[\d.,]*")
_SHORT = 4  # digits: a figure of fewer may be a count or a line's number, which nobody prints


def tokens(text: str) -> list[str]:
    """Words and figures, NFC and in small letters; 1.234.567 and 01/02/2026 are one each."""
    return _TOKEN.findall(unicodedata.normalize("NFC", text).casefold())


def figures(text: str, shortest: int = _SHORT) -> set[str]:
    """The digits of each figure of so many and more, however they are grouped; those of a date's parts."""
    found = (re.sub(r"\D", "", figure) for figure in _FIGURE.findall(text))
    return {digits for digits in found if len(digits) >= shortest}


def made_up(said: str, standing: str, shortest: int = _SHORT) -> set[str]:
    """Figures of `said` that are in no line of `standing`, whatever signs stand between their digits."""
    lines = [re.sub(r"\D", "", line) for line in standing.splitlines()]
    return {digits for digits in figures(said, shortest) if not any(digits in line for line in lines)}


def left_out(standing: str, said: str) -> tuple[int, int]:
    """How many words of `standing` are not in `said`, each as often as it stands there; and of how many."""
    there = Counter(tokens(standing))
    missing = there - Counter(tokens(said))
    return missing.total(), there.total()
