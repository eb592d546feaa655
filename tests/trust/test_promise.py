"""Which documents pass, and what is said of those that do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.numerics import EIGHT_BITS
from pipeline.records import Check, Extraction, Field
from pipeline.trust import Calibration, InForce, Promise, scored, words
from pipeline.trust.calibration import Outcome
from pipeline.trust.fitting import fitted
from tests.trust.examples import BELONGS, drawn


def outcomes(count: int, wrong_below: float, tier: str | None = None, fields: int = 10) -> list[Outcome]:
    """Scores 0..1 in even steps; every second one below `wrong_below` has a wrong value."""
    return [
        Outcome(score, tier, fields, fields - (score < wrong_below and n % 2), False)
        for n, score in enumerate(np.linspace(0.0, 1.0, count).tolist())
    ]


@pytest.fixture(scope="module")
def made() -> Calibration:
    return fitted(drawn(200), BELONGS)


def test_a_threshold_is_where_the_promise_still_holds(made: Calibration) -> None:
    promise = Promise.of(replace(made, outcomes=tuple(outcomes(201, 0.7))), 0.99)
    found = promise.threshold(None)
    # From 0.7 on nothing is wrong; below, every second document, until one in twenty of all is.
    assert found.score == pytest.approx(0.67, abs=0.011)
    assert (found.documents, found.values) == (201, 10 * found.passing)
    assert found.wrong is not None and found.wrong.share <= 0.05 < found.wrong.high
    assert found.right is not None and found.right.low < 1 and 1 - found.right.low <= 0.02
    assert Promise.of_json(0.99, promise.as_json()) == promise
    # However good the others are: what is more likely wrong than right does not pass.
    whole = Promise.of(replace(made, outcomes=tuple(outcomes(201, 0.0))), 0.99)
    assert whole.threshold(None).score == 0.5
    # What is stopped never passes, and few documents promise nothing.
    stopped = tuple(replace(one, stopped=True) for one in outcomes(201, 0.5))
    assert Promise.of(replace(made, outcomes=stopped), 0.99).threshold(None).score is None
    assert Promise.of(replace(made, outcomes=tuple(outcomes(12, 0.0))), 0.99).threshold(None).score is None


def test_each_quality_of_picture_has_its_own(made: Calibration) -> None:
    """A threshold that holds on clean pages would let through photos that are wrong."""
    known = (
        *outcomes(200, 0.6, "clean"),
        *outcomes(60, 0.9, "photo"),
        *outcomes(20, 0.0, "scan"),
        *outcomes(5, 0.0, "noisy"),
    )
    promise = Promise.of(replace(made, outcomes=known), 0.99)
    clean, photo, scan = (promise.threshold(tier).score for tier in ("clean", "photo", "scan"))
    assert clean is not None and clean < 0.61
    assert photo is None or photo > 0.8
    of_all = promise.threshold(None).score
    assert scan is None or (of_all is not None and scan >= of_all)  # too few to be less strict than all
    assert promise.threshold("noisy").score is None
    alone = Promise.of(replace(made, outcomes=tuple(outcomes(200, 0.1, "clean"))), 0.99)
    assert alone.threshold("photo").score is None  # never seen


def test_the_state_follows_from_the_promise(made: Calibration) -> None:
    trust = InForce(made, Promise.of(replace(made, outcomes=tuple(outcomes(201, 0.5))), 0.99), 7)
    low = Check("low_confidence", False, "warning", "… (uncalibrated)", ("date",))
    sure = scored(document(0.9999, low), trust)
    assert (sure.state, sure.calibration) == ("done", 7)
    assert not any(check.code == "low_confidence" for check in sure.checks)
    assert all(field.score is not None and 0.9 < field.score <= 1 for field in sure.fields)

    doubtful = scored(document(0.9999, low, store=0.2), trust)
    [check] = [check for check in doubtful.checks if check.code == "low_confidence"]
    assert doubtful.state == "review" and check.fields[0] == "store" and "(calibrated)" in check.message
    assert doubtful.score is not None and doubtful.score < sure.score  # type: ignore[operator]

    stopped = Check("total", False, "error", "the lines add up to something else", ("total",))
    assert scored(document(0.9999, stopped), trust).state == "review"
    remark = Check("line_reread", False, "info", "read again", ())
    assert scored(document(0.9999, remark), trust).state == "done"
    assert scored(replace(document(0.9999), state="partial"), trust).state == "partial"


def test_without_a_promise_the_state_is_as_it_was(made: Calibration) -> None:
    low = Check("low_confidence", False, "warning", "… (uncalibrated)", ("date",))
    kept = scored(document(0.5, low), InForce(made))
    assert kept.state == "review" and low in kept.checks and kept.score is not None


def test_other_numerics_are_told(made: Calibration) -> None:
    said = {
        check.code: check.message
        for numerics in ({"cpu float32"}, {"cuda bfloat16"})
        for check in scored(document(0.99), InForce(made), numerics).checks
    }
    assert list(said) == ["calibrated_elsewhere"]
    assert "cpu float32" in said["calibrated_elsewhere"] and "cuda bfloat16" in said["calibrated_elsewhere"]


def test_pages_read_with_other_weights_are_not_scored(made: Calibration) -> None:
    """They stay as they were without a calibration, and say why."""
    plain = "a second look below 0.9; cpu bfloat16 AVX512, sample 1"
    eight = f"a second look below 0.9; cpu bfloat16 {EIGHT_BITS} int8-1 AVX512, sample 2"
    low = Check("low_confidence", False, "warning", "… (uncalibrated)", ("date",))
    as_read = document(0.5, low)
    for ours, theirs in ((plain, eight), (eight, plain), (plain, "no second look; remote model x")):
        calibration = replace(made, numerics=ours)
        trust = InForce(calibration, Promise.of(calibration, 0.99))
        left = scored(as_read, trust, {theirs})
        assert left.score is None and left.state == as_read.state and left.calibration is None
        assert all(field.score is None for field in left.fields) and low in left.checks
        assert "not scored" in left.checks[-1].message and left.checks[-1].severity == "info"
        assert words.line(trust, "job", [theirs]).startswith("uncalibrated where pages were read with other")
        assert words.line(trust, "job", [ours]).startswith("calibrated on")
    both = InForce(replace(made, numerics=f"{plain}; {eight}"))
    assert scored(as_read, both, {eight}).score is not None


def document(sure: float, *checks: Check, store: float | None = None) -> Extraction:
    fields = tuple(
        Field(leaf, leaf, leaf, store if leaf == "store" and store is not None else sure, "read", 1)
        for leaf in ("total", "store", "number", "date")
    )
    state = "review" if any(not check.passed for check in checks) else "done"
    return Extraction(state, {}, fields, checks, 1)  # type: ignore[arg-type]
