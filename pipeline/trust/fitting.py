"""A calibration is fitted on documents whose truth is known, and judged on documents that it was not fitted on.

Documents, not values, are what is held out: values of one page are right and wrong together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import UsageError
from pipeline.trust import measures
from pipeline.trust.calibration import Calibration, Curve, Outcome, together
from pipeline.trust.examples import Example
from pipeline.trust.features import NAMES

Floats = npt.NDArray[np.float64]

LEAST_DOCUMENTS = 20
LEAST_OF_A_LEAF = 100  # values, from which on a field (or a tier) has an offset of its own
_FOLDS = 5
_LEAST_BLOCK = 25  # values in a step of the curve
# What is believed before any value was seen, and how firmly: mean and standard deviation of each weight. The
# direction of evidence is known; a hundred documents need not show it for every kind. A null on a paper that
# is strange was hardly ever seen in the set that a calibration is made from, for such papers are not in it.
_PRIOR: Mapping[str, tuple[float, float]] = {
    "sure": (1.0, 1.0),
    "borne_out": (0.5, 1.0),
    "accused": (-1.0, 2.0),
    "witnessed": (1.0, 1.0),
    "strange": (-4.0, 1.0),
}
_OFFSET = 0.5  # standard deviation of an offset


def fitted(
    examples: Sequence[Example], *, schema: str, checkpoint: str, numerics: str, origin: str
) -> Calibration:
    """The calibration of these documents, with what was measured by holding each out.

    Raises UsageError where there are too few, or no value among them is wrong.
    """
    named = {"schema": schema, "checkpoint": checkpoint, "numerics": numerics, "origin": origin}
    if len(examples) < LEAST_DOCUMENTS:
        raise UsageError(
            f"{len(examples)} documents of {schema} with known truth: a calibration needs {LEAST_DOCUMENTS}, "
            "and a hundred to be worth something"
        )
    wrong = sum(not right for example in examples for right in example.right)
    if not wrong:
        raise UsageError(f"no value of these {len(examples)} documents is wrong: there is nothing to learn from")
    parts = [replace_one(_fit(_without(examples, fold), named), ()) for fold in range(_FOLDS)]
    outcomes, held = [], []
    for number, example in enumerate(examples):
        model = parts[number % _FOLDS]
        scores = model.scores(example.values, example.tier)
        held.append(scores)
        if example.whole:
            score = model.document(scores)
            outcomes.append(Outcome(score, example.tier, example.fields, example.correct, example.stopped))
    whole = _fit(examples, named)
    return replace(whole, outcomes=tuple(outcomes), figures=figures(examples, held))


def replace_one(model: Calibration, outcomes: tuple[Outcome, ...]) -> Calibration:
    return replace(model, outcomes=outcomes)


def figures(examples: Sequence[Example], scores: Sequence[Floats]) -> dict[str, Any]:
    """What scores of documents that had no part in the fit are worth; JSON-ready."""
    flat = np.concatenate(list(scores))
    right = np.array([hit for example in examples for hit in example.right])
    leaves = np.array([value.leaf for example in examples for value in example.values])
    count = measures.passing(flat, right, 0.99)
    by_leaf = {}
    for leaf, number in sorted(Counter(leaves.tolist()).items()):
        if number >= LEAST_OF_A_LEAF:
            mine = leaves == leaf
            by_leaf[leaf] = {"values": number, "ece": _ece(flat[mine], right[mine])}
    return {
        "values": len(right),
        "right": int(right.sum()),
        "ece": _ece(flat, right),
        "auroc": measures.auroc(flat, right),
        "pass_at_99": count / len(right),
        "leaves": by_leaf,
    }


def _ece(scores: Floats, right: npt.NDArray[np.bool_]) -> float | None:
    return measures.ece(measures.calibration(scores.tolist(), right.tolist()))


def _without(examples: Sequence[Example], fold: int) -> list[Example]:
    return [example for number, example in enumerate(examples) if number % _FOLDS != fold]


def _fit(examples: Sequence[Example], named: Mapping[str, str]) -> Calibration:
    """Logistic on all; curve and document on values that had no part in their own logistic."""
    held = np.empty(0)
    order: list[int] = []
    for fold in range(_FOLDS):
        rest = _Sheet.of(_without(examples, fold))
        mine = [number for number in range(len(examples)) if number % _FOLDS == fold]
        held = np.append(held, rest.judge([examples[number] for number in mine]))
        order += mine
    right = np.array([hit for number in order for hit in examples[number].right], np.float64)
    curve = straightened(held, right)
    sheet = _Sheet.of(examples)
    made = sheet.calibration(named, len(examples), len(right), curve)
    return replace(made, whole=_whole([examples[number] for number in order], curve(held)))


@dataclass(frozen=True)
class _Sheet:
    """Weights in the order: bias, features, leaves, tiers."""

    weights: Floats
    leaves: tuple[str, ...]
    tiers: tuple[str, ...]

    @classmethod
    def of(cls, examples: Sequence[Example]) -> _Sheet:
        counted = Counter(value.leaf for example in examples for value in example.values)
        leaves = tuple(sorted(leaf for leaf, number in counted.items() if number >= LEAST_OF_A_LEAF))
        of_tiers = Counter(example.tier for example in examples for _ in example.values)
        tiers = tuple(
            sorted(tier for tier, number in of_tiers.items() if tier is not None and number >= LEAST_OF_A_LEAF)
        )
        empty = cls(np.zeros(0), leaves, tiers)
        x = empty.table(examples)
        y = np.array([hit for example in examples for hit in example.right], np.float64)
        means = np.array([0.0, *(_PRIOR[name][0] for name in NAMES), *[0.0] * (len(leaves) + len(tiers))])
        spread = np.array([10.0, *(_PRIOR[name][1] for name in NAMES), *[_OFFSET] * (len(leaves) + len(tiers))])
        return cls(logistic(x, y, means, spread), leaves, tiers)

    def table(self, examples: Iterable[Example]) -> Floats:
        rows = [
            (1.0, *value.features, *(value.leaf == leaf for leaf in self.leaves), *(example.tier == tier for tier in self.tiers))
            for example in examples
            for value in example.values
        ]
        return np.array(rows, np.float64)

    def judge(self, examples: Sequence[Example]) -> Floats:
        found: Floats = self.table(examples) @ self.weights
        return found

    def calibration(self, named: Mapping[str, str], documents: int, values: int, curve: Curve) -> Calibration:
        bias, *rest = self.weights.tolist()
        n, m = len(NAMES), len(self.leaves)
        return Calibration(
            **named,
            documents=documents,
            values=values,
            bias=bias,
            weights=dict(zip(NAMES, rest[:n], strict=True)),
            leaves=dict(zip(self.leaves, rest[n : n + m], strict=True)),
            tiers=dict(zip(self.tiers, rest[n + m :], strict=True)),
            curve=curve,
            whole=(1.0, 0.0),
        )


def logistic(x: Floats, y: Floats, means: Floats, spread: Floats) -> Floats:
    """Weights, the likeliest under normal priors: Newton's method, which this convex problem suits.

    x [n, k], y [n] of 0 and 1; means and spread [k] of the priors.
    """
    weights, precision = means.copy(), 1 / spread**2
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (chance - y) + precision * (weights - means)
        bend = (x * (chance * (1 - chance))[:, None]).T @ x + np.diag(precision)
        step = np.linalg.solve(bend, slope)
        size = float(np.abs(step).max())
        weights = weights - step / max(1.0, size)
        if size < 1e-8:
            break
    return weights


def straightened(z: Floats, right: Floats) -> Curve:
    """The isotonic step: pools of neighbours until the share of right ones rises, each of some size.

    A pool's share is taken with half a right and half a wrong value more, so that none is 0 or 1.
    """
    order = np.argsort(z, kind="stable")
    pools: list[list[float]] = []  # values, right ones, sum of z
    for at, hit in zip(z[order].tolist(), right[order].tolist(), strict=True):
        pools.append([1.0, hit, at])
        while len(pools) > 1 and _share(pools[-2]) >= _share(pools[-1]):
            _merge_last(pools)
    wide: list[list[float]] = []
    for pool in pools:
        wide.append(pool)
        while len(wide) > 1 and (wide[-2][0] < _LEAST_BLOCK or _share(wide[-2]) >= _share(wide[-1])):
            _merge_last(wide)
    if len(wide) > 1 and wide[-1][0] < _LEAST_BLOCK:
        _merge_last(wide)
    x = [total / count for count, _, total in wide]
    y = [float(np.log(share / (1 - share))) for share in map(_smoothed, wide)]
    y = np.maximum.accumulate(y).tolist()
    return Curve(tuple(x), tuple(y))


def _share(pool: Sequence[float]) -> float:
    return pool[1] / pool[0]


def _smoothed(pool: Sequence[float]) -> float:
    return (pool[1] + 0.5) / (pool[0] + 1)


def _merge_last(pools: list[list[float]]) -> None:
    last = pools.pop()
    pools[-1] = [one + other for one, other in zip(pools[-1], last, strict=True)]


def _whole(examples: Sequence[Example], z: Floats) -> tuple[float, float]:
    """Slope and intercept over the logits of the documents' products."""
    scores = 1 / (1 + np.exp(-z))
    at, x, y = 0, [], []
    for example in examples:
        mine = scores[at : at + len(example.values)]
        at += len(example.values)
        if example.whole:
            x.append((1.0, together(mine)))
            y.append(float(all(example.right) and example.correct == example.fields))
    if not x:
        return 1.0, 0.0
    intercept, slope = logistic(np.array(x), np.array(y), np.array([0.0, 1.0]), np.array([1.0, 0.3])).tolist()
    return max(slope, 0.1), intercept
