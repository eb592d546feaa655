"""Stops an answer that has begun to repeat itself, long before the token limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

PERIOD = 160  # tokens of the longest cycle looked for: an invoice line, letter by letter
CYCLES = 6  # this many in a row are a loop ...
SHORTEST = 48  # ... if they make at least this many tokens: a line of dots is not yet one
LINES = 40  # equal lines of a list in a row are a loop: a crate of 24 bottles may be rung up one by one
_LENGTH = 4 * PERIOD  # tokens of an answer that are kept, before the last of them are moved to the front
_PERIODS = np.arange(PERIOD, 0, -1, dtype=np.int32)  # in the order of the tokens that lie so far back

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
        self._windows = sliding_window_view(self._recent.reshape(-1), PERIOD)
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
        # Taken as whole pieces of memory, which is several times quicker than number by number.
        equal = self._windows[places - PERIOD] == tokens[:, None]
        ends = counts.cumsum()
        matches, whole = _trailing(equal, ends - 1, counts)
        matches += self._matches[rows] * whole
        if len(tokens) == len(rows):
            run = np.where(breaks, 0, self._run[rows] + 1)
        else:
            numbers = np.arange(1, len(tokens) + 1)
            broke = np.maximum.reduceat(np.where(breaks, numbers, 0), ends - counts)
            run = np.where(broke > 0, ends - broke, self._run[rows] + counts)
        self._matches[rows] = matches
        self._run[rows] = run
        return matches


def _trailing(equal: npt.NDArray[np.bool_], lasts: Numbers, counts: Numbers) -> tuple[Numbers, Numbers]:
    """equal bool [tokens, PERIOD] → of each row, [rows, PERIOD]: how many of its last tokens in a row were
    equal (int32), and whether all of them were.
    """
    whole = equal[lasts]
    matches = whole.astype(np.int32)
    going, back = np.flatnonzero(counts > 1), 1
    while len(going):  # as a rule two or three rounds: hardly anything is equal for longer
        still = whole[going] & equal[lasts[going] - back]
        whole[going] = still
        matches[going] += still
        back += 1
        going = going[(counts[going] > back) & still.any(1)]
    return matches, whole


def _within(counts: Numbers) -> Numbers:
    """Of each token its number among those of its row."""
    found: Numbers = np.arange(counts.sum()) - (counts.cumsum() - counts).repeat(counts)
    return found
