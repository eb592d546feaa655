"""The measures themselves: plain functions of numbers and texts, each tested on a case computed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein
from scipy.optimize import linear_sum_assignment

from pipeline.trust.measures import Interval, wilson


def share(part: float, whole: float) -> float | None:
    """part / whole, None where there is nothing to have a share of."""
    return part / whole if whole else None


def f1(precision: float | None, recall: float | None) -> float | None:
    """The harmonic mean; None where both are undefined, 0 where one is undefined or zero."""
    if precision is None and recall is None:
        return None
    return 2 * precision * recall / (precision + recall) if precision and recall else 0.0


def edits(truth: str, read: str) -> int:
    """Characters to insert, delete or replace."""
    return Levenshtein.distance(truth, read)


def acceptable(scores: npt.ArrayLike, right: npt.ArrayLike, of: npt.ArrayLike, target: float) -> int:
    """How many of the surest items one may accept so that together they are right in at least `target`.

    Item i has `right[i]` of `of[i]` fields right and is as sure as `scores[i]`. Items of one score are
    accepted together or not at all, because a threshold cannot part them. Items without fields are no error.
    """
    given = np.asarray(scores, np.float64)
    order = np.argsort(-given, kind="stable")
    hits, whole = np.cumsum(np.asarray(right)[order]), np.cumsum(np.asarray(of)[order])
    ends = np.append(given[order][1:] != given[order][:-1], True) if len(order) else np.zeros(0, bool)
    good = np.flatnonzero(ends & (hits >= target * whole))
    return int(good[-1]) + 1 if len(good) else 0


def accept_interval(
    scores: Sequence[float], right: Sequence[int], of: Sequence[int], documents: int, target: float
) -> Interval | None:
    """The share of `documents` that `acceptable` lets through, with a bootstrap interval.

    Whole documents are drawn again 1,000 times (seed 0) and the threshold is chosen anew each time, so the
    interval holds the doubt about the threshold too; where every draw comes to the same, Wilson's interval
    stands in. Documents beyond those listed are never accepted.
    """
    if not documents:
        return None
    score, hit, whole = np.asarray(scores, np.float64), np.asarray(right), np.asarray(of)
    dice = np.random.default_rng(0)
    drawn = []
    for _ in range(1000):
        pick = dice.integers(0, documents, documents)
        pick = pick[pick < len(score)]
        drawn.append(acceptable(score[pick], hit[pick], whole[pick], target) / documents)
    low, high = np.quantile(drawn, [0.025, 0.975])
    count = acceptable(scores, right, of, target)
    return Interval(count / documents, float(low), float(high)) if low < high else wilson(count, documents)


def anls_star(truth: Any, read: Any) -> float:
    """ANLS* of two nested values (dicts, lists in any order, texts, None): 0..1.

    The measure of Peer et al., "ANLS*: A Universal Document Processing Metric": texts by normalised edit
    distance, nothing below one half; lists by the best assignment; every leaf of either side weighs the same.
    """
    gained, length = _anls(truth, read)
    return gained / length if length else 1.0


def _anls(truth: Any, read: Any) -> tuple[float, int]:
    """(points, leaves) of a pair."""
    if isinstance(truth, Mapping) and isinstance(read, Mapping):
        names = [*truth, *(name for name in read if name not in truth and not _nothing(read[name]))]
        scores = [_anls(truth.get(name), read.get(name)) for name in names]
        return sum(s for s, _ in scores), sum(n for _, n in scores)
    if isinstance(truth, list) and isinstance(read, list):
        return _anls_list(truth, read)
    if truth is None or read is None:
        return float(truth is None and _nothing(read)), max(_leaves(truth), _leaves(read))
    if isinstance(truth, Mapping | list) or isinstance(read, Mapping | list):
        return 0.0, max(_leaves(truth), _leaves(read))
    one, other = (" ".join(str(value).lower().split()) for value in (truth, read))
    likeness = Levenshtein.normalized_similarity(one, other)
    return (likeness if likeness >= 0.5 else 0.0), 1


def _anls_list(truth: list[Any], read: list[Any]) -> tuple[float, int]:
    cells = [[_anls(a, b) for b in read] for a in truth]
    means = np.array([[s / n if n else 1.0 for s, n in row] for row in cells]).reshape(len(truth), len(read))
    rows, columns = linear_sum_assignment(means, maximize=True)
    pairs = [cells[row][column] for row, column in zip(rows, columns, strict=True)]
    alone = [a for i, a in enumerate(truth) if i not in rows] + [
        b for i, b in enumerate(read) if i not in columns
    ]
    return sum(s for s, _ in pairs), sum(n for _, n in pairs) + sum(map(_leaves, alone))


def _leaves(value: Any) -> int:
    if isinstance(value, Mapping | list):
        return sum(map(_leaves, value.values() if isinstance(value, Mapping) else value))
    return 1


def _nothing(value: Any) -> bool:
    return value is None or value in ({}, [], "")
