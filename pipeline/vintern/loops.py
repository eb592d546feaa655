"""Stops an answer that has begun to repeat itself, long before the token limit."""

from __future__ import annotations

import numpy as np

PERIOD = 160  # tokens of the longest cycle looked for: an invoice line, letter by letter
CYCLES = 6  # this many in a row are a loop ...
SHORTEST = 48  # ... if they make at least this many tokens: a line of dots is not yet one
LINES = 40  # equal lines of a list in a row are a loop: a crate of 24 bottles may be rung up one by one


class LoopGuard:
    """Watches the tokens of one answer, forced ones included, as they come.

    A loop is a tail that repeats itself with some period p ≤ PERIOD over max(CYCLES · p, SHORTEST) tokens. In
    a grammar's answer this holds within one value; whole values and lines may be equal LINES times. How long
    a value and a list may be is the grammar's to say.
    """

    def __init__(self, values: bool) -> None:
        """`values`: the answer is JSON, in which a quotation mark begins or ends a value."""
        self._values = values
        self._run = 0  # tokens since the last one with a quotation mark, or outside of a string
        self._count = 0
        self._recent = np.full(PERIOD, -1, dtype=np.int64)  # a ring; the token at time i is at i % PERIOD
        # By period p: how many tokens in a row were equal to the one p before.
        self._matches = np.zeros(PERIOD + 1, dtype=np.int64)
        self._needed, self._needed_of_lines = (
            np.maximum((cycles - 1) * np.arange(PERIOD + 1), SHORTEST - np.arange(PERIOD + 1))
            for cycles in (CYCLES, LINES)
        )
        self._needed[0] = self._needed_of_lines[0] = np.iinfo(np.int64).max

    def loops(self, token: int, text: bytes, inside: bool = True) -> bool:
        """Take in the next token, which stands for `text`; True when the answer loops.

        inside: it ends within a string. What is outside of them, like many nulls in a row, is whole values.
        """
        back = (self._count - np.arange(1, PERIOD + 1)) % PERIOD
        self._matches[1:] = np.where(self._recent[back] == token, self._matches[1:] + 1, 0)
        self._recent[self._count % PERIOD] = token
        self._count += 1
        self._run = 0 if b'"' in text or not inside else self._run + 1
        # A period that is longer than the run since the last quotation mark goes over whole values.
        within = np.arange(PERIOD + 1) <= self._run if self._values else True
        needed = np.where(within, self._needed, self._needed_of_lines)
        return bool((self._matches >= needed).any())
