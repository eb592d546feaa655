"""Intervals and paired tests by drawing again: seeded, so that the same data give the same figures.

Whole items (documents, questions) are drawn, with what they have of each sum; a measure is a function of the
sums. For two readers of one set the same items are drawn for both: that is the pairing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

Floats = npt.NDArray[np.float64]
Measure = Callable[[Floats], Floats]  # sums [..., k] → figures [..., m]
DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure with its 95% interval, and of how many items it is."""

    name: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of two readers, A and B, of the same `n` items.

    low, high    95% interval of B less A
    p            two-sided: how likely so large a difference is by chance alone, by `test`
    a_only, b_only    for right and wrong: items that only A, or only B, has right
    """

    name: str
    a: float
    b: float
    low: float
    high: float
    p: float
    test: str
    n: int
    a_only: int | None = None
    b_only: int | None = None

    @property
    def shown(self) -> bool:
        """Whether the difference is more than chance, at 5%."""
        return self.p < 0.05


def drawn(rows: Floats, measure: Measure, seed: int = 0) -> Floats:
    """The figures [DRAWS, m] of sets of items drawn again from `rows` [n, k]."""
    dice = np.random.default_rng(seed)
    n = len(rows)
    times = (np.bincount(dice.integers(0, n, n), minlength=n) for _ in range(DRAWS))
    return measure(np.stack([time @ rows for time in times]))


def interval(figures: Floats) -> tuple[Floats, Floats]:
    """Where 95% of the figures [draws, m] lie."""
    low, high = np.nanquantile(figures, [0.025, 0.975], axis=0)
    return low, high


def figures(names: tuple[str, ...], rows: Floats, measure: Measure, seed: int = 0) -> list[Figure]:
    """The measures of the items of `rows`, each with its interval."""
    values = measure(rows.sum(axis=0))
    low, high = interval(drawn(rows, measure, seed))
    return [
        Figure(name, float(values[i]), float(low[i]), float(high[i]), len(rows))
        for i, name in enumerate(names)
    ]


def differences(
    names: tuple[str, ...], a: Floats, b: Floats, measure: Measure, seed: int = 0
) -> list[Difference]:
    """The measures of two readers of the same items, `a` and `b` [n, k], by the paired bootstrap."""
    one, other = measure(a.sum(axis=0)), measure(b.sum(axis=0))
    width = a.shape[1]
    moved = drawn(
        np.hstack([a, b]), lambda sums: measure(sums[..., width:]) - measure(sums[..., :width]), seed
    )
    low, high = interval(moved)
    beyond = np.minimum((moved <= 0).sum(axis=0), (moved >= 0).sum(axis=0))
    p = np.minimum(1.0, 2 * (beyond + 1) / (DRAWS + 1))
    return [
        Difference(
            name,
            float(one[i]),
            float(other[i]),
            float(low[i]),
            float(high[i]),
            float(p[i]),
            "paired bootstrap",
            len(a),
        )
        for i, name in enumerate(names)
    ]


def right_or_wrong(name: str, a: npt.ArrayLike, b: npt.ArrayLike, seed: int = 0) -> Difference:
    """Which of two readers has more items right, by McNemar's exact test; the interval is drawn."""
    one, other = np.asarray(a, np.float64), np.asarray(b, np.float64)
    a_only, b_only = int(((one == 1) & (other == 0)).sum()), int(((one == 0) & (other == 1)).sum())
    n = len(one)
    moved = drawn((other - one)[:, None], lambda sums: sums / n, seed)
    low, high = interval(moved)
    return Difference(
        name,
        float(one.mean()),
        float(other.mean()),
        float(low[0]),
        float(high[0]),
        mcnemar(a_only, b_only),
        "McNemar, exact",
        n,
        a_only,
        b_only,
    )


def mcnemar(a_only: int, b_only: int) -> float:
    """The exact two-sided p of McNemar's test, from the numbers of items that only one of two has right."""
    if not a_only + b_only:
        return 1.0
    return float(binomtest(a_only, a_only + b_only, 0.5).pvalue)
