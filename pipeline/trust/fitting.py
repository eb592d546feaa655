"""A calibration is fitted on documents whose truth is known, and judged on documents that were held out.

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
from pipeline.trust import logistic, measures
from pipeline.trust.calibration import Calibration, Curve, Outcome, probability, together
from pipeline.trust.examples import Example
from pipeline.trust.features import NAMES
from pipeline.trust.logistic import Floats

LEAST_DOCUMENTS = 20
LEAST_VALUES = 100  # from which on a field, or a tier, has an offset of its own
_FOLDS = 5
# What is believed before any value was seen: mean and standard deviation of each weight. The direction of
# evidence is known, and a hundred documents need not show it for every kind. Nulls on a strange paper are
# believed to be wrong most firmly: such papers are hardly ever in the set that a calibration is made of.
_PRIOR: Mapping[str, tuple[float, float]] = {
    "sure": (1.0, 1.0),
    "borne_out": (0.5, 1.0),
    "accused": (-1.0, 2.0),
    "witnessed": (1.0, 1.0),
    "again": (0.5, 1.0),
    "strange": (-4.0, 1.0),
}
_BIAS = 10.0  # standard deviations
_OFFSET = 0.5


@dataclass(frozen=True, slots=True)
class Belongs:
    """What a calibration is of: schema, checkpoint, numerics, and where the truth came from."""

    schema: str
    checkpoint: str
    numerics: str
    origin: str


def fitted(examples: Sequence[Example], of: Belongs) -> Calibration:
    """The calibration of these documents, with what was measured by holding each out.

    Raises UsageError where there are too few, or no value among them is wrong.
    """
    if len(examples) < LEAST_DOCUMENTS:
        raise UsageError(
            f"{len(examples)} documents of {of.schema} with known truth: a calibration needs "
            f"{LEAST_DOCUMENTS}, and a hundred to be worth something"
        )
    if all(right for example in examples for right in example.right):
        raise UsageError(
            f"no value of these {len(examples)} documents is wrong: there is nothing to learn from"
        )
    folds = [_fit(_without(examples, fold), of) for fold in range(_FOLDS)]
    held = [folds[n % _FOLDS].scores(one.values, one.tier) for n, one in enumerate(examples)]
    outcomes = tuple(
        Outcome(round(folds[n % _FOLDS].document(held[n]), 6), one.tier, one.fields, one.correct, one.stopped)
        for n, one in enumerate(examples)
        if one.whole
    )
    return replace(_fit(examples, of), outcomes=outcomes, figures=figures(examples, held))


def figures(examples: Sequence[Example], scores: Sequence[Floats]) -> dict[str, Any]:
    """What scores of documents that had no part in the fit are worth; JSON-ready."""
    flat = np.concatenate(list(scores))
    right = np.array([hit for example in examples for hit in example.right])
    leaves = np.array([value.leaf for example in examples for value in example.values])
    counted = sorted(Counter(leaves.tolist()).items())
    return {
        "values": len(right),
        "right": int(right.sum()),
        "ece": _ece(flat, right),
        "auroc": measures.auroc(flat, right),
        "pass_at_99": measures.passing(flat, right, 0.99) / len(right),
        "leaves": {
            leaf: {"values": number, "ece": _ece(flat[leaves == leaf], right[leaves == leaf])}
            for leaf, number in counted
            if number >= LEAST_VALUES
        },
    }


def _ece(scores: Floats, right: npt.NDArray[np.bool_]) -> float | None:
    return measures.ece(measures.calibration(scores.tolist(), right.tolist()))


def _without(examples: Sequence[Example], fold: int) -> list[Example]:
    return [example for number, example in enumerate(examples) if number % _FOLDS != fold]


def _fit(examples: Sequence[Example], of: Belongs) -> Calibration:
    """Weights of all; curve and document by scores that had no part in their own weights."""
    z = np.empty(0)
    order: list[Example] = []
    for fold in range(_FOLDS):
        mine = list(examples[fold::_FOLDS])
        z = np.append(z, _Weights.of(_without(examples, fold)).judge(mine))
        order += mine
    right = np.array([hit for example in order for hit in example.right], np.float64)
    curve = logistic.straightened(z, right)
    made = _Weights.of(examples).calibration(of, len(examples), len(right), curve)
    return replace(made, whole=_whole(order, probability(curve(z))))


def _whole(examples: Sequence[Example], scores: Floats) -> tuple[float, float]:
    """Slope and intercept over the logits of the documents' products."""
    ends = np.cumsum([len(example.values) for example in examples])[:-1]
    known = [(one, mine) for one, mine in zip(examples, np.split(scores, ends), strict=True) if one.whole]
    right = [all(one.right) and one.correct == one.fields for one, _ in known]
    return logistic.line([together(mine) for _, mine in known], right)


@dataclass(frozen=True, slots=True)
class _Weights:
    """In the order: bias, features, leaves, tiers."""

    weights: Floats
    leaves: tuple[str, ...]
    tiers: tuple[str, ...]

    @classmethod
    def of(cls, examples: Sequence[Example]) -> _Weights:
        leaves = _many(value.leaf for example in examples for value in example.values)
        tiers = _many(example.tier for example in examples for _ in example.values)
        none = [0.0] * (len(leaves) + len(tiers))
        means = np.array([0.0, *(_PRIOR[name][0] for name in NAMES), *none])
        spread = np.array([_BIAS, *(_PRIOR[name][1] for name in NAMES), *(_OFFSET for _ in none)])
        x = cls(means, leaves, tiers).table(examples)
        y = np.array([hit for example in examples for hit in example.right], np.float64)
        return cls(logistic.weights(x, y, means, spread), leaves, tiers)

    def table(self, examples: Iterable[Example]) -> Floats:
        """float64 [values, weights]"""
        rows = [
            (
                1.0,
                *value.features,
                *(value.leaf == leaf for leaf in self.leaves),
                *(example.tier == tier for tier in self.tiers),
            )
            for example in examples
            for value in example.values
        ]
        return np.array(rows, np.float64).reshape(len(rows), len(self.weights))

    def judge(self, examples: Sequence[Example]) -> Floats:
        """float64 [values], logits"""
        found: Floats = self.table(examples) @ self.weights
        return found

    def calibration(self, of: Belongs, documents: int, values: int, curve: Curve) -> Calibration:
        bias, *rest = self.weights.tolist()
        features, leaves = rest[: len(NAMES)], rest[len(NAMES) : len(NAMES) + len(self.leaves)]
        return Calibration(
            schema=of.schema,
            checkpoint=of.checkpoint,
            numerics=of.numerics,
            origin=of.origin,
            documents=documents,
            values=values,
            bias=bias,
            weights=dict(zip(NAMES, features, strict=True)),
            leaves=dict(zip(self.leaves, leaves, strict=True)),
            tiers=dict(zip(self.tiers, rest[len(NAMES) + len(self.leaves) :], strict=True)),
            curve=curve,
            whole=(1.0, 0.0),
        )


def _many(names: Iterable[str | None]) -> tuple[str, ...]:
    """Those of which there is enough, in order."""
    counted = Counter(names)
    return tuple(sorted(name for name, n in counted.items() if name is not None and n >= LEAST_VALUES))
