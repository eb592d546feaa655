"""Regular languages that know what is left of them after a letter (Brzozowski's derivatives).

Equal expressions are one object, so the expression that a text leads to *is* the state that the text is in.
All are made by one `Languages`, which keeps them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from re import _constants as parts  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

Ranges = tuple[tuple[int, int], ...]  # code points from … to, both included, in order, apart

LAST = 0x10FFFF
_DIGITS: Ranges = ((0x30, 0x39),)
_WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE: Ranges = (  # Unicode's White_Space
    (0x09, 0x0D), (0x20, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A),
    (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000),
)  # fmt: skip
_MANY = 100_000  # expressions of one grammar; a grammar with more of them is not worth following


class NotRead(ValueError):
    """A pattern or a grammar that says something which is not understood here."""


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """kind and parts of an expression:

    nothing   no text at all
    empty     the empty text
    word      (text)                    this text
    letter    (ranges)                  one character of these
    then      (first, rest)             one after the other
    either    (parts…)                  any of them
    both      (parts…)                  all of them at once
    times     (inner, least, most)      so often; most None: without end
    quoted    (inner)                   the rest of a JSON string, up to its closing quote, that stands for it
    escaped   (inner)                   the same behind a backslash
    """

    kind: str
    parts: tuple[Any, ...]
    nullable: bool  # the empty text belongs to it
    shortest: int  # characters
    longest: int | None  # None: without end
    after: dict[int, Language] = field(default_factory=dict)  # by kind of character


class Languages:
    """Makes expressions and their derivatives.

    `NotRead` is raised when they become more than can be kept.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Language] = {}
        self._edges_of: dict[Language, tuple[int, ...]] = {}
        self.nothing = self._make("nothing", (), False, 0, 0)
        self.empty = self._make("empty", (), True, 0, 0)
        # Characters are told apart only where some class begins or ends, and where JSON does.
        self._edges = sorted({edge for sign in '"\\,[]{}n' for edge in (ord(sign), ord(sign) + 1)})

    # Making

    def word(self, text: str) -> Language:
        return self._make("word", (text,), False, len(text), len(text)) if text else self.empty

    def letter(self, ranges: Ranges) -> Language:
        if not ranges:
            return self.nothing
        self._edges = sorted({*self._edges, *(edge for low, high in ranges for edge in (low, high + 1))})
        return self._make("letter", (ranges,), False, 1, 1)

    def then(self, *several: Language) -> Language:
        made = self.empty
        for first in reversed(several):
            made = self._then(first, made)
        return made

    def _then(self, first: Language, rest: Language) -> Language:
        if self.nothing in (first, rest):
            return self.nothing
        if first is self.empty:
            return rest
        if rest is self.empty:
            return first
        if first.kind == "then":
            return self._then(first.parts[0], self._then(first.parts[1], rest))
        longest = None if first.longest is None or rest.longest is None else first.longest + rest.longest
        return self._make(
            "then",
            (first, rest),
            first.nullable and rest.nullable,
            first.shortest + rest.shortest,
            longest,
        )

    def either(self, *several: Language) -> Language:
        flat = self._flat("either", several) - {self.nothing}
        if len(flat) < 2:
            return next(iter(flat), self.nothing)
        longest = [one.longest for one in flat]
        return self._make(
            "either",
            _ordered(flat),
            any(one.nullable for one in flat),
            min(one.shortest for one in flat),
            None if None in longest else max(length for length in longest if length is not None),
        )

    def both(self, *several: Language) -> Language:
        flat = self._flat("both", several)
        if self.nothing in flat:
            return self.nothing
        # A bare bound on the length says nothing where another part is at most as long.
        bound = min((one.longest for one in flat if one.longest is not None and not _bare(one)), default=None)
        if bound is not None:
            flat -= {one for one in flat if _bare(one) and one.longest is not None and one.longest >= bound}
        if len(flat) == 1:
            return next(iter(flat))
        lengths = [one.longest for one in flat if one.longest is not None]
        return self._make(
            "both",
            _ordered(flat),
            all(one.nullable for one in flat),
            max(one.shortest for one in flat),
            min(lengths, default=None),
        )

    def times(self, inner: Language, least: int, most: int | None) -> Language:
        if most == 0 or inner is self.empty:
            return self.empty
        if inner is self.nothing:
            return self.empty if least == 0 else self.nothing
        if (least, most) == (1, 1):
            return inner
        return self._make(
            "times",
            (inner, least, most),
            least == 0 or inner.nullable,
            inner.shortest * least,
            None if most is None or inner.longest is None else inner.longest * most,
        )

    def quoted(self, inner: Language) -> Language:
        if inner is self.nothing:
            return self.nothing
        return self._make("quoted", (inner,), False, inner.shortest + 1, None)

    def quoted_from(self, inner: Language) -> Language:
        """With the opening quote."""
        return self.then(self.word('"'), self.quoted(inner))

    def _escaped(self, inner: Language) -> Language:
        return self._make("escaped", (inner,), False, 2, None)

    def pattern(self, text: str) -> Language:
        """Of a whole text: between ^ and $, with the classes that llguidance has in a JSON schema."""
        if not re.fullmatch(r"\^.*(?<!\\)(?:\\\\)*\$", text, re.S):
            raise NotRead(f"pattern {text!r} is not of a whole text")
        try:
            tree = parser.parse(text[1:-1])
        except (re.error, RecursionError) as error:
            raise NotRead(f"pattern {text!r}: {error}") from None
        if tree.state.flags != re.UNICODE.value:
            raise NotRead(f"pattern {text!r} has flags")
        return self._sequence(tree)

    def _sequence(self, tree: Any) -> Language:
        return self.then(*(self._part(name, value) for name, value in tree))

    def _part(self, name: Any, value: Any) -> Language:
        if name is parts.LITERAL:
            return self.letter(((value, value),))
        if name is parts.NOT_LITERAL:
            return self.letter(_others(((value, value),)))
        if name is parts.ANY:
            return self.letter(_others(((0x0A, 0x0A),)))
        if name is parts.IN:
            return self.letter(_class(value))
        if name is parts.BRANCH:
            return self.either(*map(self._sequence, value[1]))
        if name is parts.SUBPATTERN and not (value[1] or value[2]):
            return self._sequence(value[3])
        if name is parts.MAX_REPEAT:
            least, most, inner = value
            return self.times(self._sequence(inner), least, None if most is parts.MAXREPEAT else most)
        raise NotRead(f"{name} in a pattern")

    def _flat(self, kind: str, several: Sequence[Language]) -> set[Language]:
        found: set[Language] = set()
        for one in several:
            found |= set(one.parts) if one.kind == kind else {one}
        return found

    def _make(
        self, kind: str, inside: tuple[Any, ...], nullable: bool, shortest: int, longest: int | None
    ) -> Language:
        made = self._made.get((kind, *inside))
        if made is None:
            if len(self._made) > _MANY:
                raise NotRead("too many states")
            made = self._made[kind, *inside] = Language(kind, inside, nullable, shortest, longest)
        return made

    # Following. No letters are made any more when it has begun: they would move the edges.

    def samples(self, ranges: Ranges) -> list[int]:
        """One character of each kind in `ranges`."""
        starts = {low for low, _ in ranges}
        starts |= {edge for edge in self._edges if any(low <= edge <= high for low, high in ranges)}
        return sorted(starts)

    def edges(self, language: Language) -> tuple[int, ...]:
        """Where characters begin to be told apart within a JSON string of this language; none of a label."""
        known = self._edges_of.get(language)
        if known is None:
            found = {edge for sign in (0x22, 0x5C) for edge in (sign, sign + 1)}
            for one in language.parts:
                if isinstance(one, Language):
                    found.update(self.edges(one))
            if language.kind == "letter":
                found.update(edge for low, high in language.parts[0] for edge in (low, high + 1))
            known = self._edges_of[language] = tuple(sorted(found))
        return known

    def kinds(self, text: str, edges: Sequence[int] | None = None) -> tuple[int, ...]:
        """Of its characters, told apart at `edges`, or as finely as anywhere. Where no word stands, texts of
        the same kinds lead to the same.
        """
        edges = self._edges if edges is None else edges
        return tuple(bisect_right(edges, ord(letter)) for letter in text)

    def follow(self, now: Language, rest: Language, text: str) -> tuple[Language, Language]:
        """What is left of `now`, and of `rest` behind it, after `text`; `nothing` where none begins so.

        Kept apart, so that what is left of a value is one expression wherever the value stands.
        """
        at = 0
        while at < len(text):
            if now is self.empty:
                now, rest = self.split(rest)
            if now.kind == "word":  # a label, at once
                word: str = now.parts[0]
                length = min(len(word), len(text) - at)
                if text[at : at + length] != word[:length]:
                    return self.nothing, self.empty
                now = self.word(word[length:])
                at += length
                continue
            if now.nullable:
                now, rest = self.split(self.after(self._then(now, rest), ord(text[at])))
            else:
                now = self.after(now, ord(text[at]))
                if now.kind == "then":
                    now, rest = now.parts[0], self._then(now.parts[1], rest)
            if now is self.nothing or rest is self.nothing:
                return self.nothing, self.empty
            at += 1
        return self.split(rest) if now is self.empty else (now, rest)

    def split(self, language: Language) -> tuple[Language, Language]:
        """The first part, and what follows it."""
        return language.parts if language.kind == "then" else (language, self.empty)

    def after(self, language: Language, letter: int) -> Language:
        """What is left of `language` after a character."""
        kind = bisect_right(self._edges, letter)
        found = language.after.get(kind)
        if found is None:
            found = language.after[kind] = self._derive(language, letter)
        return found

    def _derive(self, language: Language, letter: int) -> Language:
        inside = language.parts
        match language.kind:
            case "word":
                return self.word(inside[0][1:]) if ord(inside[0][0]) == letter else self.nothing
            case "letter":
                return self.empty if any(low <= letter <= high for low, high in inside[0]) else self.nothing
            case "then":
                first, rest = inside
                made = self._then(self.after(first, letter), rest)
                return self.either(made, self.after(rest, letter)) if first.nullable else made
            case "either":
                return self.either(*(self.after(one, letter) for one in inside))
            case "both":
                return self.both(*(self.after(one, letter) for one in inside))
            case "times":
                inner, least, most = inside
                rest = self.times(inner, max(0, least - 1), None if most is None else most - 1)
                return self._then(self.after(inner, letter), rest)
            case "quoted":
                if letter == ord('"'):
                    return self.empty if inside[0].nullable else self.nothing
                if letter == ord("\\"):
                    return self._escaped(inside[0])
                return self.quoted(self.after(inside[0], letter))
            case "escaped":
                if letter not in (0x22, 0x5C):  # a control character, written as JSON may write it
                    raise NotRead("an escaped character")
                return self.quoted(self.after(inside[0], letter))
        return self.nothing


def _bare(language: Language) -> bool:
    """Any text of some length."""
    return language.kind == "times" and language.parts[0].parts == (((0, LAST),),) and language.parts[1] == 0


def _ordered(several: set[Language]) -> tuple[Language, ...]:
    """By identity: each set of expressions has one order."""
    return tuple(sorted(several, key=id))


def _class(items: Any) -> Ranges:
    found: list[tuple[int, int]] = []
    for name, value in items:
        if name is parts.LITERAL:
            found.append((value, value))
        elif name is parts.RANGE:
            found.append(value)
        elif name is parts.CATEGORY:
            found += _category(value)
        elif name is not parts.NEGATE:
            raise NotRead(f"{name} in a class")
    ranges = _united(found)
    return _others(ranges) if items and items[0][0] is parts.NEGATE else ranges


def _category(name: Any) -> Ranges:
    sets = {"DIGIT": _DIGITS, "WORD": _WORD, "SPACE": _SPACE}
    _, _, rest = str(name).partition("CATEGORY_")
    denied = rest.startswith("NOT_")
    ranges = sets.get(rest.removeprefix("NOT_"))
    if ranges is None:
        raise NotRead(f"{name} in a class")
    return _others(ranges) if denied else ranges


def _united(ranges: Sequence[tuple[int, int]]) -> Ranges:
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return tuple(found)


def _others(ranges: Ranges) -> Ranges:
    edges = [-1, *(edge for low, high in ranges for edge in (low, high)), LAST + 1]
    return tuple(
        (low + 1, high - 1) for low, high in zip(edges[::2], edges[1::2], strict=True) if low + 1 <= high - 1
    )
