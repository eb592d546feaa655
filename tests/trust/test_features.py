"""What is known of a value beside its own confidence."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import records
from pipeline.records import Check, Decision, Extraction, Field
from pipeline.trust import features
from pipeline.trust.examples import of_decisions
from pipeline.trust.features import NAMES

LINES = [
    Field("lines", None, 2, 0.9, "read", 1),
    Field("lines[0].name", "Sữa", "Sữa", 0.9, "read", 1),
    Field("lines[0].amount", "30.000", "30000", 0.9, "read", 1),
    Field("lines[1].amount", "20.000", "20000", 0.9, "read", 1),
    Field("total", "50.000", "50000", 0.9, "read", 1),
    Field("paid", None, None, 0.9, "read", 1),
]


def known(
    checks: tuple[Check, ...] = (), testimony: tuple[records.Testimony, ...] = ()
) -> dict[str, dict[str, Any]]:
    made = Extraction("review", {}, tuple(LINES), checks, 1, testimony)
    return {
        value.path: dict(zip(NAMES, value.features.tolist(), strict=True)) for value in features.values(made)
    }


def test_a_failed_check_accuses_what_one_change_would_mend() -> None:
    failed = Check("total", False, "error", "…", ("lines", "total"), suspects=("lines[1].amount", "total"))
    found = known((failed,))
    accused = {path: one["accused"] for path, one in found.items() if one["accused"]}
    assert accused == {"lines[1].amount": 0.5, "total": 0.5}
    # Where nobody knows which one, all figures of the list share the blame, and no name does.
    found = known((Check("total", False, "error", "…", ("lines", "total")),))
    accused = {path: one["accused"] for path, one in found.items() if one["accused"]}
    assert accused == dict.fromkeys(("lines", "lines[0].amount", "lines[1].amount", "total"), 0.25)


def test_a_passed_check_bears_out_and_remarks_say_nothing() -> None:
    found = known(
        (Check("total", True, "error", "…", ("lines", "total")), Check("x", True, "info", "", ("paid",)))
    )
    assert found["total"]["borne_out"] == found["lines[0].amount"]["borne_out"] == 1
    assert found["lines[0].name"]["borne_out"] == found["paid"]["borne_out"] == 0


def test_witnesses_count_once_and_a_second_look_apart() -> None:
    testimony = (
        records.Testimony("total", "text", "agrees"),
        records.Testimony("total", "again", "agrees"),
        records.Testimony("lines[0].amount", "qr", "differs"),
        records.Testimony("lines[1].amount", "again", "differs"),
        records.Testimony("paid", "qr", "offers"),
    )
    # What the code says is its testimony; the check that comes of it is the same evidence.
    found = known((Check("qr_amount", False, "error", "…", ("lines[0].amount",)),), testimony)
    assert {path: one["witnessed"] for path, one in found.items() if one["witnessed"]} == {
        "total": 1, "lines[0].amount": -2, "paid": -2,
    }  # fmt: skip
    assert {path: one["again"] for path, one in found.items() if one["again"]} == {
        "total": 1, "lines[1].amount": -1,
    }  # fmt: skip
    assert not any(one["accused"] for one in found.values())


def test_only_nulls_are_strange_and_confidence_is_bounded() -> None:
    found = known()
    assert found["paid"]["strange"] == pytest.approx(1 / 3) and found["total"]["strange"] == 0
    assert features.logit(1.0000002) == features.logit(1.0) < 20 and features.logit(None) == 0


def test_decisions_make_examples() -> None:
    read = Extraction("review", {}, tuple(LINES), (), 1)
    some = of_decisions("a", read, [Decision("total", "correct", "an", "60.000", "60000", "50000")])
    assert some is not None and not some.whole
    assert [(value.path, right) for value, right in zip(some.values, some.right, strict=True)] == [
        ("total", False)
    ]
    whole = of_decisions(
        "a",
        read,
        [
            Decision("total", "accept", "an", None, "50000", "50000"),
            Decision("lines[1]", "not_on_page", "an"),
            Decision("paid", "correct", "an", "60.000", "60000", None),
            Decision(None, "accept", "an"),
        ],
    )
    assert whole is not None and whole.whole
    wrong = [value.path for value, right in zip(whole.values, whole.right, strict=True) if not right]
    assert wrong == ["lines[1].amount", "paid"]
    assert (whole.fields, whole.correct) == (6, 4)
    assert of_decisions("a", read, []) is None
    assert of_decisions("a", read, [Decision(None, "reject", "an")]) is None
