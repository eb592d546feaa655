"""The lane's own loop: claim, renew, give back, end. Processes are stand-ins; ledger and path are real."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Reason, Transient
from pipeline.store import State
from tests.servers.s3 import S3Server
from tests.servers.starting import PATIENCE
from tests.workers.conftest import FACTS, Bench
from workers.document import Lane
from workers.lane import LaneBroken, LaneReport
from workers.lane_work import LaneWork
from workers.reader import recipe


class BenchLane(LaneWork):
    """A scheduler whose readers and replica are the bench's."""

    def __init__(self, bench: Bench, **changes: Any) -> None:
        lane = bench.settings.lane.model_copy(update=changes)
        settings = bench.settings.model_copy(update={"lane": lane})
        job = bench.lane_job
        super().__init__("lane-0", type(job)(**{**_fields(job), "settings": settings}), bench.lane().replica)
        self._bench = bench

    async def _start(self, trust: Any) -> Lane:
        lane, rules = self._bench.lane(), recipe(self._job, FACTS)
        self.lane = Lane(
            rules, self._store, self._patience, lane.readers, lane.replica, self._report, self._sizes
        )
        return self.lane

    def live(self, meanwhile: Callable[[], Any] | None = None) -> LaneReport:
        """Its whole life; `meanwhile` is a coroutine function that runs beside it."""

        async def work() -> LaneReport:
            task = asyncio.create_task(self.work())
            if meanwhile is None:
                await self.listed()
            else:
                await meanwhile()
            return await asyncio.wait_for(task, PATIENCE)

        try:
            return asyncio.run(work())
        finally:
            self._bench.end(self.lane)


def _fields(job: Any) -> dict[str, Any]:
    return {name: getattr(job, name) for name in job.__slots__}


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.medium
def test_a_lane_works_until_nothing_is_left(bench: Bench) -> None:
    bench.add(*(bench.picture(f"{number}.png", (number, 1, 1)) for number in range(12)))
    report = BenchLane(bench).live()
    assert report.documents == {"done": 12} and report.pages == 12 and report.held == 0


@pytest.mark.medium
def test_it_waits_for_the_listing(bench: Bench) -> None:
    scheduler = BenchLane(bench)

    async def list_slowly() -> None:
        await until(lambda: scheduler._report.state == "working")
        await asyncio.sleep(0.2)
        bench.add(bench.picture("late.png"))
        await scheduler.listed()

    assert scheduler.live(list_slowly).documents == {"done": 1}


@pytest.mark.slow
def test_it_waits_for_what_another_lane_holds_and_takes_it_over(bench: Bench) -> None:
    bench.add(bench.picture("orphan.png"))
    started = time.monotonic()  # before the claim, however long that takes
    bench.store.ledger.claim(bench.job, "a lane that dies", 1, lease_seconds=1.0)
    assert BenchLane(bench).live().documents == {"done": 1}
    assert time.monotonic() - started >= 1.0


@pytest.mark.slow
def test_leases_are_renewed(bench: Bench) -> None:
    bench.replica.seconds = 600.0
    bench.add(bench.picture("slow.png"))
    scheduler = BenchLane(bench, lease_seconds=4.0, grace_seconds=0.1)
    ends: list[Any] = []

    async def watch() -> None:
        await until(lambda: bench.replica.most_beside)
        renew = scheduler._store.ledger.renew

        def noted(leases: Any, seconds: float) -> Any:
            lost = renew(leases, seconds)
            with bench.store.query("SELECT ready_at FROM documents") as rows:
                ends.extend(end for (end,) in rows)
            return lost

        scheduler._store.ledger.renew = noted  # type: ignore[method-assign]
        await until(lambda: len(ends) == 2)
        await scheduler.stop()

    assert scheduler.live(watch).late == 0
    assert ends[1] > ends[0]


class OutlivedLeases(BenchLane):
    """As after a store that was away for longer than a lease: the claims come first."""

    async def _renew(self) -> None:
        await asyncio.sleep(PATIENCE)


@pytest.mark.medium
def test_a_lane_does_not_take_back_its_own_documents_after_an_outage(bench: Bench) -> None:
    bench.replica.seconds = 4.0
    bench.add(bench.picture("slow.png"))
    report = OutlivedLeases(bench, lease_seconds=0.5).live()
    with bench.store.query("SELECT losses, attempts FROM documents") as rows:
        assert list(rows) == [(0, 1)]
    assert report.late == 0 and report.documents == {"done": 1}


@pytest.mark.medium
def test_work_whose_lease_is_lost_is_dropped(bench: Bench) -> None:
    bench.replica.seconds = 600.0
    bench.add(bench.picture("lost.png"))
    scheduler = BenchLane(bench, lease_seconds=0.6)

    async def steal() -> None:
        await until(lambda: scheduler._held)
        [(lease, _)] = scheduler._held.values()
        bench.store.ledger.release(lease)  # as if it had run out
        assert bench.store.ledger.claim(bench.job, "thief", 1, 60)
        await until(lambda: not scheduler._held)
        await scheduler.stop()

    report = scheduler.live(steal)
    assert report.late == 1 and not report.documents
    assert bench.states()["lost.png"][0] == "leased"


@pytest.mark.medium
def test_stop_finishes_what_the_model_has_and_gives_the_rest_back(bench: Bench) -> None:
    bench.replica.seconds = 0.5
    bench.add(*(bench.picture(f"{number:02}.png", (number, 1, 1)) for number in range(30)))
    scheduler = BenchLane(bench, grace_seconds=20, pages_in_flight=4)

    async def stop() -> None:
        await until(lambda: scheduler._report.pages >= 2)
        await scheduler.stop()

    report = scheduler.live(stop)
    counts = bench.store.books.counts(bench.job)
    assert counts["leased"] == 0 and counts["pending"] >= 5
    assert counts["done"] == report.documents["done"] == report.pages
    assert all(
        row.attempts == 0 for row in bench.store.results.documents(bench.job) if row.state == "pending"
    )


@pytest.mark.medium
def test_stop_gives_back_what_takes_too_long(bench: Bench) -> None:
    bench.replica.seconds = 600.0
    bench.add(bench.picture("slow.png"))
    scheduler = BenchLane(bench, grace_seconds=0.4)

    async def stop() -> None:
        await until(lambda: bench.replica.most_beside)
        await scheduler.stop()

    scheduler.live(stop)
    assert bench.states() == {"slow.png": ("pending", None)}
    assert bench.replica.answered == 0  # it was not waited for


@pytest.mark.medium
def test_a_suspect_is_worked_on_alone(bench: Bench) -> None:
    uris = [bench.picture(f"{number}.png", (number, 1, 1)) for number in range(6)]
    bench.add(*uris)
    bench.store.ledger.claim(bench.job, "a lane that dies", 3, lease_seconds=0.01)
    time.sleep(0.05)
    scheduler = BenchLane(bench)
    beside: list[int] = []
    hold = scheduler._hold

    def watched(lease: Any, attempt: Any) -> None:
        hold(lease, attempt)
        if any(held.suspect for held, _ in scheduler._held.values()):
            beside.append(len(scheduler._held))

    scheduler._hold = watched  # type: ignore[method-assign]
    assert scheduler.live().documents == {"done": 6}
    assert beside == [1, 1, 1]


@pytest.mark.medium
def test_a_lane_that_cannot_work_gives_everything_back_and_says_why(bench: Bench) -> None:
    bench.add(bench.picture("one.png"))

    async def generate(id: str, prepared: object) -> None:
        raise LaneBroken("no process stays alive")

    bench.replica.generate = generate  # type: ignore[method-assign, assignment]
    with pytest.raises(LaneBroken, match="no process stays alive"):
        BenchLane(bench).live()
    assert bench.states() == {"one.png": ("pending", None)}


@pytest.mark.slow
def test_a_store_that_is_away_is_waited_for(bench: Bench) -> None:
    bench.add(bench.picture("one.png"))
    scheduler = BenchLane(bench)
    troubles: list[str | None] = []

    async def interrupt() -> None:
        await until(lambda: scheduler._report.state == "working")
        store, failures = scheduler._store, iter(range(3))
        commit = store.results.commit

        def failing(*arguments: Any, **named: Any) -> State:
            if next(failures, None) is not None:
                raise Transient(Reason.store_unreachable, "the server has gone away")
            troubles.append(scheduler._patience.trouble)
            return commit(*arguments, **named)

        store.results.commit = failing  # type: ignore[method-assign]
        await scheduler.listed()

    assert scheduler.live(interrupt).documents == {"done": 1}
    assert troubles == ["the server has gone away"]


@pytest.mark.slow
def test_a_store_that_stays_away_ends_the_lane(bench: Bench) -> None:
    bench.add(bench.picture("one.png"))
    scheduler = BenchLane(bench, patience_seconds=0.3)

    async def interrupt() -> None:
        await until(lambda: scheduler._report.state == "working")

        def failing(*arguments: Any, **named: Any) -> None:
            raise Transient(Reason.store_unreachable, "the server has gone away")

        scheduler._store.ledger.next_due = failing  # type: ignore[method-assign]
        await scheduler.listed()

    with pytest.raises(LaneBroken, match=r"did not answer for 0.3 s: the server has gone away"):
        scheduler.live(interrupt)
    assert bench.store.books.counts(bench.job)["leased"] == 0


@pytest.mark.medium
def test_a_lane_whose_source_refuses_everything_stops_and_leaves_the_rest(
    bench: Bench, moto: S3Server
) -> None:
    gone = moto.bucket({"one.png": Path(bench.picture("one.png")).read_bytes()})
    bench.add(*(f"s3://there-is-no-such-bucket/{number}.png" for number in range(40)))
    source = bench.settings.source.model_copy(update={"s3_endpoint": moto.endpoint})
    bench.use(bench.settings.model_copy(update={"source": source}))
    report = BenchLane(bench, refusals=6).live()
    assert report.refused is not None and report.refused.startswith("6 documents in a row were refused")
    assert "the bucket does not exist" in report.refused and "--reason bucket_missing" in report.refused
    counts = bench.store.books.counts(bench.job)
    assert (
        counts["leased"] == 0 and 6 <= counts["quarantined"] <= 6 + 5
    )  # those on their way were refused too
    assert all(
        row.attempts == 0 for row in bench.store.results.documents(bench.job) if row.state == "pending"
    )

    moto.client().create_bucket(Bucket="there-is-no-such-bucket")
    for number in range(40):
        copied = {"Bucket": gone, "Key": "one.png"}
        moto.client().copy_object(Bucket="there-is-no-such-bucket", Key=f"{number}.png", CopySource=copied)
    assert bench.store.failures.retry(bench.job, reason="bucket_missing") == counts["quarantined"]
    assert BenchLane(bench).live().refused is None
    assert bench.store.books.counts(bench.job)["done"] == 40
