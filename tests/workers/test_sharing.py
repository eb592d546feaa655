"""How runs divide lanes, and how one learns that its job was cancelled."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline import store as stores
from pipeline.settings import ShareSettings
from pipeline.store import Run
from tests.servers.starting import PATIENCE
from tests.store import samples
from workers.sharing import Presence, divided

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def run(
    number: int, wanted: int, *, weight: float = 1, priority: int = 0, room: int = 8, job: int | None = None
) -> Run:
    named = job or number
    return Run(number, named, f"job {named}", weight, priority, "host-1", "pool", room, wanted, 0, NOW)


@pytest.mark.parametrize(
    ("room", "runs", "given"),
    [
        (8, [run(1, 8)], [8]),
        (8, [run(1, 8, weight=3), run(2, 8)], [6, 2]),
        (8, [run(1, 8), run(2, 8, priority=1)], [0, 8]),  # a lower priority yields
        (8, [run(1, 8), run(2, 3, priority=1)], [5, 3]),  # and has what is left over
        (8, [run(1, 1), run(2, 8), run(3, 8)], [1, 4, 3]),  # nobody gets more than it wants
        (8, [run(1, 8, job=7), run(2, 8, job=7), run(3, 8)], [2, 2, 4]),  # two runs of one job weigh as one
        (4, [run(1, 4, room=4), run(2, 8, room=8)], [2, 2]),  # whose lanes are half as large
        (0, [run(1, 8)], [0]),
    ],
)
def test_lanes_are_divided_by_priority_and_weight(room: int, runs: list[Run], given: list[int]) -> None:
    assert list(divided(room, runs).values()) == given


def test_runs_of_one_store_see_each_other_and_end(tmp_path: Path) -> None:
    clock = samples.Clock()
    with stores.open(f"sqlite:///{tmp_path}/rows.db", clock=clock) as store:
        jobs = [samples.job(store, name) for name in ("a", "b")]
        first, second = (store.runs.begin(job, "host-1", 2.0, 1) for job in jobs)
        store.runs.beat(first.id, pool="p", room=4, wanted=4, lanes=3)
        assert [one.id for one in store.runs.beat(second.id, pool="another")] == [second.id]
        both = store.runs.beat(second.id, pool="p", room=4, wanted=2)
        assert [(one.job, one.wanted, one.lanes, one.weight, one.priority) for one in both] == [
            ("a", 4, 3, 2.0, 1),
            ("b", 2, 0, 2.0, 1),
        ]
        clock.pass_(31)  # the first one says nothing more
        assert [one.id for one in store.runs.beat(second.id, pool="p")] == [second.id]
        assert [one.ended_at for one in store.runs.newest(jobs)[jobs[0].id]] == [None]  # it vanished
        store.runs.end(second.id)
        [ended] = store.runs.newest(jobs)[jobs[1].id]
        assert ended.ended_at is not None and not ended.alive and ended.lanes == 0


@pytest.mark.slow
def test_a_cancelled_run_stops_and_the_next_one_takes_the_job_up(tmp_path: Path) -> None:
    with stores.open(f"sqlite:///{tmp_path}/rows.db") as store:
        job, stop, stop_of_next = samples.job(store), threading.Event(), threading.Event()
        with Presence(store, job, ShareSettings(), stop, PATIENCE) as presence:
            assert not presence.resumed
            assert store.runs.cancel(job) == 1
            # Whoever runs the job again at once does not take back that the first run is to end.
            job = store.jobs.find(job.name)
            assert job.cancelled_at is not None
            with Presence(store, job, ShareSettings(), stop_of_next, PATIENCE) as again:
                assert again.resumed and store.jobs.find(job.name).cancelled_at is None
                assert stop.wait(PATIENCE) and presence.cancelled
                time.sleep(0.5)
                assert not stop_of_next.is_set() and not again.cancelled
