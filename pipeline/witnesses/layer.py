"""The text layers of a document's pages, made for looking values up in them.

Tokens are runs of letters and digits, folded as texts are compared: capitals and the place of a tone mark do
not count. They stand in two orders, line by line across the page and as the file has them, since a value that
goes on in the next line of its column is whole only in the second.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from pipeline import textlayer
from pipeline.records import Box, TextLayer, Word
from schemas import numbers
from schemas.text import tidy, tone_folded

_TOKEN = re.compile(r"[^\W_]+")
_DAY = re.compile(
    r"([0-9]{1,2}) ?[/.-] ?([0-9]{1,2}) ?[/.-] ?([0-9]{4})(?![0-9])"
    r"|ngày\D{0,12}([0-9]{1,2})\D{0,20}tháng\D{0,14}([0-9]{1,2})\D{0,20}năm\D{0,12}([0-9]{4})",
    re.IGNORECASE,
)
_FIGURE = re.compile(r"[-−(]?[0-9][0-9.,]*(?:[đ₫%]|VN[DĐ]|USD)?\)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Words of a page that stand together, as printed."""

    page: int
    text: str
    box: Box

    @property
    def middle(self) -> float:
        return (self.box[1] + self.box[3]) / 2

    def beside(self, other: Place) -> bool:
        """Whether both are on one line of one page."""
        height = max(self.box[3] - self.box[1], other.box[3] - other.box[1])
        return self.page == other.page and abs(self.middle - other.middle) <= height / 2

    def overlaps(self, box: Box) -> bool:
        (a, b, c, d), (e, f, g, h) = self.box, box
        return a < g and e < c and b < h and f < d


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    word: Word
    glued: tuple[
        bool, bool
    ]  # a digit or letter of the same word stands right before, or behind, a point or dash


class Layer:
    """The trusted text of one page."""

    def __init__(self, page: int, words: Sequence[Word]) -> None:
        self.page = page
        self.lines = textlayer.lines(words)
        across = [token for line in self.lines for word in line for token in _tokens(word)]
        self._orders = (across, [token for word in words for token in _tokens(word)])
        self._starts: list[dict[str, list[int]]] = []
        for order in self._orders:
            starts: dict[str, list[int]] = {}
            for at, token in enumerate(order):
                starts.setdefault(token.text, []).append(at)
            self._starts.append(starts)
        self.figures: dict[Decimal, list[Place]] = {}
        for word in words:
            for value in _values(word.text):
                self.figures.setdefault(value, []).append(Place(page, word.text, word.box))

        self.days: dict[str, list[Place]] = {}
        for line in self.lines:
            for day, place in _days(page, line):
                self.days.setdefault(day, []).append(place)

    def find(self, text: str) -> list[Place]:
        """Where the text stands, whatever its capitals, commas and line breaks. Not within longer numbers."""
        wanted = tokens(text)
        if not wanted:
            return []
        places: dict[Box, Place] = {}
        for order, starts in zip(self._orders, self._starts, strict=True):
            for at in starts.get(wanted[0], ()):
                some = order[at : at + len(wanted)]
                if [token.text for token in some] == wanted and not (some[0].glued[0] or some[-1].glued[1]):
                    place = self._place(some)
                    places.setdefault(place.box, place)
        return list(places.values())

    def windows(self, length: int) -> Iterator[tuple[list[str], Place]]:
        """All runs of so many tokens, in both orders."""
        for order in self._orders:
            for at in range(len(order) - length + 1):
                some = order[at : at + length]
                yield [token.text for token in some], self._place(some)

    def single(self) -> Iterator[Place]:
        """Each word for itself."""
        for line in self.lines:
            for word in line:
                yield Place(self.page, word.text, word.box)

    def _place(self, some: Sequence[_Token]) -> Place:
        words = list(dict.fromkeys(token.word for token in some))
        return Place(self.page, " ".join(word.text for word in words), _around(word.box for word in words))


def layers(texts: Iterable[tuple[int, TextLayer | None]]) -> list[Layer]:
    """Of the pages, by their numbers, that have text which stands on paper as well."""
    return [
        Layer(page, text.words) for page, text in texts if text is not None and text.trusted and text.words
    ]


def tokens(text: str) -> list[str]:
    return [tone_folded(token) for token in _TOKEN.findall(tidy(text).casefold())]


def _tokens(word: Word) -> Iterator[_Token]:
    folded = word.text.casefold()
    found = list(_TOKEN.finditer(folded))
    for at, match in enumerate(found):
        before = at > 0 and _joined(folded[found[at - 1].end() : match.start()], folded, match.start())
        behind = at + 1 < len(found) and _joined(
            folded[match.end() : found[at + 1].start()], folded, found[at + 1].start()
        )
        yield _Token(tone_folded(match[0]), word, (before, behind))


def _joined(sign: str, text: str, then: int) -> bool:
    """Whether a sign between two tokens joins them to one number: 1.100, 26/11."""
    return sign in (".", ",", "/", "-") and text[then].isdigit() and text[then - 2].isdigit()


def _values(word: str) -> tuple[Decimal, ...]:
    """What the word may mean as a figure, without a colon, full stop or bracket around it."""
    bare = word.strip(":;*").rstrip(".,")
    if not _FIGURE.fullmatch(bare):
        return ()
    try:
        return numbers.readings(bare.rstrip("%"))
    except ValueError:
        return ()


def _days(page: int, line: Sequence[Word]) -> Iterator[tuple[str, Place]]:
    """The days, ISO 8601, that stand on one line."""
    text = " ".join(word.text for word in line)
    ends = list(itertools.accumulate(len(word.text) + 1 for word in line))
    for match in _DAY.finditer(text):
        day, month, year = (int(part) for part in match.groups() if part is not None)
        first, last = (bisect_right(ends, at) for at in (match.start(), match.end() - 1))
        words = line[first : last + 1]
        place = Place(page, " ".join(word.text for word in words), _around(word.box for word in words))
        with contextlib.suppress(ValueError):  # no day of the calendar
            yield date(year, month, day).isoformat(), place


def _around(boxes: Iterable[Box]) -> Box:
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)
