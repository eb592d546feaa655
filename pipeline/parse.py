"""A generation becomes the record of a page: each field with its raw text, its value and how sure we are.

The text is read with the schema in hand, from left to right in the form of `pipeline.grammar`, so the exact
place of every value is known and with it the tokens that decided it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence, Set
from json import JSONDecodeError, JSONDecoder
from typing import TYPE_CHECKING

import numpy as np

from pipeline import place, snap
from pipeline.errors import Permanent, Reason
from pipeline.flags import FlagCode
from pipeline.grammar import Form, key
from pipeline.normal import normal
from pipeline.records import Box, Code, Field, Flag, Generation, Ink, PageRecord
from schemas.shape import Group, Leaf, Node, Repeated

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

_NULL = "null"
_JSON = JSONDecoder()
_NAMED = 8  # paths in one message


def page_record(
    generation: Generation,
    spec: SchemaSpec,
    page: int,
    codes: Sequence[Code] = (),
    *,
    grid: tuple[int, int] | None = None,
    tiles: int | None = None,
    form: Form = "objects",
    ink: Ink | None = None,
) -> PageRecord:
    """What page `page` (1-based) says, answered in this form.

    A field's confidence is the product of the probabilities of all tokens that decided its value: that
    there is one (or null), the characters, the closing quote. It is not calibrated. Characters and end count
    with what the model gave them before the grammar's mask, where that is less: the mask may have left out
    what it wanted to write. A list has a field of its own whose value is the number of its items; its
    confidence is that of "more" or "no more" after each, the last before the mask if the list is full.
    Where the probability of one of those tokens is not known, neither is the confidence.
    Values that do not have the schema's printed form, as a server's may not, are told by a flag.
    `grid` and `tiles` of the page turn where the model looked into boxes, and its `ink` draws them around the
    print.

    Raises Permanent: output_truncated, generation_loop, grammar_error, or schema_mismatch when the text does
    not have the schema's form.
    """
    raise_unfinished(generation, page)
    reader = _Reader(generation, page, grid, tiles, form, ink)
    fields = tuple(reader.read(spec.shape.of_pages))
    return PageRecord(page, fields, tuple(codes), tuple(reader.flags()), tuple(reader.seams))


def _has_form(leaf: Leaf, raw: str) -> bool:
    """Whether the grammar allows this text for the value."""
    pattern = unicodedata.normalize("NFC", leaf.printed.pattern)
    return len(raw) <= leaf.printed.max_chars and re.fullmatch(pattern, raw) is not None


def raise_unfinished(generation: Generation, page: int) -> None:
    """Raises Permanent where an answer did not come to its end: truncated, in a loop, or with its error."""
    tokens = len(generation.spans)
    match generation.finish:
        case "stop":
            return
        case "length":
            passes = f" in {generation.passes} passes" if generation.seams else ""
            reason = Reason.output_truncated
            message = f"the answer was not finished after {tokens} tokens{passes}"
        case "loop":
            reason, message = (
                Reason.generation_loop,
                f"the answer began to repeat itself after {tokens} tokens",
            )
        case "error":
            reason = generation.reason or Reason.grammar_error
            message = generation.message or "the engine gave no reason"
    raise Permanent(reason, f"page {page}: {message}", tokens=tokens, output=generation.text)


class _Reader:
    """Walks the text once, from left to right, along the shape."""

    def __init__(
        self,
        generation: Generation,
        page: int,
        grid: tuple[int, int] | None,
        tiles: int | None,
        form: Form,
        ink: Ink | None = None,
    ) -> None:
        self._generation = generation
        self._text = generation.text
        self._page = page
        self._grid = grid
        self._tiles = tiles
        self._form = form
        self._ink = ink
        self._at = 0
        spans = generation.spans
        # A token that holds only part of a character spans nothing; it belongs to the character at its start.
        self._starts, self._ends = spans[:, 0], np.maximum(spans[:, 1], spans[:, 0] + 1)
        self.seams: list[str] = []
        self._unlike: list[str] = []  # paths of what the grammar would not have allowed
        self._to_come = [int(spans[seam, 0]) for seam in generation.seams if seam < len(spans)]

    def read(self, shape: Group) -> Iterator[Field]:
        yield from self._group(shape, "")
        if self._at != len(self._text):
            raise self._mismatch("the end of the answer")

    def flags(self) -> Iterator[Flag]:
        """What is odd about the answer, once it is read."""
        if self._unlike:
            named = ", ".join(self._unlike[:_NAMED]) + (" …" if len(self._unlike) > _NAMED else "")
            message = f"the server did not keep to the form that the schema has for {named}"
            yield Flag(FlagCode.form_not_kept, message)

    def _group(self, group: Group, prefix: str) -> Iterator[Field]:
        self._expect("{")
        for index, field in enumerate(group.fields):
            self._expect("," if index else "")
            if not self._next_is('"') or self._string() != key(field, self._form):
                raise self._mismatch(f'the key "{key(field, self._form)}"')
            since = self._at - 1
            self._expect(":")
            yield from self._node(field, f"{prefix}{field.name}", since)
        self._expect("}")

    def _row(self, group: Group, prefix: str) -> Iterator[Field]:
        self._expect("[")
        for index, field in enumerate(group.fields):
            self._expect("," if index else "")
            yield from self._node(field, f"{prefix}{field.name}", self._at - 1, row=True)
        self._expect("]")

    # `since` is where the deciding of a value begins: at the quote that closes its key (or the sign before it
    # in a list or a row). A token like `":"` holds that quote and the first one of the value, so a model that
    # writes null has decided so where it wrote `":` instead.

    def _node(self, node: Node, path: str, since: int, *, row: bool = False) -> Iterator[Field]:
        if isinstance(node, Group):
            yield from self._row(node, f"{path}.") if row else self._group(node, f"{path}.")
        elif isinstance(node, Repeated):
            yield from self._list(node, path, since)
        else:
            yield self._value(node, path, since)

    def _list(self, node: Repeated, path: str, since: int) -> Iterator[Field]:
        self._expect("[")
        items: list[Field] = []
        decisions = self._deciding(since, self._at + 1)
        count = 0
        while not self._next_is("]"):
            self._expect("," if count else "")
            item = f"{path}[{count}]"
            self._note_seam(item)
            items += self._node_in_list(node.item, item)
            count += 1
            decisions |= self._deciding(self._at - 1, self._at + 1)
        self._expect("]")
        if count > node.max_items:
            self._unlike.append(path)
        end = self._deciding(self._at - 1, self._at) if count >= node.max_items else set()
        yield Field(path, None, count, self._confidence(decisions, end), "read", self._page)
        yield from items

    def _node_in_list(self, item: Group | Leaf, path: str) -> Iterator[Field]:
        if isinstance(item, Leaf):  # never null
            return iter([self._value(item, path, self._at - 1)])
        return self._node(item, path, self._at - 1, row=self._form == "rows")

    def _note_seam(self, item: str) -> None:
        """`item` begins here: is it the first since a further pass began? One in an item is no item's own."""
        if item.count("[") == 1 and self._to_come and self._to_come[0] <= self._at:
            self.seams.append(item)
            self._to_come = [seam for seam in self._to_come if seam > self._at]

    def _value(self, leaf: Leaf, path: str, since: int) -> Field:
        if self._next_is(_NULL):
            self._expect(_NULL)
            confidence = self._confidence(self._deciding(since, self._at))
            return Field(path, None, None, confidence, "read", self._page)
        if not self._next_is('"'):
            raise self._mismatch(f"the value of {path}")
        start = self._at
        raw = self._string()
        if not self._generation.held and not _has_form(leaf, raw):
            self._unlike.append(path)
        value, problem = normal(leaf, raw)
        confidence = self._confidence(self._deciding(since, self._at), self._deciding(start + 1, self._at))
        box = self._box(start + 1, self._at - 1, raw)
        return Field(path, raw, value, confidence, "read", self._page, box, problem)

    def _deciding(self, start: int, end: int) -> set[int]:
        """The tokens that hold any of the characters start..end."""
        return {int(i) for i in np.flatnonzero((self._starts < end) & (self._ends > start))}

    def _confidence(self, tokens: set[int], unmasked: Set[int] = frozenset()) -> float | None:
        """The product of the tokens' probabilities, of those `unmasked` before the mask where it is known."""
        under = self._generation.probability[sorted(tokens - unmasked)]
        both = (
            found[sorted(unmasked)] for found in (self._generation.probability, self._generation.unmasked)
        )
        sure = float(np.prod(under, dtype=np.float64) * np.prod(np.fmin(*both), dtype=np.float64))
        return None if math.isnan(sure) else sure

    def _box(self, start: int, end: int, raw: str) -> Box | None:
        if self._generation.place is None or self._grid is None or self._tiles is None:
            return None
        own = sorted(self._deciding(start, end))
        middles = (self._starts[own] + self._ends[own]) / 2
        along = np.clip((middles - start) / max(1, end - start), 0, 1)
        cells = place.cells(self._generation.place[own], along, self._grid, self._tiles)
        if cells is None:
            return None
        snapped = None if self._ink is None else snap.snapped(cells, self._ink, raw)
        return snapped or cells.box

    def _next_is(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _expect(self, text: str) -> None:
        if not self._next_is(text):
            raise self._mismatch(repr(text))
        self._at += len(text)

    def _string(self) -> str:
        """The JSON string that starts here."""
        try:
            value, self._at = _JSON.raw_decode(self._text, self._at)
        except JSONDecodeError as error:
            raise self._mismatch("a JSON string") from error
        return str(value)

    def _mismatch(self, expected: str) -> Permanent:
        found = self._text[self._at : self._at + 40]
        return Permanent(
            Reason.schema_mismatch,
            f"page {self._page}: expected {expected} at character {self._at} of the answer, found {found!r}",
            output=self._text,
        )
