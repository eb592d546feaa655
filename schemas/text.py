"""Vietnamese text compared: as printed, with the tone mark's place folded, and without diacritics.

Values are stored as printed; folding serves comparison only.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Literal

Match = Literal["strict", "tone", "unaccented"]

APOSTROPHE = re.compile(r"['’‘ʼ`´] ?")

_TONES = "\u0300\u0301\u0303\u0309\u0323"  # huyền, sắc, ngã, hỏi, nặng


def tidy(raw: str) -> str:
    """NFC, with every run of white space made one space and none at the ends; letters stay as printed."""
    return " ".join(unicodedata.normalize("NFC", raw).split())


class _Bare(dict[int, int | str | None]):
    """What each character, of a text in NFD, is without diacritics; worked out when it is first met."""

    def __missing__(self, code: int) -> int | None:
        self[code] = found = None if unicodedata.combining(chr(code)) else code
        return found


_BARE = _Bare({ord("đ"): "d", ord("Đ"): "D"})


@lru_cache(maxsize=4096)  # rules ask again and again for the texts of one document
def unaccented(text: str) -> str:
    """The text without any diacritics: Đường Hoà → Duong Hoa."""
    return text if text.isascii() else unicodedata.normalize("NFD", text).translate(_BARE)


def tone_folded(text: str) -> str:
    """The text with each syllable's tone mark moved to its end, so that hòa and hoà are equal."""
    return " ".join(_tone_last(syllable) for syllable in unicodedata.normalize("NFD", text).split())


def match(one: str, other: str) -> Match | None:
    """How closely two texts agree, capital letters and white space aside; None where they differ."""
    one, other = tidy(one).casefold(), tidy(other).casefold()
    if one == other:
        return "strict"
    if tone_folded(one) == tone_folded(other):
        return "tone"
    return "unaccented" if unaccented(one) == unaccented(other) else None


def alike(one: str, other: str) -> bool:
    """Whether two texts are equal but for capitals, punctuation and the place of a tone mark.

    An apostrophe is one however it is drawn, and with or without a space behind it: K’ Brêu is K'Brêu.
    """
    return match(_words(one), _words(other)) in ("strict", "tone")


def _words(text: str) -> str:
    return " ".join(re.split(r"[\s,.;:/-]+", APOSTROPHE.sub("'", text))).strip()


def _tone_last(syllable: str) -> str:
    return "".join(c for c in syllable if c not in _TONES) + "".join(c for c in syllable if c in _TONES)
