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

from pipeline import store
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


def storm(ledger: Store, seed: int, operations: int, together: Any) -> None:
    """Any calls in any order, as many lanes and several people would make them.

    At each fourth one all processes meet at the barrier `together`, and remove the same documents.
    """
    chance = random.Random(seed)
    jobs = [ledger.find_job(name) for name in ("june", "july")]

    def add(job: store.Job) -> None:
        names = chance.sample(range(60), 30)
        etag = f"etag-{chance.randrange(3)}"
        ledger.add_documents(job, [DocumentRef(f"/in/{name}", 10, etag) for name in names], batch=10)

    def work(job: store.Job) -> None:
        leases = ledger.claim(job, f"w{seed}", 8, chance.choice([0.02, 60.0]), max_losses=50)
        for lease in ledger.renew(leases, 60.0):
            leases.remove(lease)
        for lease in leases:
            with suppress(LeaseLost):
                match chance.randrange(6):
                    case 0:
                        ledger.quarantine(lease, FINAL)
                    case 1:
                        ledger.release(lease, PASSING)
                    case 2:
                        ledger.release(lease)
                    case 3:
                        ledger.save_page(lease, page(1, lease.uri))
                    case _:
                        finish(ledger, lease, invoice(lease.uri))

    def purge_one(_: store.Job) -> None:
        ledger.purge(document=f"/in/{chance.randrange(60)}")

    def purge_old(_: store.Job) -> None:
        ledger.purge(older_than=timedelta(0))

    def fill(job: store.Job) -> None:
        ledger.add_documents(job, refs(*map(str, range(60))))
        for lease in ledger.claim(job, f"w{seed}", 30, 60.0):
            with suppress(LeaseLost):
                ledger.quarantine(lease, FINAL)

    def retry(job: store.Job) -> None:
        ledger.retry(job, reason="pdf_damaged")

    def look(job: store.Job) -> None:
        list(ledger.diff(*jobs))
        with tempfile.TemporaryDirectory() as folder, suppress(UsageError):
            ledger.export(job, "jsonl", Path(folder) / "out.jsonl")
        assert ledger.repair(job) == []  # the books are in order all the time

    kinds = [add, work, work, work, purge_one, purge_old, retry, look]
    for number in range(operations):
        if number % 4 == 3:
            until_answered(fill, jobs[0])
            together.wait(60)
            until_answered(purge_old, jobs[0])
        else:
            until_answered(chance.choice(kinds), chance.choice(jobs))


@pytest.mark.slow
def test_a_storm_leaves_the_books_balanced(url: str) -> None:
    with store.open(url) as ledger:
        jobs = [samples.job(ledger, name) for name in ("june", "july")]
        together = _SPAWN.Barrier(3)
        processes = [_SPAWN.Process(target=storm, args=(ledger, seed, 24, together)) for seed in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(240)
            assert process.exitcode == 0
        for job in jobs:
            balance = ledger.verify(job)
            assert balance.submitted == len(list(ledger.documents(job)))


@pytest.mark.parametrize(
    "calls",
    [
        [lambda ledger: ledger.purge(older_than=timedelta(0))] * 3,
        [lambda ledger: ledger.purge(document="/in/3")] * 3,
        [
            lambda ledger: ledger.purge(older_than=timedelta(0)),
            lambda ledger: ledger.add_documents(ledger.find_job("june"), refs(*map(str, range(60)))),
            lambda ledger: ledger.repair(ledger.find_job("june")),
        ],
        [
            lambda ledger: ledger.purge(older_than=timedelta(0)),
            lambda ledger: ledger.retry(ledger.find_job("june"), reason="pdf_damaged"),
        ],
    ],
    ids=["old ones", "the same document", "while documents are added", "while some are tried again"],
)
def test_people_who_purge_at_once_take_each_document_off_the_books_once(
    url: str, calls: list[Callable[[Store], Any]]
) -> None:
    with store.open(url) as ledger:
        job = samples.job(ledger)
        purged: list[int] = []
        for _ in range(3):
            ledger.add_documents(job, refs(*map(str, range(40))))
            for number, lease in enumerate(ledger.claim(job, "w", 40, 600)):
                finish(ledger, lease) if number % 2 else ledger.quarantine(lease, FINAL)
            before = ledger.counts(job)
            ready, removed = Barrier(len(calls)), []

            def call(
                one: Callable[[Store], Any], ready: Barrier = ready, removed: list[int] = removed
            ) -> None:
                with store.open(url) as own:
                    ready.wait()
                    done = until_answered(one, own)
                    removed.append(getattr(done, "documents", 0) - getattr(done, "added", 0))

            threads = [Thread(target=call, args=(one,)) for one in calls]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            after = ledger.verify(job)
            assert sum(before.values()) - after.submitted == sum(removed)
            purged += removed
        assert sum(purged) > 0
