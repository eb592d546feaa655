"""Stops an answer that has begun to repeat itself, long before the token limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

PERIOD = 160  # tokens of the longest cycle looked for: an invoice line, letter by letter
CYCLES = 6  # this many in a row are a loop ...
SHORTEST = 48  # ... if they make at least this many tokens: a line of dots is not yet one
LINES = 40  # equal lines of a list in a row are a loop: a crate of 24 bottles may be rung up one by one
_LENGTH = 4 * PERIOD  # tokens of an answer that are kept, before the last of them are moved to the front
_PERIODS = np.arange(1, PERIOD + 1, dtype=np.int32)

Numbers = npt.NDArray[Any]


class LoopGuard:
    """Watches the tokens of many answers, forced ones included, as they come: of all rows in one pass.

    A loop is a tail that repeats itself with some period p ≤ PERIOD over max(CYCLES · p, SHORTEST) tokens. In
    a grammar's answer this holds within one value; whole values and lines may be equal LINES times. How long
    a value and a list may be is the grammar's to say.
    """

    def __init__(self, rows: int) -> None:
        self._values = np.zeros(rows, dtype=np.bool_)
        self._run = np.zeros(
            rows, dtype=np.int64
        )  # tokens since the last with a quote, or outside of strings
        self._end = np.full(rows, PERIOD)  # of the tokens that are kept; before the first one stands nothing
        self._recent = np.full((rows, _LENGTH), -1, dtype=np.int32)
        # By period: how many tokens in a row were equal to the one so far before.
        self._matches = np.zeros((rows, PERIOD), dtype=np.int32)
        self._needed, self._needed_of_lines = (
            np.maximum((cycles - 1) * _PERIODS, SHORTEST - _PERIODS).astype(np.int32)
            for cycles in (CYCLES, LINES)
        )

    def begin(self, row: int, values: bool) -> None:
        """Forget what was in a row. `values`: its answer is JSON, where a quote begins or ends a value."""
        self._values[row] = values
        self._run[row] = self._matches[row] = 0
        self._recent[row] = -1
        self._end[row] = PERIOD

    def loops(
        self, rows: Numbers, tokens: Numbers, breaks: npt.NDArray[np.bool_], counts: Numbers | None = None
    ) -> npt.NDArray[np.bool_]:
        """Take in the next tokens of each of some rows, none of them twice; True where the answer loops after
        its last one.

        counts: of each row, how many of the tokens are its own, one row after the other; None: one each.
        breaks: a quote is in it, or it ends outside of a string. What is outside of them, like many nulls in
        a row, is whole values.
        """
        counts = np.ones(len(rows), dtype=np.int64) if counts is None else counts
        while (most := int(counts.max(initial=0))) > PERIOD:
            # What is longer than a cycle is taken in piece by piece.
            within = _within(counts)
            early = within < (counts - PERIOD).repeat(counts)
            some = np.minimum(np.maximum(counts - PERIOD, 0), PERIOD)
            early &= within < PERIOD
            self._take(rows[some > 0], tokens[early], breaks[early], some[some > 0], PERIOD)
            tokens, breaks, counts = tokens[~early], breaks[~early], counts - some
        matches = self._take(rows, tokens, breaks, counts, most)
        found = matches >= self._needed
        told: npt.NDArray[np.bool_] = np.asarray(found.any(1))
        if told.any():
            # A period that is longer than the run since the last quote goes over whole values.
            over_values = self._values[rows, None] & (self._run[rows, None] < _PERIODS)
            told = np.asarray((found & (~over_values | (matches >= self._needed_of_lines))).any(1))
        return told

    def _take(
        self, rows: Numbers, tokens: Numbers, breaks: npt.NDArray[np.bool_], counts: Numbers, most: int
    ) -> Numbers:
        """The matches by period after the tokens, int32 [rows, PERIOD]."""
        full = rows[self._end[rows] + most > _LENGTH]
        if len(full):
            kept = self._end[full, None] - PERIOD + np.arange(PERIOD)
            self._recent[full, :PERIOD] = self._recent[full[:, None], kept]
            self._end[full] = PERIOD
        places = (rows * _LENGTH + self._end[rows]).repeat(counts) + _within(counts)
        recent = self._recent.reshape(-1)
        recent[places] = tokens
        self._end[rows] += counts
        before = places.astype(np.int32)[:, None] - _PERIODS
        equal = recent.take(before) == tokens[:, None]
        ends = counts.cumsum()
        if len(tokens) == len(rows):
            matches = self._matches[rows]
            matches += 1
            matches *= equal
            run = np.where(breaks, 0, self._run[rows] + 1)
        else:
            numbers = np.arange(1, len(tokens) + 1, dtype=np.int32)
            starts = ends - counts
            # The last token of a row's that was not equal, or broke the run, counted from 1; 0: none did.
            last = np.maximum.reduceat(numbers[:, None] * ~equal, starts, axis=0)
            matches = np.where(
                last > 0,
                ends.astype(np.int32)[:, None] - last,
                self._matches[rows] + counts.astype(np.int32)[:, None],
            )
            broke = np.maximum.reduceat(np.where(breaks, numbers, 0), starts)
            run = np.where(broke > 0, ends - broke, self._run[rows] + counts)
        self._matches[rows] = matches
        self._run[rows] = run
        found: Numbers = matches
        return found


def _within(counts: Numbers) -> Numbers:
    """Of each token its number among those of its row."""
    found: Numbers = np.arange(counts.sum()) - (counts.cumsum() - counts).repeat(counts)
    return found
