"""Stops an answer that has begun to repeat itself, long before the token limit."""

from __future__ import annotations

import numpy as np

PERIOD = 160  # tokens of the longest cycle looked for: an invoice line, letter by letter
CYCLES = 6  # this many in a row are a loop ...
SHORTEST = 48  # ... if they make at least this many tokens: a line of dots is not yet one
VALUE = 400  # tokens between two quotation marks: no printed value is as long


class LoopGuard:
    """Watches the tokens of one answer, forced ones included, as they come.

    A loop is a tail that repeats itself with some period p ≤ PERIOD over max(CYCLES · p, SHORTEST) tokens,
    or, in a grammar's answer, a value that does not end.
    """

    def __init__(self, values: bool) -> None:
        """`values`: the answer is JSON, so a run without a quotation mark is bounded."""
        self._values = values
        self._run = 0
        self._count = 0
        self._recent = np.full(PERIOD, -1, dtype=np.int64)  # a ring; the token at time i is at i % PERIOD
        # By period p: how many tokens in a row were equal to the one p before.
        self._matches = np.zeros(PERIOD + 1, dtype=np.int64)
        self._needed = np.maximum((CYCLES - 1) * np.arange(PERIOD + 1), SHORTEST - np.arange(PERIOD + 1))
        self._needed[0] = np.iinfo(np.int64).max

    def loops(self, token: int, text: bytes) -> bool:
        """Take in the next token, which stands for `text`; True when the answer loops."""
        back = (self._count - np.arange(1, PERIOD + 1)) % PERIOD
        self._matches[1:] = np.where(self._recent[back] == token, self._matches[1:] + 1, 0)
        self._recent[self._count % PERIOD] = token
        self._count += 1
        self._run = 0 if b'"' in text else self._run + 1
        return bool((self._matches >= self._needed).any()) or (self._values and self._run > VALUE)
