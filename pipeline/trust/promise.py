"""From which score on a document passes, so that of the values that pass a promised share is right.

Thresholds are chosen on documents that had no part in their own score, for each quality of picture by
itself: a threshold that holds on scans says nothing of photos. Beside each stand how many documents it comes
from and the intervals of what was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.errors import UsageError
from pipeline.trust.calibration import Calibration, Outcome
from pipeline.trust.measures import Interval, wilson

ALL = "all"
LEAST_OF_A_TIER = 50  # documents, from which on its threshold may be lower than that of all
_LEAST_KNOWN = 10  # and below which nothing of the tier passes
# A document holds many values: with one wrong value in a hundred every fifth receipt would have one. So of
# the documents that pass at most so many times the share of values may have one.
_DOCUMENT_ERRORS = 5
_UPPER = 2  # times the share of wrong values may be what the upper end of its interval allows


# Whatever the others allow: nothing passes that is more likely wrong somewhere than right.
_LEAST_SCORE = 0.5


@dataclass(frozen=True, slots=True)
class Threshold:
    """For the documents of one tier, or of all: pass from `score` on, None where none may.

    documents  of known truth that it was chosen on, `passing` of them pass
    values     of those, printed or read; `right`: the share of right ones
    wrong      share of those documents with some value wrong
    """

    score: float | None
    documents: int
    passing: int
    values: int
    right: Interval | None
    wrong: Interval | None


@dataclass(frozen=True, slots=True)
class Promise:
    """Thresholds by tier; that of ALL is for pages whose tier is not known."""

    accept_at: float
    thresholds: Mapping[str, Threshold]

    @classmethod
    def of(cls, calibration: Calibration, accept_at: float) -> Promise:
        """Raises UsageError where no document of the calibration was looked at in every value."""
        outcomes = calibration.outcomes
        if not outcomes:
            raise UsageError(
                "nothing can be promised: no document of the calibration was looked at in every value"
            )
        of_all = _lowest(outcomes, accept_at)
        tiers: dict[str, list[Outcome]] = {}
        for outcome in outcomes:
            if outcome.tier is not None:
                tiers.setdefault(outcome.tier, []).append(outcome)
        own = {tier: _of_tier(some, of_all, accept_at) for tier, some in sorted(tiers.items())}
        return cls(accept_at, {ALL: of_all, **own})

    def threshold(self, tier: str | None) -> Threshold:
        """A tier that the calibration has not seen, while it has seen others, has none."""
        if tier is None or set(self.thresholds) == {ALL}:
            return self.thresholds[ALL]
        return self.thresholds.get(tier, Threshold(None, 0, 0, 0, None, None))

    def as_json(self) -> dict[str, Any]:
        return {tier: asdict(threshold) for tier, threshold in self.thresholds.items()}

    @classmethod
    def of_json(cls, accept_at: float, given: Mapping[str, Any]) -> Promise:
        return cls(accept_at, {tier: _threshold(one) for tier, one in given.items()})


def _threshold(given: Mapping[str, Any]) -> Threshold:
    right, wrong = (None if given[name] is None else Interval(**given[name]) for name in ("right", "wrong"))
    return replace(Threshold(**given), right=right, wrong=wrong)


def _of_tier(outcomes: Sequence[Outcome], of_all: Threshold, accept_at: float) -> Threshold:
    if len(outcomes) < _LEAST_KNOWN:
        return _passing(outcomes, None)
    own = _lowest(outcomes, accept_at)
    if len(outcomes) >= LEAST_OF_A_TIER:
        return own
    both = None if own.score is None or of_all.score is None else max(own.score, of_all.score)
    return _passing(outcomes, both)


def _lowest(outcomes: Sequence[Outcome], accept_at: float) -> Threshold:
    """The lowest score from which on the promise holds, halfway to the next one below."""
    able = sorted(
        (one for one in outcomes if not one.stopped and one.score >= _LEAST_SCORE), key=lambda one: -one.score
    )
    found: float | None = None
    values = errors = wrong = 0
    for count, one in enumerate(able, 1):
        values, errors = values + one.fields, errors + one.fields - one.right
        wrong += one.right < one.fields
        below = able[count].score if count < len(able) else _LEAST_SCORE
        ends = below < one.score or count == len(able)
        if ends and _holds(values, errors, count, wrong, 1 - accept_at):
            found = (one.score + below) / 2
    return _passing(outcomes, found)


def _holds(values: int, errors: int, documents: int, wrong: int, allowed: float) -> bool:
    interval = wilson(errors, values)
    return (
        errors <= allowed * values
        and wrong <= _DOCUMENT_ERRORS * allowed * documents
        and interval is not None
        and interval.high <= _UPPER * allowed
    )


def _passing(outcomes: Sequence[Outcome], score: float | None) -> Threshold:
    passing = [one for one in outcomes if score is not None and not one.stopped and one.score >= score]
    values, right = sum(one.fields for one in passing), sum(one.right for one in passing)
    wrong = sum(one.right < one.fields for one in passing)
    return Threshold(
        score, len(outcomes), len(passing), values, wilson(right, values), wilson(wrong, len(passing))
    )
