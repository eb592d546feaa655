"""A calibration says how often values are right, on documents that it has not seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.trust import Calibration, measures, packaged
from pipeline.trust.fitting import fitted
from pipeline.trust.logistic import straightened
from pipeline.vintern import checkpoint
from tests.trust.examples import BELONGS, drawn, value


@pytest.fixture(scope="module")
def made() -> Calibration:
    return fitted(drawn(400), BELONGS)


@pytest.mark.medium
def test_scores_are_how_often_values_of_other_documents_are_right(made: Calibration) -> None:
    others = drawn(1500, seed=1)
    scores = np.concatenate([made.scores(one.values, None) for one in others])
    right = [hit for one in others for hit in one.right]
    raw = [1 / (1 + np.exp(-v.features[0])) for one in others for v in one.values]
    assert (scores >= 0).all() and (scores <= 1).all()
    assert measures.ece(measures.calibration(raw, right)) > 0.08  # type: ignore[operator]
    assert measures.ece(measures.calibration(scores.tolist(), right)) < 0.02  # type: ignore[operator]
    assert measures.auroc(scores, right) > measures.auroc(raw, right)  # type: ignore[operator]
    assert made.leaves["store"] < -0.3 < made.leaves["date"]
    whole = [made.document(made.scores(one.values, None)) for one in others]
    assert measures.ece(measures.calibration(whole, [all(one.right) for one in others])) < 0.04  # type: ignore[operator]


def test_what_was_measured_was_measured_on_documents_held_out(made: Calibration) -> None:
    """Labels without any rule: a calibration that judged itself would find one."""
    dice = np.random.default_rng(0)
    examples = drawn(100, seed=2)
    by_chance = [
        type(one)(one.name, None, one.values, tuple(bool(hit) for hit in dice.random(4) < 0.5), 4, 2, False)
        for one in examples
    ]
    assert fitted(by_chance, BELONGS).figures["auroc"] < 0.6
    assert made.figures["auroc"] > 0.75 and made.figures["ece"] < 0.03
    assert set(made.figures["leaves"]) == {"total", "store", "number", "date"}


def test_evidence_moves_a_score_the_way_it_points(made: Calibration) -> None:
    plain, accused, borne_out, null, strange = made.scores(
        [
            value("total", sure=3.0),
            value("total", sure=3.0, accused=1.0),
            value("total", sure=3.0, borne_out=1.0, witnessed=1.0, again=1.0),
            value("total", sure=6.0),
            value("total", sure=6.0, strange=0.8),
        ],
        None,
    )
    assert accused < 0.5 < plain < borne_out
    assert strange < 0.9 < null  # no set has shown it: that is believed beforehand


def test_the_curve_rises_and_never_says_certainly() -> None:
    dice = np.random.default_rng(0)
    z = dice.normal(2, 2, 600)
    curve = straightened(z, (dice.random(600) < 1 / (1 + np.exp(-z))).astype(float))
    at = np.linspace(-8, 14, 200)
    assert (np.diff(curve(at)) >= 0).all() and np.diff(curve(np.array([20.0, 21.0]))) == pytest.approx(1)
    assert np.isfinite(curve(at)).all()


def test_where_hardly_a_value_is_wrong_the_few_between_keep_their_own_share() -> None:
    """They are in one pool with the thousands that are surest, whose middle is far from them."""
    z = np.concatenate([np.linspace(-6, -4, 30), np.linspace(2, 4, 100), np.linspace(10, 20, 4000)])
    right = np.concatenate([np.zeros(30), np.ones(4100)])
    curve = straightened(z, right)
    assert list(curve.y) == sorted(curve.y)
    between, surest = (1 / (1 + np.exp(-curve(np.array(at)))) for at in ([2.5, 3.5], [15.0, 20.0]))
    assert between.min() > 0.97
    assert surest.min() > 0.998


def test_a_calibration_lies_in_a_file_beside_weights(made: Calibration, tmp_path: Path) -> None:
    path = tmp_path / packaged.NAME
    packaged.write(path, made)
    packaged.write(path, made)
    assert len(json.loads(path.read_text())) == 1
    again = packaged.find(tmp_path, "receipt@1", "c" * 64)
    values = drawn(1)[0].values
    assert again is not None and (again.scores(values, None) == made.scores(values, None)).all()
    assert again.outcomes == made.outcomes
    assert packaged.find(tmp_path, "receipt@1", "d" * 64) is None  # of other weights
    path.write_text('[{"schema": "receipt@1", "checkpoint": "' + "c" * 64 + '", "format": 1}]')
    with pytest.raises(UsageError, match=r"calibration\.json, receipt@1"):
        packaged.find(tmp_path, "receipt@1", "c" * 64)


def test_too_little_is_said(made: Calibration) -> None:
    with pytest.raises(UsageError, match="19 documents"):
        fitted(drawn(19), BELONGS)
    right = [type(one)(one.name, None, one.values, (True,) * 4, 4, 4, False) for one in drawn(30)]
    with pytest.raises(UsageError, match="nothing to learn from"):
        fitted(right, BELONGS)


def test_auroc_by_hand() -> None:
    assert measures.auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == 0.75
    assert measures.auroc([0.5, 0.5], [True, False]) == 0.5
    assert measures.auroc([0.5], [True]) is None


def test_the_demo_model_brings_its_own() -> None:
    """Of these very weights; it lies beside them and changes nothing about them."""
    weights = checkpoint.digest(checkpoint.DEMO)
    for schema in ("id_card@1", "receipt@1"):
        found = packaged.in_force(checkpoint.DEMO, schema, weights, 0.99)
        assert found is not None and found.promise is not None
        assert found.calibration.figures["ece"] <= 0.012 and found.calibration.figures["auroc"] >= 0.95
        everything = found.promise.threshold(None)
        assert everything.right is not None and 1 - everything.right.low <= 0.02
