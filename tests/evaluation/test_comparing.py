"""Two readers of the same documents: paired tests whose counts can be made by hand, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.evaluation import drawing, side_by_side
from pipeline.evaluation.comparing import Comparison, Side, compare
from pipeline.evaluation.drawing import Difference
from tests.evaluation.papers import read
from tests.evaluation.test_report import MILK, RICE, SWEET, TRUE, truth_of

REFERENCE = Path(__file__).parent / "bench" / "reference.json"
NAMES = ("old", "new")


def side(**documents: dict[str, Any] | None) -> Side:
    return {
        f"/d/{name}.png": None if said is None else read(f"/d/{name}.png", said).extraction
        for name, said in documents.items()
    }


def named(found: Comparison) -> dict[str, Difference]:
    return {one.name: one for one in found.differences}


def test_mcnemar_is_that_of_statsmodels() -> None:
    for a_only, b_only, p in json.loads(REFERENCE.read_text(encoding="utf-8"))["mcnemar"]:
        assert drawing.mcnemar(int(a_only), int(b_only)) == pytest.approx(p, abs=1e-12)
    assert drawing.mcnemar(0, 0) == 1.0


@pytest.mark.medium
def test_documents_and_values_are_paired(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, a=TRUE, b=TRUE, c=TRUE, d=TRUE)
    wrong = {**TRUE, "store": "Chợ Mái"}
    swapped = {**TRUE, "lines": [SWEET, MILK]}  # lines answer to each other by what stands in them
    old = side(a=wrong, b=wrong, c=TRUE, d=None)
    new = side(a=TRUE, b=swapped, c={**TRUE, "total": None, "paid": "1.000"}, d=TRUE)
    found = compare(NAMES, old, new, truth, truth)
    by_name = named(found)
    documents = by_name["documents right"]
    assert (documents.n, documents.a_only, documents.b_only) == (4, 1, 3)
    assert documents.p == pytest.approx(2 * (1 + 4) / 16)
    values = by_name["values right"]
    assert (values.n, values.a_only, values.b_only) == (44, 1, 13)  # 11 values each; d was not read
    assert by_name["recall"].a == pytest.approx(31 / 44) and by_name["recall"].b == pytest.approx(43 / 44)
    assert by_name["precision"].a == pytest.approx(31 / 33) and by_name["precision"].b == pytest.approx(
        43 / 43
    )
    assert all(one.low <= one.b - one.a <= one.high for one in found.differences)
    assert compare(NAMES, old, new, truth, truth) == found  # drawn by a seed
    back = named(compare(NAMES, new, old, truth, truth))["values right"]
    assert (back.a_only, back.b_only, back.p) == (13, 1, values.p)


def test_an_invented_value_counts_where_the_truth_tells_of_its_field(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, a={**TRUE, "paid": None})
    found = named(compare(NAMES, side(a=TRUE), side(a={**TRUE, "paid": "1.000"}), truth, truth))
    assert found["precision"].b == pytest.approx(11 / 12) and found["recall"].b == 1.0
    assert found["documents right"].a_only == 1


def test_only_what_both_have_is_compared_and_the_rest_is_told(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, a=TRUE, b=TRUE, c=TRUE)
    found = compare(NAMES, side(a=TRUE, b=TRUE), side(a=TRUE), truth, truth)
    assert found.n == 1
    assert found.notes == (
        "1 documents that only old has are left out.",
        "1 documents that neither has are left out.",
    )
    with pytest.raises(UsageError, match="no document whose values are known is both in old and in new"):
        compare(NAMES, side(b=TRUE), side(a=TRUE), truth, truth)


@pytest.mark.medium
def test_a_difference_is_told_only_beyond_chance(tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(12)]
    truth = truth_of(tmp_path, **dict.fromkeys(names, TRUE))
    worse = {**TRUE, "lines": [RICE, RICE], "store": "Chợ"}
    old, same = side(**dict.fromkeys(names, worse)), side(**dict.fromkeys(names, worse))
    new = side(**dict.fromkeys(names, TRUE))
    better = list(side_by_side.sentences(compare(NAMES, old, new, truth, truth)))
    assert better[0] == "A is old, B is new; 12 documents, the same for both."
    assert better[-1].startswith("B is better, beyond chance at 5%, in: documents right")
    found = compare(NAMES, old, same, truth, truth)
    assert list(side_by_side.sentences(found))[-1] == "No difference is more than chance at 5%."
    assert {one.p for one in found.differences} == {1.0}


def test_the_interval_of_drawn_sets_holds_what_it_should() -> None:
    """Of a mean of many fair coins 95% of the intervals hold one half; here one of known width."""
    rows = np.column_stack([np.tile([0.0, 1.0], 200), np.ones(400)])
    [figure] = drawing.figures(("heads",), rows, lambda sums: sums[..., :1] / sums[..., 1:])
    assert figure.value == 0.5 and figure.n == 400
    assert figure.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.006)
    assert figure.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.006)
