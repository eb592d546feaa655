"""Names and numbers of people give way to invented ones, the same one for the same one throughout a set.

A letter becomes a letter of its kind, a digit a digit, so that lengths and shapes stay; dates of one document
are moved by the same number of days. The key is drawn anew for each set and kept nowhere: nobody can undo it
with the set alone. This is done to the answers. Pictures would still show what is printed, so a set with
pseudonyms has none.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Mapping
from datetime import date, timedelta

from schemas.shape import Leaf, leaf_path
from schemas.spec import SchemaSpec

_VOWELS, _CONSONANTS = "aeiouy", "bcdghklmnpqrstvx"
_DAYS = 20 * 365  # dates move by up to so many


class Pseudonyms:
    """Replaces what is text or a date in the values of one schema; amounts and quantities stay."""

    def __init__(self, spec: SchemaSpec, key: bytes | None = None) -> None:
        self._leaves: Mapping[str, Leaf] = dict(spec.shape.of_pages.leaves())
        self._key = key or secrets.token_bytes(32)

    def values(self, values: Mapping[str, str], document: str) -> dict[str, str]:
        """Printed texts by path, replaced."""
        moved = int.from_bytes(self._digest(f"days {document}")[:4], "big") % (2 * _DAYS) - _DAYS or 1
        return {path: self._one(self._leaves[leaf_path(path)], text, moved) for path, text in values.items()}

    def name(self, document: str) -> str:
        """Of a document, whose path may hold a name."""
        return self._digest(f"document {document}").hex()[:16]

    def _one(self, leaf: Leaf, text: str, moved: int) -> str:
        match leaf.printed.sql:
            case "text":
                return " ".join(self._word(word) for word in text.split())
            case "date" | "datetime":
                return self._date(leaf, text, moved)
        return text

    def _word(self, word: str) -> str:
        stream = self._digest(f"word {word.casefold()}")
        stream += self._digest(stream.hex())
        return "".join(_other(letter, stream[at % len(stream)]) for at, letter in enumerate(word))

    def _date(self, leaf: Leaf, text: str, moved: int) -> str:
        try:
            day = leaf.printed.parse(text)
            shifted = date(day.year, day.month, day.day) + timedelta(days=moved)
        except (ValueError, ArithmeticError, AttributeError):
            return self._word(text)
        return f"{shifted:%d/%m/%Y}"

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._key, unicodedata.normalize("NFC", text).encode(), hashlib.sha256)


def _other(letter: str, byte: int) -> str:
    if letter.isdigit():
        return str(byte % 10)
    if not letter.isalpha():
        return letter
    plain = unicodedata.normalize("NFD", letter)[0].lower()
    choice = _VOWELS if plain in _VOWELS else _CONSONANTS
    other = choice[byte % len(choice)]
    return other.upper() if letter.isupper() else other
