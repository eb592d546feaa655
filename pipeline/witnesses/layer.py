"""The text layers of a document's pages, made for looking values up in them.

Tokens are runs of letters and digits, folded as texts are compared: capitals and the place of a tone mark do
not count. They stand in two orders, line by line across the page and as the file has them, since a value that
goes on in the next line of its column is whole only in the second.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import SequenceMatcher

from pipeline import textlayer
from pipeline.records import Box, TextLayer, Word
from schemas import numbers
from schemas.text import tidy, tone_folded

_FEW = 200  # of them, where something nearly like a text is looked for
_MOST = 2000  # occurrences of a token that are looked at
_LONGER = 3  # tokens, or letters of a code, that a misreading may lack or have more
# Shares of the tokens, and of the letters of a code, from which one is misread from the other.
_ALIKE, _SPELT_ALIKE = 0.75, 0.85
_GAP = 1.0  # heights of a line: a blank is narrower, on pages of any form
_CLEARLY = 0.05  # by which it must be more like it than whatever else stands on the page
_TOKEN = re.compile(r"[^\W_]+")
_DAY = re.compile(
    r"([0-9]{1,2}) ?[/.-] ?([0-9]{1,2}) ?[/.-] ?([0-9]{4})(?![0-9])"
    r"|ngày\D{0,12}([0-9]{1,2})\D{0,20}tháng\D{0,14}([0-9]{1,2})\D{0,20}năm\D{0,12}([0-9]{4})",
    re.IGNORECASE,
)
_FIGURE = re.compile(r"[-−(]?[0-9][0-9.,]*(?:[đ₫%]|VN[DĐ]|USD)?\)?", re.IGNORECASE)


Line = tuple[int, int]  # page, and line of print on it from the top


@dataclass(frozen=True, slots=True)
class Place:
    """Words of a page that stand together, as printed."""

    page: int
    text: str
    box: Box
    lines: frozenset[Line]

    def beside(self, other: Place) -> bool:
        """Whether both are on one line of one page."""
        return not self.lines.isdisjoint(other.lines)

    def overlaps(self, box: Box) -> bool:
        (a, b, c, d), (e, f, g, h) = self.box, box
        return a < g and e < c and b < h and f < d


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    word: Word
    before: bool  # a sign joins it to digits of the same word that stand before it: of 1.100.000, 100 and 000
    behind: bool


class Layer:
    """The trusted text of one page."""

    def __init__(self, page: int, words: Sequence[Word]) -> None:
        self.page = page
        lines = textlayer.lines(words)
        self._line = {word: (page, number) for number, line in enumerate(lines) for word in line}
        self.words = [self._place([word]) for line in lines for word in line]
        across = [token for line in lines for word in line for token in _tokens(word)]
        self._orders = (across, [token for word in words for token in _tokens(word)])
        self._starts = [_positions(order) for order in self._orders]
        self._found: dict[str, list[Place]] = {}
        self._sorted: list[Decimal] | None = None
        self.figures: dict[Decimal, list[Place]] = {}
        for place in self.words:
            for value in _values(place.text):
                self.figures.setdefault(value, []).append(place)
        self.days: dict[str, list[Place]] = {}
        for line in lines:
            for day, some in _days(line):
                self.days.setdefault(day, []).append(self._place(some))

    def near(self, value: Decimal) -> Sequence[Decimal]:
        """Figures that differ from the value by no more than a thousandth of it."""
        if self._sorted is None:
            self._sorted = sorted(self.figures)
        reach = abs(value) / 1000
        return self._sorted[
            bisect_left(self._sorted, value - reach) : bisect_right(self._sorted, value + reach)
        ]

    @property
    def tokens(self) -> Iterator[tuple[str, Place]]:
        """Each token with its word, in one order."""
        yield from ((token.text, self._place([token.word])) for token in self._orders[0])

    def find(self, text: str) -> list[Place]:
        """Where the text stands, whatever its capitals, commas and line breaks. Not within longer numbers."""
        if text not in self._found:
            wanted = tokens(text)
            places: dict[Box, Place] = {}
            for order, starts in zip(self._orders, self._starts, strict=True):
                held = [(starts.get(token, ()), anchor) for anchor, token in enumerate(wanted)]
                positions, anchor = min(held, key=lambda item: len(item[0]), default=((), 0))
                for some in _runs(order, positions, anchor, len(wanted)):
                    same = [token.text for token in some] == wanted
                    if same and not (some[0].before or some[-1].behind):
                        place = self._of(some)
                        places.setdefault(place.box, place)
            self._found[text] = list(places.values())
        return self._found[text]

    def before(self, box: Box) -> str:
        """What stands before a place in its line, up to a gap that is wider than blanks are."""
        left, top, _, bottom = box
        line = [
            word
            for word in self._line
            if word.box[0] < left and word.box[1] < (top + bottom) / 2 < word.box[3]
        ]
        found: list[str] = []
        for word in sorted(line, key=lambda word: -word.box[0]):
            if left - word.box[2] > (_GAP * (bottom - top)):
                break
            found.insert(0, word.text)
            left = word.box[0]
        return " ".join(found)

    def nearly(self, wanted: Sequence[str]) -> Iterator[tuple[str, Place]]:
        """Runs of as many tokens as are wanted, at least two, of which one differs."""
        for order, starts in zip(self._orders, self._starts, strict=True):
            for anchor in (0, 1):  # one of them is as wanted
                for some in _runs(order, starts.get(wanted[anchor], ())[:_FEW], anchor, len(wanted)):
                    found = [token.text for token in some]
                    if sum(one != other for one, other in zip(found, wanted, strict=True)) == 1:
                        yield " ".join(found), self._of(some)

    def alike(self, wanted: Sequence[str]) -> tuple[str, Place] | None:
        """The run of tokens that has most in common with what is wanted: it begins and ends as that does and
        is nearly as long, or one token differs.

        None where there is none, or another run elsewhere on the page is as much like it.
        """
        one_off = 1 - 1 / len(wanted)
        best = {key: (one_off, place) for key, place in self.nearly(wanted) if one_off >= _ALIKE}
        for order, starts in zip(self._orders, self._starts, strict=True):
            for at in starts.get(wanted[0], ())[:_FEW]:
                for end in range(at + len(wanted) - _LONGER, at + len(wanted) + _LONGER + 1):
                    if at < end <= len(order) and order[end - 1].text == wanted[-1]:
                        some = order[at:end]
                        found = [token.text for token in some]
                        likeness = SequenceMatcher(None, found, wanted, autojunk=False).ratio()
                        if likeness >= _ALIKE:
                            best[" ".join(found)] = likeness, self._of(some)
        return _outstanding(best)

    def spelt_alike(self, wanted: str) -> tuple[str, Place] | None:
        """The one word whose letters are nearly those of a long code; None as in `alike`."""
        best: dict[str, tuple[float, Place]] = {}
        for token in self._orders[0]:
            if abs(len(token.text) - len(wanted)) <= _LONGER:
                likeness = SequenceMatcher(None, token.text, wanted, autojunk=False).ratio()
                if likeness >= _SPELT_ALIKE:
                    best[token.text] = likeness, self._place([token.word])
        return _outstanding(best)

    def _of(self, some: Sequence[_Token]) -> Place:
        return self._place(list(dict.fromkeys(token.word for token in some)))

    def _place(self, words: Sequence[Word]) -> Place:
        text = " ".join(word.text for word in words)
        lines = frozenset(self._line[word] for word in words)
        return Place(self.page, text, _around(word.box for word in words), lines)


def _outstanding(found: Mapping[str, tuple[float, Place]]) -> tuple[str, Place] | None:
    """The one that is more alike than all others, which may overlap it."""
    ranked = sorted(found.items(), key=lambda item: -item[1][0])
    if not ranked:
        return None
    key, (likeness, place) = ranked[0]
    others = [one for _, one in ranked[1:] if not one[1].overlaps(place.box)]
    return None if any(other >= likeness - _CLEARLY for other, _ in others) else (key, place)


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
    if not found:
        return
    joined = [_joined(folded, one.end(), other.start()) for one, other in itertools.pairwise(found)]
    for match, before, behind in zip(found, [False, *joined], [*joined, False], strict=True):
        yield _Token(tone_folded(match[0]), word, before, behind)


def _positions(order: Sequence[_Token]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for at, token in enumerate(order):
        found.setdefault(token.text, []).append(at)
    return found


def _runs(
    order: Sequence[_Token], positions: Sequence[int], anchor: int, length: int
) -> Iterator[Sequence[_Token]]:
    """Runs of so many tokens, of which the one at `anchor` stands at one of the positions."""
    for at in positions[:_MOST]:
        some = order[max(0, at - anchor) : max(0, at - anchor + length)]
        if len(some) == length:
            yield some


def _joined(text: str, end: int, then: int) -> bool:
    """Whether one sign joins two tokens to one number: 1.100, 26/11."""
    return then - end == 1 and text[end] in ".,/-" and text[end - 1].isdigit() and text[then].isdigit()


def _values(word: str) -> tuple[Decimal, ...]:
    """What the word may mean as a figure, without a colon, full stop or bracket around it."""
    bare = word.strip(":;*").rstrip(".,")
    if not _FIGURE.fullmatch(bare):
        return ()
    try:
        return numbers.readings(bare.rstrip("%"))
    except ValueError:
        return ()


def _days(line: Sequence[Word]) -> Iterator[tuple[str, Sequence[Word]]]:
    """The days, ISO 8601, that stand on one line, with their words."""
    text = " ".join(word.text for word in line)
    ends = list(itertools.accumulate(len(word.text) + 1 for word in line))
    for match in _DAY.finditer(text):
        day, month, year = (int(part) for part in match.groups() if part is not None)
        first, last = (bisect_right(ends, at) for at in (match.start(), match.end() - 1))
        with contextlib.suppress(ValueError):  # no day of the calendar
            yield date(year, month, day).isoformat(), line[first : last + 1]


def _around(boxes: Iterable[Box]) -> Box:
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)
