"""Who works on which job: signs of life, their end, a job that is cancelled."""

from __future__ import annotations

from pipeline.store import Store
from tests.store import samples
from tests.store.samples import Clock


def test_a_run_says_who_it_is_and_sees_those_of_its_pool(store: Store, clock: Clock) -> None:
    june, july = samples.job(store, "june"), samples.job(store, "july")
    first = store.runs.begin(june, "host-1", 2.0, 3)
    assert (first.job_id, first.job, first.weight, first.priority) == (june.id, "june", 2.0, 3)
    assert (first.driver, first.pool, first.room, first.wanted, first.lanes) == ("host-1", None, 0, 0, 0)
    assert (first.started_at, first.ended_at, first.cancelled, first.alive) == (clock.now, None, False, True)
    assert (store.jobs.find("june").weight, store.jobs.find("june").priority) == (2.0, 3)
    second, third = store.runs.begin(july, "host-2", 1.0, 0), store.runs.begin(july, "host-3", 1.0, 0)
    assert store.runs.beat(first.id) == (first,)
    [alone] = store.runs.beat(first.id, pool="p", room=8, wanted=4, lanes=2)
    assert (alone.pool, alone.room, alone.wanted, alone.lanes) == ("p", 8, 4, 2)
    store.runs.beat(third.id, pool="other", room=9)
    both = store.runs.beat(second.id, pool="p", room=8, wanted=1)
    assert [(run.id, run.lanes) for run in both] == [(first.id, 2), (second.id, 0)]


def test_who_says_nothing_for_half_a_minute_is_gone(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    first, second = (store.runs.begin(job, host, 1.0, 0) for host in ("host-1", "host-2"))
    store.runs.beat(first.id, pool="p")
    clock.pass_(29)
    assert [run.id for run in store.runs.beat(second.id, pool="p")] == [first.id, second.id]
    clock.pass_(1)
    assert [run.id for run in store.runs.beat(second.id, pool="p")] == [second.id]
    assert [run.id for run in store.runs.newest([job])[job.id]] == [second.id]
    clock.pass_(30)
    [newest] = store.runs.newest([job])[job.id]  # nobody lives: the newest one tells how it was
    assert (newest.id, newest.alive, newest.ended_at) == (second.id, False, None)
    store.runs.beat(first.id, pool="p")  # it was only held up
    assert [run.id for run in store.runs.newest([job])[job.id]] == [first.id]


def test_a_run_ends_once_and_holds_no_lanes_then(store: Store, clock: Clock) -> None:
    job, other = samples.job(store), samples.job(store, "other")
    run, beside = store.runs.begin(job, "host-1", 1.0, 0), store.runs.begin(other, "host-1", 1.0, 0)
    store.runs.beat(run.id, pool="p", lanes=3)
    clock.pass_(5)
    store.runs.end(run.id)
    clock.pass_(5)
    store.runs.end(run.id)
    found = store.runs.newest([job, other, samples.job(store, "never run")])
    [ended], [living], [] = found.values()
    assert (ended.lanes, ended.alive, (clock.now - ended.ended_at).total_seconds()) == (0, False, 5)  # type: ignore[operator]
    assert living == beside
    assert [run.id for run in store.runs.beat(beside.id, pool="p")] == [beside.id]


def test_a_cancelled_jobs_runs_are_told_and_the_next_one_takes_it_up(store: Store, clock: Clock) -> None:
    job, other = samples.job(store), samples.job(store, "other")
    over, vanished = store.runs.begin(job, "host-0", 1.0, 0), store.runs.begin(job, "host-1", 1.0, 0)
    store.runs.end(over.id)
    clock.pass_(31)
    run, beside = store.runs.begin(job, "host-2", 1.0, 0), store.runs.begin(other, "host-3", 1.0, 0)
    assert store.runs.cancel(job) == 1, "of those that live"
    assert store.jobs.find("june").cancelled_at == clock.now
    told = {
        one.id: one.cancelled
        for number in (over, vanished, run, beside)
        for one in store.runs.beat(number.id)
    }
    assert told == {over.id: False, vanished.id: True, run.id: True, beside.id: False}
    assert store.jobs.find("other").cancelled_at is None
    again = store.runs.begin(job, "host-4", 1.0, 0)
    assert not again.cancelled and store.jobs.find("june").cancelled_at is None
