"""Everything that changes the books, from several processes at once: in the end they balance."""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from pipeline import store as stores
from pipeline.errors import LeaseLost, Reason, Transient, UsageError
from pipeline.records import DocumentRef, Failure
from pipeline.store import Store
from tests.store import samples
from tests.store.samples import finish, invoice, page, refs

_SPAWN = multiprocessing.get_context("spawn")
PASSING = Failure(Reason.store_unreachable, "503", retryable=True)
FINAL = Failure(Reason.pdf_damaged, "bad")


def until_answered(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """As lanes do: what is busy is asked again."""
    for _ in range(1000):
        try:
            return call(*arguments, **named)
        except Transient:
            time.sleep(0.01)
    raise AssertionError("the store was busy for good")


def storm(store: Store, seed: int, operations: int, together: Any) -> None:
    """Any calls in any order, as many lanes and several people would make them.

    At each fourth one all processes meet at the barrier `together`, and remove the same documents.
    """
    chance = random.Random(seed)
    jobs = [store.jobs.find(name) for name in ("june", "july")]

    def add(job: stores.Job) -> None:
        names = chance.sample(range(60), 30)
        etag = f"etag-{chance.randrange(3)}"
        store.ledger.add(job, [DocumentRef(f"/in/{name}", 10, etag) for name in names], batch=10)

    def work(job: stores.Job) -> None:
        leases = store.ledger.claim(job, f"w{seed}", 8, chance.choice([0.02, 60.0]), max_losses=50)
        for lease in store.ledger.renew(leases, 60.0):
            leases.remove(lease)
        for lease in leases:
            with suppress(LeaseLost):
                match chance.randrange(6):
                    case 0:
                        store.ledger.quarantine(lease, FINAL)
                    case 1:
                        store.ledger.release(lease, PASSING)
                    case 2:
                        store.ledger.release(lease)
                    case 3:
                        store.results.save_page(lease, page(1, lease.uri))
                    case _:
                        finish(store, lease, invoice(lease.uri))

    def purge_one(_: stores.Job) -> None:
        store.purge(document=f"/in/{chance.randrange(60)}")

    def purge_old(_: stores.Job) -> None:
        store.purge(older_than=timedelta(0))

    def fill(job: stores.Job) -> None:
        store.ledger.add(job, refs(*map(str, range(60))))
        for lease in store.ledger.claim(job, f"w{seed}", 30, 60.0):
            with suppress(LeaseLost):
                store.ledger.quarantine(lease, FINAL)

    def retry(job: stores.Job) -> None:
        store.failures.retry(job, reason="pdf_damaged")

    def look(job: stores.Job) -> None:
        list(store.diff(*jobs))
        with tempfile.TemporaryDirectory() as folder, suppress(UsageError):
            store.export(job, "jsonl", Path(folder) / "out.jsonl")
        assert store.books.repair(job) == []  # the books are in order all the time

    kinds = [add, work, work, work, purge_one, purge_old, retry, look]
    for number in range(operations):
        if number % 4 == 3:
            until_answered(fill, jobs[0])
            together.wait(60)
            until_answered(purge_old, jobs[0])
        else:
            until_answered(chance.choice(kinds), chance.choice(jobs))


def weather(store: Store, processes: int, operations: int) -> None:
    """The storm from so many processes at once; afterwards the books of both jobs balance."""
    jobs = [samples.job(store, name) for name in ("june", "july")]
    together = _SPAWN.Barrier(processes)
    begun = [_SPAWN.Process(target=storm, args=(store, n, operations, together)) for n in range(processes)]
    for process in begun:
        process.start()
    for process in begun:
        process.join(240)
        assert process.exitcode == 0
    for job in jobs:
        balance = store.books.verify(job)
        assert balance.submitted == len(list(store.results.documents(job)))


@pytest.mark.slow
def test_a_storm_leaves_the_books_balanced(url: str) -> None:
    with stores.open(url) as store:
        weather(store, processes=3, operations=24)


@pytest.mark.medium
@pytest.mark.parametrize(
    "calls",
    [
        [lambda store: store.purge(older_than=timedelta(0))] * 3,
        [lambda store: store.purge(document="/in/3")] * 3,
        [
            lambda store: store.purge(older_than=timedelta(0)),
            lambda store: store.ledger.add(store.jobs.find("june"), refs(*map(str, range(60)))),
            lambda store: store.books.repair(store.jobs.find("june")),
        ],
        [
            lambda store: store.purge(older_than=timedelta(0)),
            lambda store: store.failures.retry(store.jobs.find("june"), reason="pdf_damaged"),
        ],
    ],
    ids=["old ones", "the same document", "while documents are added", "while some are tried again"],
)
def test_people_who_purge_at_once_take_each_document_off_the_books_once(
    url: str, calls: list[Callable[[Store], Any]]
) -> None:
    with stores.open(url) as store:
        job = samples.job(store)
        purged: list[int] = []
        for _ in range(3):
            store.ledger.add(job, refs(*map(str, range(40))))
            for number, lease in enumerate(store.ledger.claim(job, "w", 40, 600)):
                finish(store, lease) if number % 2 else store.ledger.quarantine(lease, FINAL)
            before = store.books.counts(job)
            ready, removed = Barrier(len(calls)), []

            def call(
                one: Callable[[Store], Any], ready: Barrier = ready, removed: list[int] = removed
            ) -> None:
                with stores.open(url) as own:
                    ready.wait()
                    done = until_answered(one, own)
                    removed.append(getattr(done, "documents", 0) - getattr(done, "added", 0))

            threads = [Thread(target=call, args=(one,)) for one in calls]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            after = store.books.verify(job)
            assert sum(before.values()) - after.submitted == sum(removed)
            purged += [documents for documents in removed if documents > 0]
        assert purged, "no round removed anything: this proved nothing"
