"""The measures against cases computed by hand, and against jiwer and scipy where they offer the same."""

from __future__ import annotations

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pipeline.evaluation import metrics
from pipeline.evaluation.metrics import acceptable, anls_star
from pipeline.trust import measures
from pipeline.trust.measures import Bin, Point, risk_curve

TEXT = st.text(alphabet="aăâbcdđ 1.", max_size=12)


def test_f1_is_the_harmonic_mean_and_knows_nothing_from_nothing() -> None:
    assert metrics.f1(0.5, 1.0) == pytest.approx(2 / 3)
    assert metrics.f1(0.0, 1.0) == 0.0
    assert metrics.f1(None, 0.0) == 0.0
    assert metrics.f1(None, None) is None
    assert metrics.share(0, 0) is None


@pytest.mark.medium
@given(st.lists(st.tuples(TEXT.filter(str.strip), TEXT), min_size=1, max_size=6))
def test_characters_are_counted_wrong_as_jiwer_does(pairs: list[tuple[str, str]]) -> None:
    cleaned = [(truth.strip(), read.strip()) for truth, read in pairs]
    ours = sum(metrics.edits(*pair) for pair in cleaned) / sum(len(truth) for truth, _ in cleaned)
    assert ours == pytest.approx(jiwer.cer([t for t, _ in cleaned], [r for _, r in cleaned]))


@pytest.mark.parametrize(("part", "whole"), [(0, 5), (5, 5), (3, 7), (99, 100), (1, 1000)])
def test_the_interval_of_a_share_is_wilsons(part: int, whole: int) -> None:
    ours = measures.wilson(part, whole)
    theirs = binomtest(part, whole).proportion_ci(method="wilson")
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert ours.share == part / whole


def test_no_interval_of_nothing() -> None:
    assert measures.wilson(0, 0) is None


def test_bins_hold_each_reading_once_and_the_error_is_their_weighted_gap() -> None:
    bins = measures.calibration([0.05, 0.15, 0.95, 1.0, 0.85], [False, True, True, True, False], bins=10)
    assert bins == (
        Bin(0.0, 0.1, 1, 0.05, 0.0),
        Bin(0.1, 0.2, 1, 0.15, 1.0),
        Bin(0.8, 0.9, 1, 0.85, 0.0),
        Bin(0.9, 1.0, 2, 0.975, 1.0),
    )
    assert measures.ece(bins) == pytest.approx((0.05 + 0.85 + 0.85 + 2 * 0.025) / 5)
    assert measures.ece(()) is None


def test_the_surest_items_are_accepted_as_long_as_the_target_holds() -> None:
    # 2 of 2, then 3 of 4, then 5 of 6: at 80% all three, since later ones make up for it.
    assert acceptable([0.9, 0.8, 0.7], [2, 1, 2], [2, 2, 2], 0.8) == 3
    assert acceptable([0.7, 0.9, 0.8], [0, 2, 2], [2, 2, 2], 0.99) == 2
    assert acceptable([0.9, 0.8], [1, 2], [2, 2], 0.99) == 0
    assert acceptable([], [], [], 0.99) == 0


def test_items_of_one_score_are_accepted_together_or_not_at_all() -> None:
    assert acceptable([0.9, 0.8, 0.8], [1, 1, 0], [1, 1, 1], 0.99) == 1
    assert acceptable([0.8, 0.8, 0.9], [0, 1, 1], [1, 1, 1], 0.99) == 1


def test_the_accepted_share_is_of_all_documents_and_its_interval_is_repeatable() -> None:
    scores, right, of = [0.99] * 30 + [0.5] * 10, [2] * 30 + [1] * 10, [2] * 40
    made = metrics.accept_interval(scores, right, of, 50, 0.99)
    assert made is not None
    assert made.share == 30 / 50
    assert 0.4 < made.low < 0.6 < made.high < 0.8
    assert made == metrics.accept_interval(scores, right, of, 50, 0.99)
    assert metrics.accept_interval([], [], [], 0, 0.99) is None
    nothing = metrics.accept_interval([], [], [], 9, 0.99)
    assert nothing == measures.wilson(0, 9), "every draw comes to nothing, which does not make it certain"


@pytest.mark.parametrize(
    ("truth", "read", "score"),
    [
        ({"a": "x"}, {"a": "x"}, 1.0),
        ({"a": None}, {"a": None}, 1.0),
        ({"a": "x"}, {"a": None}, 0.0),
        ({"a": None}, {"a": "x"}, 0.0),
        ({"a": "abcd", "b": "x"}, {"a": "abce", "b": "x"}, (0.75 + 1) / 2),
        ({"a": "abcd"}, {"a": "xyzd"}, 0.0),  # a quarter alike is below one half: nothing
        ({"a": "ABC  d"}, {"a": "abc d"}, 1.0),
        ({"l": [{"n": "a"}, {"n": "b"}]}, {"l": [{"n": "b"}, {"n": "a"}]}, 1.0),
        ({"l": [{"n": "a"}, {"n": "b"}]}, {"l": [{"n": "b"}]}, 0.5),
        ({"l": [{"n": "a"}]}, {"l": [{"n": "a"}, {"n": "b"}, {"n": "c"}]}, 1 / 3),
        ({"l": []}, {"l": ["a"]}, 0.0),
        ({"l": []}, {"l": []}, 1.0),
        ({"g": {"a": "x", "b": "y"}, "c": "z"}, {"g": {"a": "x", "b": "q"}, "c": "z"}, 2 / 3),
        ({"a": {"b": "x"}}, {"a": "x"}, 0.0),
    ],
)  # fmt: skip
def test_anls_star_by_hand(truth: object, read: object, score: float) -> None:
    assert anls_star(truth, read) == pytest.approx(score)


def test_the_risk_of_what_is_accepted_at_each_threshold() -> None:
    """Of five documents one never passes; the two of one score pass together."""
    points = risk_curve([0.9, 0.7, 0.7, 0.2], [4, 3, 4, 0], [4, 4, 4, 4], 5)
    assert points == (
        Point(0.9, 1 / 5, 0.0),
        Point(0.7, 3 / 5, pytest.approx(1 / 12)),
        Point(0.2, 4 / 5, pytest.approx(5 / 16)),
    )
    assert risk_curve([], [], [], 5) == ()
    long = risk_curve([n / 1000 for n in range(1000)], [1] * 1000, [1] * 1000, 1000)
    assert len(long) == 120 and (long[0].threshold, long[-1].threshold, long[-1].coverage) == (
        0.999,
        0.0,
        1.0,
    )
