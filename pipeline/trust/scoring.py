"""A document gets its scores, and with a promise in force the state that follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pipeline.numerics import comparable
from pipeline.records import Check, Extraction, Field
from pipeline.trust import features
from pipeline.trust.calibration import Calibration
from pipeline.trust.promise import Promise
from pipeline.trust.stops import LOW, stops

ELSEWHERE = "calibrated_elsewhere"
_PLACES = 6  # of a score; those below are noise


@dataclass(frozen=True, slots=True)
class InForce:
    """What holds for a job: a calibration, and what is promised by it. `id` is that of the store."""

    calibration: Calibration
    promise: Promise | None = None
    id: int | None = None


def scored(made: Extraction, trust: InForce, numerics: Iterable[str] = ()) -> Extraction:
    """The document with the scores of its values and its own. `numerics` are those of its pages.

    Pages that were read with another kind of weights than the calibration's are not scored by it: the
    document stays as without one, and a remark says so.

    Without a promise, or where nothing was read by the model, the state stays as it is. With one, what is
    said of low confidence gives way to what the promise says of the score; "done" is what nothing stops and
    what reaches the threshold of its tier.
    """
    numerics = frozenset(numerics)
    made = replace(
        made,
        checks=(*(check for check in made.checks if check.code != ELSEWHERE), *_elsewhere(trust, numerics)),
    )
    if not all(comparable(each, trust.calibration.numerics) for each in numerics):
        return made
    values = features.values(made)
    scores = trust.calibration.scores(values, features.tier(made))
    known = dict(zip((value.path for value in values), scores.tolist(), strict=True))
    fields = tuple(field._replace(score=round(known[field.path], _PLACES)) for field in made.fields)
    read = np.array([known[value.path] for value in values if not value.written])
    whole = trust.calibration.document(read) if len(read) else float(np.prod(scores))
    made = replace(
        made,
        fields=fields,
        score=round(whole, _PLACES),
        calibration=trust.id,
    )
    return made if trust.promise is None or not len(read) else _judged(made, trust.promise)


def _judged(made: Extraction, promise: Promise) -> Extraction:
    others = tuple(check for check in made.checks if check.code != LOW)
    low = _low(made, promise)
    made = replace(made, checks=(*others, *low))
    state: Literal["done", "review", "partial"] = "review" if low or any(stops(made)) else "done"
    return replace(made, state="partial" if made.state == "partial" else state)


def _low(made: Extraction, promise: Promise) -> tuple[Check, ...]:
    """That the document's score does not reach what the promise asks, and which values it is for."""
    asked, score = promise.threshold(made.tier).score, made.score or 0.0
    if asked is not None and score >= asked:
        return ()
    doubtful = sorted((field for field in made.fields if _score(field) < promise.accept_at), key=_score)
    least = min(made.fields, key=_score)
    pages = f" of {made.tier} pages" if made.tier is not None and asked is None else ""
    needs = f"no score{pages} promises" if asked is None else f"at least {asked:.3f} promises"
    message = (
        f"all values are right with a probability of {score:.3f} (calibrated), and {needs} "
        f"{promise.accept_at:.1%} right values; the least sure is {least.path} at {_score(least):.2f}"
    )
    paths = tuple(field.path for field in doubtful) or (least.path,)
    expected = None if asked is None else f">= {asked:.4f}"
    return (Check(LOW, False, "warning", message, paths, expected, f"{score:.4f}"),)


def _score(field: Field) -> float:
    return 0.0 if field.score is None else field.score


def _elsewhere(trust: InForce, numerics: Iterable[str]) -> tuple[Check, ...]:
    """A remark where the pages were read with other numerics than those of the calibration."""
    ours = trust.calibration.numerics
    others = sorted(set(numerics) - {ours})
    if not others:
        return ()
    scores = (
        "the scores were calibrated"
        if all(comparable(each, ours) for each in others)
        else "not scored: the calibration in force was made"
    )
    message = f"{scores} on pages read with: {ours}; this was read with: {'; '.join(others)}"
    return (Check(ELSEWHERE, False, "info", message, (), ours, "; ".join(others)),)
