"""What is left out is named, what is planted is seen, and sound papers stay without an alarm."""

from __future__ import annotations

import pytest

from infra.benchmarks import missing, planted


@pytest.mark.slow
def test_each_kind_of_missing_value_is_named() -> None:
    found = missing.measured(20, seed=11)
    assert {kind: dict(one.stopped) for kind, one in found.items() if one.stopped} == {}
    assert len(found) == 8, "invoices, receipts, and either side and both of two forms of card"
    unnoticed = {
        (kind, path): one.named[path] / times
        for kind, one in found.items()
        for path, times in one.left_out.items()
        if path not in missing.OPTIONAL.get(kind, ()) and one.named[path] < missing.ASKED * times
    }
    assert unnoticed == {}


@pytest.mark.slow
def test_each_kind_of_planted_error_is_seen_and_right_values_are_not_accused() -> None:
    found = planted.measured(12, seed=11)
    assert {paper: dict(one.stopped) for paper, one in found.items() if one.stopped} == {}
    unseen = [
        (paper, name, seen)
        for paper, one in found.items()
        for name, seen in one.kinds.items()
        if seen.seen < planted.ASKED * seen.planted or seen.pointed < 0.9 * seen.planted
    ]
    assert unseen == []
    sums = [seen for paper in ("invoice", "receipt") for seen in found[paper].kinds.values()]
    assert sum(seen.wronged for seen in sums) < sum(seen.planted for seen in sums) / 2
