"""Follows an answer through its grammar, so that what was worked out for a state once is found again.

llguidance does not say which state a matcher is in, so the state is worked out here, from the grammar's JSON
schema: it is what may still be said (`languages`). Two answers of which the same may still be said have the
same mask, and so have two that differ only in a bound which no token reaches: `near` makes them one.

Grammars of other forms, and patterns that are not understood, are not followed.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from codecs import getincrementaldecoder
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from pipeline.vintern.languages import LAST, Language, Languages, NotRead, Ranges

_COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
_LONG = 16  # characters; of tokens, those with fewer are not looked at one by one
_STATES = 8  # of a pattern beside a repetition, to be looked at for `near`


class Place(NamedTuple):
    """What may still be said: first, and behind it. And the bytes of a character that is not complete yet."""

    now: Language
    rest: Language
    open: bytes = b""


class Vocabulary:
    """The bytes of each token, none for special ones, and how far tokens reach."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self.tokens = tokens
        self._reach: dict[Ranges, list[int]] = {}

    @cached_property
    def _long(self) -> set[str]:
        return {text for token in self.tokens if len(text := token.decode("utf-8", "replace")) >= _LONG}

    @cached_property
    def longest(self) -> int:
        """Characters of the longest token."""
        return max(map(len, self._long), default=_LONG)

    def beyond(self, bound: int, ranges: Ranges) -> int:
        """The largest bound that allows the same tokens: so many characters of `ranges`, then a quote.

        What counts of a token is where its run of such characters ends, and each quote in it. Where that is
        never within one character of the bound, the bound may be larger, up to where it is.
        """
        reach = self._reach.get(ranges)
        if reach is None:
            reach = self._reach[ranges] = self._work_out(ranges)
        at = bisect_left(reach, bound - 1)
        if bound < _LONG + 2 or (at < len(reach) and reach[at] <= bound):
            return bound
        return reach[at] - 1 if at < len(reach) else max([_LONG, *reach[-1:]]) + 2

    def _work_out(self, ranges: Ranges) -> list[int]:
        """The lengths, in order, at which a long token's beginning of such characters is over, or may be."""
        inside = "".join(f"{re.escape(chr(low))}-{re.escape(chr(high))}" for low, high in ranges)
        run = re.compile(rf'[{inside}"\\\ufffd]*')
        found: set[int] = set()
        for text in self._long:
            match = run.match(text)
            if match and match.end() >= _LONG:
                # Behind a backslash fewer characters are meant than written.
                found |= set(range(match.end())) if "\\" in match[0] else set()
                found |= {match.end(), *(at for at, sign in enumerate(match[0]) if sign == '"')}
        return sorted(length for length in found if length >= _LONG)


class Follower:
    """One grammar. Raises NotRead when it is not of a form that is followed."""

    def __init__(self, grammar: str, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._all = Languages()
        self._decoder = getincrementaldecoder("utf-8")()
        self._near: dict[Language, Language] = {}
        self.start = Place(*self._all.split(self._schema(_json_schema(grammar))))

    @cached_property
    def _letters(self) -> list[str]:
        """One of each kind that is told apart."""
        codes = self._all.samples(((0, 0xD7FF), (0xE000, LAST)))
        return [chr(code) for code in codes]

    def follow(self, place: Place, token: int) -> Place | None:
        """The place behind a token; None where it cannot be told."""
        data = place.open + self._vocabulary.tokens[token]
        open_bytes = b""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._decoder.reset()
            try:
                text = self._decoder.decode(data)
            except UnicodeDecodeError:
                return None
            open_bytes = self._decoder.getstate()[0]
        try:
            now, rest = self._all.follow(place.now, place.rest, text)
        except NotRead:
            return None
        return None if now is self._all.nothing else Place(now, rest, open_bytes)

    def edges(self, place: Place) -> tuple[int, ...] | None:
        """Where letters are told apart as long as the string goes on that stands here; None: none does."""
        return self._all.edges(place.now) if place.now.kind == "quoted" else None

    def kinds(self, token: int, edges: tuple[int, ...] | None) -> Hashable | None:
        """Of a token's letters, and where they were told apart; None if it has other than whole letters.

        They are at `edges`, but as finely as anywhere where the token may end the string.
        """
        try:
            text = self._vocabulary.tokens[token].decode()
        except UnicodeDecodeError:
            return None
        used = None if '"' in text or "\\" in text else edges
        return (used, self._all.kinds(text, used)) if text else None

    def letters(self, place: Place) -> list[str]:
        """One letter for each way on from a place; none of those that are not followed."""
        found: dict[object, str] = {}
        for letter in self._letters:
            try:
                way: object = (
                    self._all.follow(place.now, place.rest, letter)
                    if place.now.nullable
                    else self._all.after(place.now, ord(letter))
                )
            except NotRead:
                continue
            found.setdefault(way, letter)
        nothing = self._all.nothing
        return [letter for way, letter in found.items() if way not in (nothing, (nothing, self._all.empty))]

    def near(self, place: Place) -> Place:
        """The place by which masks are remembered: bounds beyond any token's reach are all the same."""
        try:
            return Place(self._nearer(place.now), self._nearer(place.rest), place.open)
        except NotRead:
            return place

    def _nearer(self, rest: Language) -> Language:
        found = self._near.get(rest)
        if found is None:
            found = self._near[rest] = self._work_out(rest)
        return found

    def _work_out(self, rest: Language) -> Language:
        inside = rest.parts
        match rest.kind:
            case "then":
                return self._all.then(*map(self._nearer, inside))
            case "either":
                return self._all.either(*map(self._nearer, inside))
            case "times":
                # Lists. A token reaches only so many items ahead.
                reached = self._vocabulary.longest // max(1, inside[0].shortest) + 2
                return self._bounded(rest, min(reached, inside[2] or 0))
            case "quoted":
                return self._all.quoted(self._nearer_text(inside[0]))
        return rest

    def _nearer_text(self, text: Language) -> Language:
        """Bounds only of one repeated character: it may end within reach, whatever is beyond."""
        together = text.parts if text.kind == "both" else (text,)
        repeated = [one for one in together if one.kind == "times" and one.parts[0].kind == "letter"]
        bounded = [one for one in repeated if one.parts[2] is not None]
        if len(bounded) != 1 or len(together) > 2:
            return text
        ranges: Ranges = bounded[0].parts[0].parts[0]
        others = [one for one in together if one is not bounded[0]]
        if all(self._soon_over(other, ranges) for other in others):
            return self._all.both(
                self._bounded(bounded[0], self._vocabulary.beyond(bounded[0].parts[2], ranges)), *others
            )
        return text

    def _bounded(self, times: Language, most: int) -> Language:
        inner, least, now = times.parts
        return times if least or now is None else self._all.times(inner, 0, most)

    def _soon_over(self, other: Language, ranges: Ranges) -> bool:
        """Whatever part of a text of these characters it has seen, it can be over with one character more."""
        letters = self._all.samples(ranges)
        seen, waiting = {other}, [other]
        while waiting and len(seen) <= _STATES:
            here = waiting.pop()
            following = {self._all.after(here, letter) for letter in letters} - {self._all.nothing}
            if not here.nullable and not any(one.nullable for one in following):
                return False
            waiting += following - seen
            seen |= following
        return len(seen) <= _STATES

    def _schema(self, schema: Mapping[str, Any]) -> Language:
        match schema:
            case {"type": "object", "properties": fields, "required": names, "additionalProperties": False}:
                if len(schema) == 4 and names == list(fields):
                    return self._object(fields)
            case {
                "type": "array",
                "prefixItems": columns,
                "items": False,
                "minItems": least,
                "maxItems": most,
            }:
                if len(schema) == 5 and least == most == len(columns):
                    return self._row(columns)
            case {"type": "array", "items": item, "maxItems": most}:
                if len(schema) == 3:
                    return self._array(self._schema(item), most)
            case {"anyOf": several}:
                if len(schema) == 1:
                    return self._all.either(*map(self._schema, several))
            case {"type": "null"}:
                if len(schema) == 1:
                    return self._all.word("null")
            case {"type": "string"}:
                return self._all.quoted_from(self._all.both(*self._texts(schema)))
        raise NotRead(f"schema {json.dumps(schema)[:80]}")

    def _object(self, fields: Mapping[str, Any]) -> Language:
        every = self._all
        inside = [
            every.then(every.word(json.dumps(key, ensure_ascii=False) + ":"), self._schema(value))
            for key, value in fields.items()
        ]
        apart = [part for one in inside for part in (every.word(","), one)]
        return every.then(every.word("{"), *apart[1:], every.word("}"))

    def _row(self, columns: Sequence[Mapping[str, Any]]) -> Language:
        every = self._all
        apart = [part for column in columns for part in (every.word(","), self._schema(column))]
        return every.then(every.word("["), *apart[1:], every.word("]"))

    def _array(self, item: Language, most: int) -> Language:
        every = self._all
        more = every.times(every.then(every.word(","), item), 0, most - 1)
        items = every.either(every.empty, every.then(item, more)) if most else every.empty
        return every.then(every.word("["), items, every.word("]"))

    def _texts(self, schema: Mapping[str, Any]) -> list[Language]:
        """All that a string must be at once."""
        found = []
        if "maxLength" in schema or not schema.keys() & {"pattern", "allOf"}:
            found.append(self._all.times(self._all.letter(((0, LAST),)), 0, schema.get("maxLength")))
        if "pattern" in schema:
            found.append(self._all.pattern(schema["pattern"]))
        for other in schema.get("allOf", ()):
            found += self._texts(other)
        if schema.keys() - {"type", "pattern", "allOf", "maxLength"} or schema.get("type") not in (
            None,
            "string",
        ):
            raise NotRead(f"string {json.dumps(schema)[:80]}")
        return found


def _json_schema(grammar: str) -> Mapping[str, Any]:
    """The schema of a grammar that is one compact JSON schema."""
    match json.loads(grammar):
        case {"grammars": [{"json_schema": {"x-guidance": options, **schema}}]} if options == _COMPACT:
            return {str(key): value for key, value in schema.items()}
    raise NotRead("the grammar is no compact JSON schema")
