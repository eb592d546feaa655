"""What scores are judged by: intervals of shares, calibration error, ranking. Plain functions of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

Z95 = 1.959963984540054  # of the normal distribution: 95% lie within
_POINTS = 120  # of a curve, which is no wider on paper


@dataclass(frozen=True, slots=True)
class Interval:
    """A share with its 95% confidence interval, all 0..1."""

    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Values whose confidence lies in [low, high): how many, how sure on average, how many of them right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def wilson(part: int, whole: int) -> Interval | None:
    """Wilson's score interval of a share; None where `whole` is 0."""
    if not whole:
        return None
    p, n, z2 = part / whole, whole, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def calibration(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> tuple[Bin, ...]:
    """Values sorted into `bins` of equal width; empty bins are left out."""
    at = np.minimum((np.asarray(confidences, np.float64) * bins).astype(int), bins - 1)
    sure, hits = np.asarray(confidences, np.float64), np.asarray(right, np.float64)
    return tuple(
        Bin(
            i / bins,
            (i + 1) / bins,
            int((at == i).sum()),
            float(sure[at == i].mean()),
            float(hits[at == i].mean()),
        )
        for i in range(bins)
        if (at == i).any()
    )


def ece(bins: Iterable[Bin]) -> float | None:
    """Expected calibration error: how far confidence and accuracy lie apart, weighed by the bins' counts."""
    found = list(bins)
    whole = sum(b.count for b in found)
    return sum(b.count * abs(b.confidence - b.accuracy) for b in found) / whole if whole else None


def auroc(scores: npt.ArrayLike, right: npt.ArrayLike) -> float | None:
    """The chance that a right value scores above a wrong one, ties half; None where all are of one kind."""
    given, hits = np.asarray(scores, np.float64), np.asarray(right, bool)
    ones, zeros = int(hits.sum()), int((~hits).sum())
    if not ones or not zeros:
        return None
    _, place, counts = np.unique(given, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[place][hits].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def passing(scores: npt.ArrayLike, right: npt.ArrayLike, precision: float) -> int:
    """How many of the surest values one may accept so that at least `precision` of them are right.

    Values of one score are accepted together or not at all.
    """
    given, hits = np.asarray(scores, np.float64), np.asarray(right, np.float64)
    if not len(given):
        return 0
    order = np.argsort(-given, kind="stable")
    ends = np.append(given[order][1:] != given[order][:-1], True)
    good = np.flatnonzero(ends & (np.cumsum(hits[order]) >= precision * np.arange(1, len(order) + 1)))
    return int(good[-1]) + 1 if len(good) else 0


@dataclass(frozen=True, slots=True)
class Point:
    """Of what is accepted from the score `threshold` on: its share of all, and the share of its values that
    are wrong.
    """

    threshold: float
    coverage: float
    risk: float


@dataclass(frozen=True, slots=True)
class Risk:
    """Of the items of one tier of quality: which share passes at which threshold, and how wrong it is.

    tier    as of an `Extraction`; None: not measured
    items   documents, or single values; of documents those in which a check failed pass at no threshold
    """

    tier: str | None
    items: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """What passes or does not: `right` of its `of` values are right. One that is stopped never passes."""

    tier: str | None
    score: float
    right: int
    of: int
    stopped: bool = False


def risks(items: Iterable[Item]) -> tuple[Risk, ...]:
    """The curve of each tier, the largest tier first."""
    tiers: dict[str | None, list[Item]] = {}
    for item in items:
        tiers.setdefault(item.tier, []).append(item)
    found = []
    for tier, some in tiers.items():
        able = [item for item in some if not item.stopped]
        scores, right, of = ([getattr(item, name) for item in able] for name in ("score", "right", "of"))
        found.append(Risk(tier, len(some), risk_curve(scores, right, of, len(some))))
    return tuple(sorted(found, key=lambda risk: -risk.items))


def risk_curve(
    scores: Sequence[float], right: Sequence[int], of: Sequence[int], whole: int
) -> tuple[Point, ...]:
    """How many of `whole` items pass at each threshold, and how wrong these are.

    Item i has `right[i]` of `of[i]` values right and is as sure as `scores[i]`. Items of one score are
    accepted together, because a threshold cannot part them. Of a long curve every so many points are kept.
    """
    given = np.asarray(scores, np.float64)
    if not len(given):
        return ()
    order = np.argsort(-given, kind="stable")
    ranked, hits, values = given[order], np.cumsum(np.asarray(right)[order]), np.cumsum(np.asarray(of)[order])
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    ends = ends[np.unique(np.linspace(0, len(ends) - 1, _POINTS).round().astype(int))]
    return tuple(
        Point(
            float(ranked[i]),
            (int(i) + 1) / whole,
            1 - float(hits[i]) / float(values[i]) if values[i] else 0.0,
        )
        for i in ends
    )
