"""The two steps of a fit: weights of a logistic, and the isotonic curve that straightens it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.trust.calibration import Curve

Floats = npt.NDArray[np.float64]

_LEAST_POOL = 25  # values in a step of the curve
_WIDEST = 1.0  # of z, for a step with more values than that


def weights(x: Floats, y: Floats, means: Floats, spread: Floats) -> Floats:
    """float64 [k], the likeliest under normal priors, by Newton's method, which suits this convex problem.

    x [n, k]; y [n] of 0 and 1; means and spread [k], mean and standard deviation of each prior.
    """
    found, precision = means.copy(), 1 / spread**2
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(x @ found, -30, 30)))
        slope = x.T @ (chance - y) + precision * (found - means)
        bend = (x * (chance * (1 - chance))[:, None]).T @ x + np.diag(precision)
        step = np.linalg.solve(bend, slope)
        size = float(np.abs(step).max())
        found = found - step / max(1.0, size)
        if size < 1e-8:
            break
    return found


def straightened(z: Floats, right: Floats) -> Curve:
    """The isotonic step: neighbours are pooled until the share of right ones rises, and each pool has some.

    A wide pool becomes several steps with its share: where a reader is seldom wrong, one pool holds nearly
    all, and its middle says little of its ends. A step's share is taken with half a right and half a wrong
    value more, so that none is 0 or 1, and few values say less than many.
    """
    order = np.argsort(z, kind="stable")
    sorted_z = z[order]
    rising: list[_Pool] = []
    for at, hit in zip(sorted_z.tolist(), right[order].tolist(), strict=True):
        rising.append((1.0, hit, at))
        while len(rising) > 1 and _share(rising[-2]) >= _share(rising[-1]):
            _join(rising)
    wide: list[_Pool] = []
    for pool in rising:
        wide.append(pool)
        while len(wide) > 1 and (wide[-2][0] < _LEAST_POOL or _share(wide[-2]) >= _share(wide[-1])):
            _join(wide)
    if len(wide) > 1 and wide[-1][0] < _LEAST_POOL:
        _join(wide)
    x: list[float] = []
    y: list[float] = []
    ends = np.cumsum([count for count, _, _ in wide]).astype(int)
    for pool, values in zip(wide, np.split(sorted_z, ends[:-1]), strict=True):
        for step in _steps(values):
            share = (_share(pool) * len(step) + 0.5) / (len(step) + 1)
            x.append(float(step.mean()))
            y.append(float(np.log(share / (1 - share))))
    return Curve(tuple(x), tuple(np.maximum.accumulate(y).tolist()))


def _steps(z: Floats) -> list[Floats]:
    """A pool's values, rising, in steps that are narrow and have enough of them."""
    steps: list[Floats] = []
    start = 0
    for at in range(1, len(z)):
        if at - start >= _LEAST_POOL and z[at] - z[start] > _WIDEST and len(z) - at >= _LEAST_POOL:
            steps.append(z[start:at])
            start = at
    return [*steps, z[start:]]


_Pool = tuple[float, float, float]  # values, right ones among them, sum of their z


def _share(pool: _Pool) -> float:
    return pool[1] / pool[0]


def _join(pools: list[_Pool]) -> None:
    """The last two become one."""
    (count, hits, total), (more, also, further) = pools[-2:]
    pools[-2:] = [(count + more, hits + also, total + further)]


def line(x: Sequence[float], y: Sequence[bool]) -> tuple[float, float]:
    """Slope and intercept of a logistic in one number; (1, 0), which changes nothing, where there is none."""
    if not x:
        return 1.0, 0.0
    table = np.array([(1.0, one) for one in x])
    prior = np.array([0.0, 1.0]), np.array([1.0, 0.3])
    intercept, slope = weights(table, np.array(y, np.float64), *prior).tolist()
    return max(slope, 0.1), intercept
