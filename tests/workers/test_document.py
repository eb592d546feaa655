"""A document's way through a lane ends in exactly one row, whatever dies on the way."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.workers.conftest import Bench, RoteReplica

GREY, RED, BLUE = (200, 200, 200), (255, 0, 0), (0, 0, 255)


def test_pages_are_read_once_and_merged(bench: Bench) -> None:
    bench.add(bench.pdf("three.pdf", [GREY, (90, 90, 90), (30, 30, 30)]), bench.picture("one.png"))
    report = bench.work(bench.claim())
    assert bench.states() == {"three.pdf": ("done", None), "one.png": ("done", None)}
    assert (report.pages, report.pages_known, bench.replica.answered) == (4, 0, 4)
    assert report.tokens == 4 * len('{"Số":"12"}')


def test_the_same_bytes_under_two_names_are_read_once(bench: Bench) -> None:
    bench.add(*(bench.picture(f"{number}.png") for number in range(4)))
    report = bench.work(bench.claim())  # side by side
    assert (report.pages, report.pages_known) == (1, 3)
    assert set(bench.states().values()) == {("done", None)}


def test_a_page_that_was_saved_is_not_read_again(bench: Bench) -> None:
    bench.add(bench.pdf("two.pdf", [GREY, RED]))
    [lease] = bench.claim()
    bench.work([lease])
    assert bench.states() == {"two.pdf": ("partial", None)}
    bench.ledger.retry(bench.job, document=str(bench.folder / "two.pdf"))
    bench.replica = RoteReplica()
    report = bench.work(bench.claim())
    assert (report.pages, report.pages_known) == (0, 1)


def test_what_kills_the_replica_is_found_alone_and_its_neighbours_are_read(bench: Bench) -> None:
    neighbours = [bench.picture(f"{number}.png", (number, number, number)) for number in range(6)]
    bench.replica.seconds = 0.3  # long enough that all are beside each other
    bench.add(*neighbours, bench.picture("poison.png", RED))
    report = bench.work(bench.claim())
    states = bench.states()
    assert states.pop("poison.png") == ("quarantined", "worker_lost")
    assert set(states.values()) == {("done", None)}
    assert bench.replica.most_beside > 1
    assert bench.replica.deaths == 3  # once in company, twice alone
    assert report.reasons == {"worker_lost": 1}
    [item] = bench.ledger.failed(bench.job)
    assert item.failure.traceback is not None and "ReplicaLost" in item.failure.traceback
    assert item.attempts == 1 and item.worker == "lane-0"


@pytest.mark.slow
def test_one_death_is_held_against_nobody(bench: Bench) -> None:
    bench.replica.seconds = 0.2
    bench.add(bench.picture("unlucky.png", BLUE), bench.picture("beside.png"))
    report = bench.work(bench.claim())
    assert set(bench.states().values()) == {("done", None)}
    assert bench.replica.deaths == 1 and report.pages == 2


@pytest.mark.slow
def test_a_page_that_kills_its_reader_twice_is_left_out(bench: Bench) -> None:
    bench.deadly[2] = 2
    bench.add(bench.pdf("three.pdf", [GREY, (90, 90, 90), (30, 30, 30)]))
    report = bench.work(bench.claim())
    assert bench.states() == {"three.pdf": ("partial", None)}
    assert report.pages == 2 and report.reasons == {"worker_lost": 1}


def test_a_document_that_kills_its_reader_on_opening_is_quarantined(bench: Bench) -> None:
    bench.deadly[0] = 2
    bench.add(bench.picture("one.png"))
    bench.work(bench.claim())
    assert bench.states() == {"one.png": ("quarantined", "worker_lost")}


def test_a_reader_that_dies_once_costs_nothing(bench: Bench) -> None:
    bench.deadly.update({0: 1, 2: 1})
    bench.add(bench.pdf("three.pdf", [GREY, (90, 90, 90), (30, 30, 30)]))
    report = bench.work(bench.claim())
    assert bench.states() == {"three.pdf": ("done", None)}
    assert report.pages == 3


def test_a_late_lane_changes_nothing(bench: Bench) -> None:
    bench.add(bench.picture("one.png"))
    [late] = bench.ledger.claim(bench.job, "slow", 1, lease_seconds=0.05)
    time.sleep(0.1)
    [lease] = bench.claim()
    report = bench.work([late])
    assert report.late == 1 and not report.documents
    assert bench.states()["one.png"][0] == "leased"
    bench.work([lease])
    assert bench.states()["one.png"][0] == "done"


def test_what_is_missing_or_broken_is_quarantined_with_its_reason(bench: Bench) -> None:
    broken = bench.folder / "broken.png"
    whole = Path(bench.picture("whole.png")).read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    bench.add(str(bench.folder / "missing.png"), str(broken))
    report = bench.work(bench.claim())
    assert bench.states() == {
        "missing.png": ("quarantined", "object_missing"),
        "broken.png": ("quarantined", "image_damaged"),
    }
    assert report.documents == {"quarantined": 2}


def test_a_surprise_is_a_reason_with_its_traceback(bench: Bench) -> None:
    async def generate(request: object) -> None:
        raise KeyError("nobody foresaw this")

    bench.replica.generate = generate  # type: ignore[method-assign, assignment]
    bench.add(bench.picture("one.png"))
    bench.work(bench.claim())
    assert bench.states() == {"one.png": ("quarantined", "internal_error")}
    [item] = bench.ledger.failed(bench.job)
    assert item.failure.traceback is not None and "nobody foresaw this" in item.failure.traceback
