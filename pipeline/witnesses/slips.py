"""What is a misreading of what: values off by one slip, and words that are spelt nearly alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher

from pipeline.witnesses.layer import Place
from schemas.text import unaccented

_LONGEST = 40  # characters: of a longer word no misreading is looked for
_LETTERS_ALIKE, _LETTERS_MORE = 0.7, 0.15  # of words that differ, and of the letters that one may lack
_MOST = 2000  # values of one form that are looked at


def are_spelt_alike(mine: Sequence[str], yours: Sequence[str]) -> bool:
    """Whether the words that differ have most of their letters in common; a word or two may be missing.

    Of firms' names many words are the same, and one that is another makes it another firm.
    """
    missing = 0
    for kind, a, b, c, d in SequenceMatcher(None, mine, yours, autojunk=False).get_opcodes():
        one, other = (unaccented("".join(words)) for words in (mine[a:b], yours[c:d]))
        if kind == "replace" and SequenceMatcher(None, one, other, autojunk=False).ratio() < _LETTERS_ALIKE:
            return False
        missing += 0 if kind in ("equal", "replace") else len(one) + len(other)
    return missing <= _LETTERS_MORE * sum(map(len, yours))


class Slips:
    """Single words, figures and days, found by what they are off by one slip.

    Two texts that are off by one edit have a form in common in which at most one character is left out.
    """

    def __init__(self, items: Iterable[tuple[str, Place]]) -> None:
        self._by: dict[str, list[tuple[str, Place]]] = {}
        for item in items:
            if len(item[0]) <= _LONGEST:
                for form in _forms(item[0]):
                    self._by.setdefault(form, []).append(item)

    def of(self, wanted: str) -> Iterator[tuple[str, Place]]:
        if len(wanted) <= _LONGEST:
            found = dict.fromkeys(item for form in _forms(wanted) for item in self._by.get(form, ())[:_MOST])
            yield from (item for item in found if is_slip(item[0], wanted))


def _forms(text: str) -> set[str]:
    plain = unaccented(text)
    return {text, plain, *(plain[:at] + plain[at + 1 :] for at in range(len(plain)))}


def is_slip(one: str, other: str) -> bool:
    """Whether two values differ by one letter or digit, or two neighbours swapped, in one of their words."""
    pairs = [(a, b) for a, b in zip(one.split(), other.split(), strict=False) if a != b]
    if len(one.split()) != len(other.split()) or len(pairs) != 1:
        return False
    [(mine, yours)] = pairs
    return one_edit(mine, yours) or one_edit(unaccented(mine), unaccented(yours))


def one_edit(one: str, other: str) -> bool:
    """One character put, left out or changed, or two neighbours swapped."""
    if len(one) > len(other):
        one, other = other, one
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
    if len(one) < len(other):
        return len(other) == len(one) + 1 and one[start:] == other[start + 1 :]
    swapped = one[start : start + 2] == other[start : start + 2][::-1]
    return one[start + 1 :] == other[start + 1 :] or (swapped and one[start + 2 :] == other[start + 2 :])
