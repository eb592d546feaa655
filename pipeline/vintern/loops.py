"""Stops an answer that has begun to repeat itself, long before the token limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

PERIOD = 160  # tokens of the longest cycle looked for: an invoice line, letter by letter
CYCLES = 6  # this many in a row are a loop ...
SHORTEST = 48  # ... if they make at least this many tokens: a line of dots is not yet one
LINES = 40  # equal lines of a list in a row are a loop: a crate of 24 bottles may be rung up one by one
_PERIODS = np.arange(1, PERIOD + 1)


class LoopGuard:
    """Watches the tokens of many answers, forced ones included, as they come: of all rows in one pass.

    A loop is a tail that repeats itself with some period p ≤ PERIOD over max(CYCLES · p, SHORTEST) tokens. In
    a grammar's answer this holds within one value; whole values and lines may be equal LINES times. How long
    a value and a list may be is the grammar's to say.
    """

    def __init__(self, rows: int) -> None:
        self._values = np.zeros(rows, dtype=np.bool_)
        self._run = np.zeros(
            rows, dtype=np.int32
        )  # tokens since the last with a quote, or outside of strings
        self._count = np.zeros(rows, dtype=np.int64)
        # A ring of the last PERIOD tokens, twice in a row: wherever it begins, it can be read in one piece.
        self._recent = np.full((rows, 2 * PERIOD), -1, dtype=np.int32)
        # By period: how many tokens in a row were equal to the one so far before.
        self._matches = np.zeros((rows, PERIOD), dtype=np.int32)
        self._needed, self._needed_of_lines = (
            np.maximum((cycles - 1) * _PERIODS, SHORTEST - _PERIODS).astype(np.int32)
            for cycles in (CYCLES, LINES)
        )

    def begin(self, row: int, values: bool) -> None:
        """Forget what was in a row. `values`: its answer is JSON, where a quote begins or ends a value."""
        self._values[row] = values
        self._run[row] = self._count[row] = self._matches[row] = 0
        self._recent[row] = -1

    def loops(
        self, rows: npt.NDArray[Any], tokens: npt.NDArray[Any], breaks: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Take in the next token of each of some rows, none of them twice; True where the answer loops.

        breaks: a quote is in it, or it ends outside of a string. What is outside of them, like many nulls in
        a row, is whole values.
        """
        at = self._count[rows] % PERIOD
        # The newest token first.
        back = self._recent[rows[:, None], at[:, None] + (PERIOD - 1 - np.arange(PERIOD))]
        matches = self._matches[rows]
        matches += 1
        matches *= back == tokens[:, None]
        self._matches[rows] = matches
        self._recent[rows, at] = self._recent[rows, at + PERIOD] = tokens
        self._count[rows] += 1
        self._run[rows] = run = np.where(breaks, 0, self._run[rows] + 1)
        found = matches >= self._needed
        told: npt.NDArray[np.bool_] = found.any(1)
        if told.any():
            # A period that is longer than the run since the last quote goes over whole values.
            over_values = self._values[rows, None] & (run[:, None] < _PERIODS)
            told = (found & (~over_values | (matches >= self._needed_of_lines))).any(1)
        return told
