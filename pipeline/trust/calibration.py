"""How scores are made of what is known of a value: a logistic over few features, straightened by a curve.

A calibration holds for one schema, one checkpoint and the numerics that its pages were read with. It is JSON,
so that it can lie in a store, in a file, or beside a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import UsageError
from pipeline.trust.features import NAMES, Value

FORMAT = 1
WRITTEN = 1.0  # of a value that a file or a code says: it is what they say, letter for letter


@dataclass(frozen=True, slots=True)
class Curve:
    """A rising line from the logistic's logit to that of the score, beyond its ends parallel to it."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        inside = np.interp(z, self.x, self.y)
        return inside + np.minimum(z - self.x[0], 0.0) + np.maximum(z - self.x[-1], 0.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a document of known truth fared that had no part in its own score.

    fields  printed or read, `right` of them right; `stopped`: it goes to a person whatever its score
    """

    score: float
    tier: str | None
    fields: int
    right: int
    stopped: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """Weights by feature; offsets by leaf and by tier, where there was enough of them to learn one.

    documents, values  what it was fitted on; `origin` says where their truth came from
    curve              the isotonic step over values
    whole              slope and intercept from the logit of the values' product to that of the document
    outcomes           of those documents, each scored by the others: thresholds are chosen there
    figures            measured on the same scores
    """

    schema: str
    checkpoint: str
    numerics: str
    origin: str
    documents: int
    values: int
    bias: float
    weights: Mapping[str, float]
    leaves: Mapping[str, float]
    tiers: Mapping[str, float]
    curve: Curve
    whole: tuple[float, float]
    outcomes: tuple[Outcome, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)

    def scores(self, values: Sequence[Value], tier: str | None) -> npt.NDArray[np.float64]:
        """float64 [values], each 0..1: the probability that the value is right."""
        if not values:
            return np.zeros(0)
        given = np.array([value.features for value in values])
        z = self.bias + given @ np.array([self.weights[name] for name in NAMES])
        z += np.array([self.leaves.get(value.leaf, 0.0) for value in values]) + self.tiers.get(
            tier or "", 0.0
        )
        found = probability(self.curve(z))
        return np.where([value.written for value in values], WRITTEN, found)

    def document(self, scores: npt.NDArray[np.float64]) -> float:
        """The probability that all of a document's values are right."""
        slope, intercept = self.whole
        return float(probability(intercept + slope * together(scores)))

    def as_json(self) -> dict[str, Any]:
        outcomes = [list(astuple(one)) for one in self.outcomes]  # there may be many: without their names
        return {"format": FORMAT, "features": list(NAMES), **asdict(self), "outcomes": outcomes}

    @classmethod
    def of_json(cls, given: Any, where: str) -> Calibration:
        """Raises UsageError for what is none, or one of another Vinbatch."""
        try:
            if given["format"] != FORMAT or tuple(given["features"]) != NAMES:
                raise UsageError(
                    f"{where}: a calibration of another Vinbatch; make it anew with vinbatch calibrate"
                )
            parts = {name: given[name] for name in cls.__dataclass_fields__}
            made = cls(**parts)
            return replace(
                made,
                curve=Curve(tuple(map(float, parts["curve"]["x"])), tuple(map(float, parts["curve"]["y"]))),
                whole=(float(parts["whole"][0]), float(parts["whole"][1])),
                outcomes=tuple(Outcome(*one) for one in parts["outcomes"]),
                weights={name: float(parts["weights"][name]) for name in NAMES},
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UsageError(f"{where} is no calibration: {error!r}") from None


def probability(z: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(z, -30, 30)))
    return found


def together(scores: npt.NDArray[np.float64]) -> float:
    """The logit of the product of probabilities."""
    log = float(np.log(np.clip(scores, 1e-9, 1 - 1e-9)).sum())
    return log - float(np.log(-np.expm1(min(log, -1e-9))))
