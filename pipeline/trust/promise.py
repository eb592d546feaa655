"""From which score on a document passes, so that of the values that pass a promised share is right.

Thresholds are chosen on documents that had no part in their own score, for each quality of picture where
there are enough of them; beside each stand how many there were and the intervals of what was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.errors import UsageError
from pipeline.trust.calibration import Calibration, Outcome
from pipeline.trust.measures import Interval, wilson

LEAST_OF_A_TIER = 50  # documents, from which on it has a threshold of its own
ALL = "all"
# A document holds many values: one wrong value in a hundred would be one in every fifth receipt. So of the
# documents that pass at most so many times the promised share of wrong values may have one.
DOCUMENT_ERRORS = 5


@dataclass(frozen=True, slots=True)
class Threshold:
    """For the documents of one tier, or of all: pass from `score` on, None where none may.

    documents  of known truth that it was chosen on, `passing` of them pass
    fields     of those: values right, with the interval of that share
    wrong      of those: documents with some value wrong
    """

    score: float | None
    documents: int
    passing: int
    values: int
    right: Interval | None
    wrong: Interval | None


@dataclass(frozen=True, slots=True)
class Promise:
    """Thresholds by tier; under ALL for tiers without their own, and for pages whose tier is not known."""

    accept_at: float
    thresholds: Mapping[str, Threshold]

    @classmethod
    def of(cls, calibration: Calibration, accept_at: float) -> Promise:
        """Raises UsageError where no document of the calibration was known throughout."""
        outcomes = calibration.outcomes
        if not outcomes:
            raise UsageError(
                "nothing can be promised: no document of the calibration was looked at in every value"
            )
        tiers: dict[str, list[Outcome]] = {}
        for outcome in outcomes:
            if outcome.tier is not None:
                tiers.setdefault(outcome.tier, []).append(outcome)
        own = {tier: _threshold(some, accept_at) for tier, some in sorted(tiers.items()) if len(some) >= LEAST_OF_A_TIER}
        return cls(accept_at, {ALL: _threshold(outcomes, accept_at), **own})

    def threshold(self, tier: str | None) -> Threshold:
        """A tier of which too little was seen passes only where both all and the worst of the others do."""
        own = self.thresholds.get(tier or ALL)
        return self.thresholds[ALL] if own is None else own

    def as_json(self) -> dict[str, Any]:
        return {tier: asdict(threshold) for tier, threshold in self.thresholds.items()}

    @classmethod
    def of_json(cls, accept_at: float, given: Mapping[str, Any]) -> Promise:
        def interval(part: Mapping[str, float] | None) -> Interval | None:
            return None if part is None else Interval(**part)

        return cls(
            accept_at,
            {
                tier: Threshold(**{**one, "right": interval(one["right"]), "wrong": interval(one["wrong"])})
                for tier, one in given.items()
            },
        )


def _threshold(outcomes: Sequence[Outcome], accept_at: float) -> Threshold:
    """The lowest score from which on the promise holds."""
    able = sorted((one for one in outcomes if not one.stopped), key=lambda one: -one.score)
    allowed = DOCUMENT_ERRORS * (1 - accept_at)
    best = fields = right = wrong = 0
    for count, one in enumerate(able, 1):
        fields, right = fields + one.fields, right + one.right
        wrong += one.right < one.fields
        ends = count == len(able) or able[count].score < one.score
        if ends and right >= accept_at * fields and wrong <= allowed * count:
            best = count
    return _chosen(able[:best], len(outcomes))


def _chosen(passing: Sequence[Outcome], documents: int) -> Threshold:
    fields, right = _sum(one.fields for one in passing), _sum(one.right for one in passing)
    return Threshold(
        score=passing[-1].score if passing else None,
        documents=documents,
        passing=len(passing),
        values=fields,
        right=wilson(right, fields),
        wrong=wilson(_sum(one.right < one.fields for one in passing), len(passing)),
    )


def _sum(numbers: Iterable[int]) -> int:
    return sum(numbers)
