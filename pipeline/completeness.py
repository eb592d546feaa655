"""Whether what was read covers the text that stands on the pages.

The words may come from a PDF's own text or from a second reader: all that is asked of them is where they
stand. A word is accounted for when it is part of a value, of a label of the schema, or known furniture of
such papers. A value that was read wrongly accounts for the word that it should have been. So what is left was
passed over: of a page it is counted in words, of a table in lines, and in columns that have a label of the
schema over them. Of papers with a table, sentences are not counted: letterheads, adverts, terms and thanks
are set as such, and what a schema asks for is not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import pairwise

from pipeline import furniture, textlayer
from pipeline.records import Box, Check, Field, Word
from schemas.shape import Group, Leaf, Repeated
from schemas.text import unaccented

_MUCH = 0.3  # of the words that tell something: a page with so many passed over is not read whole
_FEWEST = 20  # such words: on fewer, a share says nothing
_APART = 2  # lines without figures between two of a table: a name's, of several lines
_NEAR = 0.01  # of the page's width: from a column's figures
_FEWEST_ROWS = 3  # items of a table: of fewer no column can be told
_HEAD = 4  # lines above a table in which its labels stand
_NEXT = 0.04  # of the page's width: between two words of a label
_MOSTLY = 0.6  # of the items have a figure in a column that is one
_SENTENCE = 4  # words, from which a line may be one
_OWN = 2  # of them that are neither furniture nor figures: a date or title has none
_BLANK = 2.0  # heights of a line: blanks within sentences are narrower, columns are further apart
_ASPECT = 1.4  # of a page's sides; on others a gap is only taken for wider or narrower
_AMOUNT = re.compile(r"\d{1,3}(?:[.,]\d{3})+(?:[.,]\d{1,2})?")
_ITEM = re.compile(r"(.+?)\[(\d+)\]\.(.+)")
_CURRENCIES = {"d", "vnd", "dong", "usd"}
_FIGURE = re.compile(r"\d[\d.,'’]*")
_EDGES = re.compile(r"^\W+|\W+$")


def incomplete(fields: Sequence[Field], words: Mapping[int, Sequence[Word]], shape: Group) -> Iterator[Check]:
    """A failed check for each page of which much was passed over, and for each table with lines left out.

    `fields` are those of the whole document, `words` those that stand on each page, by its number; pages of
    which nothing is known are not in it. What was taken from such a page may stand on any of the others.
    """
    if not words:
        return
    known = furniture.WORDS | {
        token
        for _, leaf in shape.leaves()
        for token in _tokens(f"{leaf.label} {leaf.name.replace('_', ' ')}")
    }
    has_table = any(isinstance(node, Repeated) for node in shape.fields)
    pages = [_Page(number, found, fields, words.keys()) for number, found in sorted(words.items()) if found]
    for page in pages:
        yield from page.passed_over(known, has_table)
    for name in dict.fromkeys(match[1] for each in fields if (match := _ITEM.fullmatch(each.path))):
        tables = [_Table(page, name) for page in pages]
        columns, figured = _columns(tables), _figured(shape, name)
        for table in tables:
            yield from table.left_out(columns)
            yield from table.unread(figured)


class _Page:
    """The words of a page by lines, and the document's values that may stand there.

    own       from this page
    foreign   from pages of which the words are not known
    anywhere  words of values that are no items of a list: they may be repeated on every page
    """

    def __init__(
        self, number: int, words: Sequence[Word], fields: Sequence[Field], known: Collection[int]
    ) -> None:
        self.number = number
        self.lines = textlayer.lines(words)
        self.figures = [
            [(word, token) for word in line for token in _figures(word.text)] for line in self.lines
        ]
        self.counts = [Counter(token for _, token in line) for line in self.figures]
        self.own = [each for each in fields if each.raw and each.page == number]
        self.foreign = [each for each in fields if each.raw and each.page not in known]
        self.anywhere = {token for each in fields if "[" not in each.path for token in _tokens(each.raw)}

    def passed_over(self, furnished: Set[str], has_table: bool) -> Iterator[Check]:
        """Says so if many words are in no value."""
        items, others = (_telling(fields, furnished, "[") for fields in (self.own, self.foreign))
        single = _telling((each for each in self.own if "[" not in each.path), furnished)
        seen: set[str] = set()
        covered = left = 0
        for token, counts in self._counted(furnished, has_table):
            if token in furnished:
                continue
            if items[token] or others[token]:
                (items if items[token] else others)[token] -= 1
                covered += 1
            elif token in self.anywhere:
                seen.add(token)
                covered += 1
            else:
                left += counts
        misread = sum(items.values()) + len(single.keys() - seen)
        standing, lost = covered + left, left - misread
        if standing >= _FEWEST and lost > _MUCH * standing:
            message = (
                f"page {self.number}: {lost} of {standing} words that stand there are in no value or label"
            )
            yield Check("incomplete", False, "warning", message, (), str(standing), str(standing - lost))

    def _counted(self, furnished: Set[str], has_table: bool) -> Iterator[tuple[str, bool]]:
        """Each word, and whether it is one that the schema may ask for: not in a sentence or an aside, nor a
        figure of more sums than the schema has.
        """
        for line in self.lines:
            sums = _sums(line)
            unasked = _is_aside(line) or (has_table and _is_sentence(line, furnished))
            for token in (token for word in line for token in _tokens(word.text)):
                yield token, not unasked and not (sums and _FIGURE.fullmatch(token))


class _Table:
    """A list of the schema as it stands on one page: its items, each with the line that has its figures."""

    def __init__(self, page: _Page, name: str) -> None:
        self._page = page
        self._name = name
        self.columns: dict[str, list[tuple[float, float]]] = {}
        self._rows: dict[int, Counter[str]] = {}  # lines that are items, and the figures that were read there
        items = (_ITEM.fullmatch(each.path) for each in page.own)
        self._read = {match[3] for match in items if match and match[1] == name}  # fields of any item
        own = self._items(page.own)
        self._unplaced = sum(not self._place(figures) for figures in own)
        for figures in self._items(page.foreign):
            self._place(figures)

    def left_out(self, columns: Mapping[str, tuple[float, float]]) -> Iterator[Check]:
        """Says how many lines of the table were passed over, if any were."""
        if len(columns) < 2:
            return
        found = self._others(columns) if self._rows else range(len(self._page.lines))
        lost = sum(self._is_row(line, columns) for line in found) - self._unplaced
        if lost > 0:
            read = len(self._rows) + self._unplaced
            message = (
                f"page {self._page.number}: {read + lost} lines of a table stand there, and {read} were read "
                f"({self._name})"
            )
            yield Check("incomplete", False, "warning", message, (self._name,), str(read + lost), str(read))

    def unread(self, leaves: Sequence[Leaf]) -> Iterator[Check]:
        """Says which of the items' figures stand there under their label, where no item has any."""
        if len(self._rows) < _FEWEST_ROWS:
            return
        lines = [self._page.lines[number] for number in range(min(self._rows))]
        above = [word for line in lines[-_HEAD:] for word in line]
        head = [(token, word) for word in above for token in _tokens(word.text) or [""]]
        for leaf in leaves:
            if leaf.name in self._read:
                continue
            names = (leaf.label, leaf.name.replace("_", " "), *furniture.COLUMNS.get(leaf.name, ()))
            places = (place for name in names for place in _places(_tokens(name), head))
            under = max((sum(self._stands(row, *place) for row in self._rows) for place in places), default=0)
            if under > _MOSTLY * len(self._rows):
                message = (
                    f"page {self._page.number}: under {leaf.label} stand {under} figures, and none was read "
                    f"({self._name}[].{leaf.name})"
                )
                yield Check("incomplete", False, "warning", message, (self._name,), str(under), "0")

    def _stands(self, number: int, left: float, right: float) -> bool:
        """Whether a figure stands between these sides of an item's line that was not read, nor stands where
        other figures were: two labels side by side may look like a third one.
        """
        line = self._page.figures[number]
        spare = Counter(token for _, token in line) - self._rows[number]
        return any(
            token in spare and _touches(word, left, right) and not self._is_in_column(word)
            for word, token in line
        )

    def _is_in_column(self, word: Word) -> bool:
        """Whether most figures of some field stand where this word does, not just one that equals another."""
        return any(
            2 * sum(word.box[0] < right and word.box[2] > left for left, right in found) > len(found)
            for found in self.columns.values()
        )

    def _items(self, fields: Sequence[Field]) -> list[list[tuple[str, str]]]:
        """Of each item that has figures: (field, figure)."""
        items: dict[str, list[tuple[str, str]]] = {}
        for each in fields:
            match = _ITEM.fullmatch(each.path)
            figures = _figures(each.raw) if match and match[1] == self._name else []
            if match and len(figures) == len(set(_tokens(each.raw)) - _CURRENCIES):
                items.setdefault(match[2], []).extend((match[3], token) for token in figures)
        return [figures for figures in items.values() if figures]

    def _place(self, figures: Sequence[tuple[str, str]]) -> bool:
        """Find the line that has most of an item's figures; of several, the first that is no other item's."""
        wanted = Counter(token for _, token in figures)
        best, most = -1, 0
        for number, there in enumerate(self._page.counts):
            common = sum((there & wanted).values()) if number not in self._rows else 0
            if common > most:
                best, most = number, common
        if 2 * most <= len(figures):
            return False
        self._rows[best] = wanted
        for word, found in self._page.figures[best]:
            for name, token in figures:
                if token == found:
                    self.columns.setdefault(name, []).append((word.box[0], word.box[2]))
        return True

    def _others(self, columns: Mapping[str, tuple[float, float]]) -> Iterator[int]:
        """The lines between the items, and those above and below that go on as a table does."""
        first, last = min(self._rows), max(self._rows)
        yield from (number for number in range(first, last) if number not in self._rows)
        for step, number in ((-1, first - 1), (1, last + 1)):
            without = 0
            while 0 <= number < len(self._page.lines) and without <= _APART:
                if _sums(self._page.lines[number]):
                    break
                without = 0 if self._is_row(number, columns) else without + 1
                yield number
                number += step

    def _is_row(self, number: int, columns: Mapping[str, tuple[float, float]]) -> bool:
        """Whether a line has figures in two columns or more, of its own, and does not number the columns."""
        figures = [
            (word, token) for word, token in self._page.figures[number] if token not in self._page.anywhere
        ]
        line = self._page.lines[number]
        if _sums(line) or _is_sentence(line, furniture.WORDS) or all(len(token) <= 2 for _, token in figures):
            return False
        hits = [
            (name, id(word))
            for name, (left, right) in columns.items()
            for word, _ in figures
            if _touches(word, left, right)
        ]
        return bool(hits) and min(len(set(one)) for one in zip(*hits, strict=True)) >= 2


def _figured(shape: Group, name: str) -> list[Leaf]:
    """The fields of a list's items that are figures, but for the items' own numbers."""
    leaves = (leaf for path, leaf in shape.leaves() if path == f"{name}[].{leaf.name}")
    return [leaf for leaf in leaves if leaf.printed.sql in ("decimal", "real")]


def _places(tokens: Sequence[str], head: Sequence[tuple[str, Word]]) -> Iterator[tuple[float, float]]:
    """The left and right of a label wherever it stands above a table, be it in one line or in several."""
    for first in (word.box for token, word in head if token in tokens[:1]):
        boxes = [first]
        for wanted in tokens[1:]:
            found = [word.box for token, word in head if token == wanted and word.box not in boxes]
            boxes += [box for box in found if _follows(boxes[-1], box, head)][:1]
        if len(boxes) == len(tokens):
            yield min(box[0] for box in boxes), max(box[2] for box in boxes)


def _touches(word: Word, left: float, right: float) -> bool:
    return word.box[0] < right + _NEAR and word.box[2] > left - _NEAR


def _follows(one: Box, other: Box, head: Sequence[tuple[str, Word]]) -> bool:
    """Whether a word comes right behind another, or stands below it."""
    if one[3] < (other[1] + other[3]) / 2:
        return max(one[0], other[0]) < min(one[2], other[2])
    between = (word for _, word in head if one[2] <= word.box[0] and word.box[2] <= other[0])
    beside = any(word.box[1] < one[3] and one[1] < word.box[3] for word in between)
    return one[2] <= other[0] < one[2] + _NEXT and not beside


def _telling(fields: Iterable[Field], furnished: Set[str], of: str = "") -> Counter[str]:
    """The words of the fields with `of` in their paths, but for those that stand on every such paper."""
    return Counter(
        token for each in fields if of in each.path for token in _tokens(each.raw) if token not in furnished
    )


def _columns(tables: Sequence[_Table]) -> dict[str, tuple[float, float]]:
    """Where on the pages the figures of each field stand."""
    sides: dict[str, list[tuple[float, float]]] = {}
    for table in tables:
        for name, found in table.columns.items():
            sides.setdefault(name, []).extend(found)
    return {
        name: (min(left for left, _ in found), max(right for _, right in found))
        for name, found in sides.items()
    }


def _sums(line: Sequence[Word]) -> bool:
    texts = (part for word in line for part in word.text.casefold().split())
    named = [bare for text in texts if (bare := _EDGES.sub("", text)) and not bare[0].isdigit()]
    return furniture.SUMS.match(" ".join(named[:2])) is not None


def _is_sentence(line: Sequence[Word], furnished: Set[str]) -> bool:
    """Whether a line runs on without gaps, and is no amount and no value behind its label."""
    said = [token for word in line for token in _tokens(word.text)]
    own = sum(token not in furnished and not token[0].isdigit() for token in said)
    if len(said) < _SENTENCE or own < _OWN:
        return False
    if any(map(_AMOUNT.fullmatch, said)):
        return False
    gaps = (right.box[0] - left.box[2] for left, right in pairwise(line))
    height = max(word.box[3] - word.box[1] for word in line)
    if max(gaps, default=0.0) > _BLANK * height * _ASPECT:
        return False
    label, colon, _ = " ".join(word.text for word in line).partition(":")
    named = _tokens(label)  # an abbreviation, if it is one word
    return not (colon and (len(named) == 1 or all(token in furnished for token in named)))


def _is_aside(line: Sequence[Word]) -> bool:
    text = unaccented(" ".join(word.text for word in line)).casefold()
    return furniture.ASIDES.search(text) is not None


def _tokens(raw: str | None) -> list[str]:
    """Words without case, diacritics and the marks around them."""
    bare = (_EDGES.sub("", word) for word in unaccented(raw or "").casefold().split())
    return [word for word in bare if word]


def _figures(raw: str | None) -> list[str]:
    """Those that begin with a digit and are no date, time or name."""
    return [token for token in _tokens(raw) if _FIGURE.fullmatch(token)]
