"""Each second of a lane is put down to what it was bound by, and the verdict names that and what mends it."""

from __future__ import annotations

import pytest

from workers.activity import Activity, Bound
from workers.profile import LaneTime, Profile


class Hand:
    """A clock that a test turns."""

    at = 0.0

    def __call__(self) -> float:
        return self.at


def test_every_second_is_counted_once_and_to_what_held_the_lane_up() -> None:
    hand = Hand()
    lane = Activity(readers=2, batch=2, now=hand)

    def goes_by(seconds: float) -> None:
        hand.at += seconds

    goes_by(5)
    lane.start()
    with lane.during("claim"):
        goes_by(1)
    with lane.during("fetch"):
        goes_by(2)
        with lane.during("draw"):
            goes_by(1)  # a reader is free, and has no bytes
            with lane.during("draw"):
                goes_by(4)
                with lane.during("model"), lane.during("model"):
                    goes_by(8)
                with lane.during("model"), lane.during("room"), lane.during("claim"):
                    goes_by(3)  # both readers draw, and the batch is not full
    with lane.during("model"):
        with lane.during("documents"):
            goes_by(6)
        goes_by(7)  # the last answer
        with lane.during("commit"):
            goes_by(1)
    with lane.during("commit"):
        goes_by(1)
    goes_by(2)
    lane.charge()
    assert lane.clock == {
        "start": 5,
        "store": 1 + 1,
        "fetch": 2 + 1,
        "draw": 4 + 3,
        "model": 8 + 7 + 1,
        "documents": 6,
        "other": 2,
    }
    assert sum(lane.clock.values()) == hand.at
    assert lane.seconds["model"] == 8 + 8 + 3 + 14 and lane.seconds["draw"] == 16 + 15


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        ("start", "start-up: more documents in one run"),
        ("documents", "fewer lanes would do"),
        ("fetch", "lane.readers, 3 now"),
        ("draw", "add readers (lane.readers = 6)"),
        ("room", "raise lane.bytes_in_flight"),
        ("model", "the model, most of it in decode; more lanes (--replicas"),
        ("store", "PostgreSQL"),
        ("other", "too few cores"),
    ],
)
def test_the_verdict_names_what_most_time_went_to_and_what_mends_it(bound: Bound, said: str) -> None:
    clock: dict[Bound, float] = {"draw": 1.0, "model": 1.0, bound: 8.0}
    lanes = [LaneTime(f"host-lane-{n}", clock, {}, {"vision": 1.0, "decode": 2.0}, 3, 16) for n in range(2)]
    found = Profile(lanes).bottleneck
    assert found is not None and found.bound == bound and said in found.words
    assert found.share == pytest.approx(8 / sum(clock.values()))
    assert (found.then is not None) == (bound == "start")


def test_the_tables_rows_add_up_to_the_lanes_time_and_the_models_are_divided_by_its_own_clock() -> None:
    one = LaneTime("h-lane-0", {"start": 4.0, "draw": 6.0, "model": 9.0}, {"draw": 9.0}, {"vision": 2.0}, 2)
    two = LaneTime("h-lane-1", {"start": 4.0, "model": 17.0}, {"model": 34.0}, {"decode": 1.0}, 2, 16)
    heads, rows = Profile([one, two]).table()
    assert heads == ["where the time went, s", "lane 0", "lane 1", "all", "share", "at a time"]
    cells = {name: figures for name, *figures in rows}
    assert cells["drawing, preparing"] == ["6.0", "0.0", "6.0", "15%", "0.3/2"]
    assert cells["the model: vision"] == ["6.0", "11.3", "17.3", "43%", "1.1/16"]
    assert cells["the model: decode"][:3] == ["3.0", "5.7", "8.7"]
    assert cells["together"][:3] == ["19.0", "21.0", "40.0"]


def test_where_nothing_was_done_there_is_no_verdict() -> None:
    assert Profile([]).bottleneck is None
