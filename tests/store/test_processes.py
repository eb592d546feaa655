"""Several processes at one ledger, as lanes are: nothing is done twice, and a killed one costs nothing."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import pytest

from pipeline import store as stores
from pipeline.errors import LeaseLost, Transient
from tests.store import samples
from tests.store.samples import finish, invoice, refs

_SPAWN = multiprocessing.get_context("spawn")


_SECONDS = 300.0  # a bound for a machine that is busy with other things


def claim_all(store: stores.Store, name: str, claimed: Queue[tuple[str, str]], all_there: Barrier) -> None:
    """Claims, commits and tells what it claimed, until nothing is left. Begins when all others are there."""
    job = store.jobs.find("june")
    all_there.wait(_SECONDS)
    while leases := store.ledger.claim(job, name, random.randint(1, 4), 600):
        for lease in leases:
            claimed.put((name, lease.uri))
            finish(store, lease, invoice(lease.uri))


@pytest.mark.slow
def test_processes_share_the_work_without_doubles(url: str) -> None:
    with stores.open(url) as store:
        job = samples.job(store)
        store.ledger.add(job, refs(*(f"{number:03}" for number in range(200))))
        claimed: Queue[tuple[str, str]] = _SPAWN.Queue()
        all_there = _SPAWN.Barrier(3)
        workers = [
            _SPAWN.Process(target=claim_all, args=(store, f"w{n}", claimed, all_there)) for n in range(3)
        ]
        for worker in workers:
            worker.start()
        seen = [claimed.get(timeout=_SECONDS) for _ in range(200)]
        for worker in workers:
            worker.join(_SECONDS)
            assert worker.exitcode == 0
        assert claimed.empty()
        assert set(Counter(uri for _, uri in seen).values()) == {1}
        assert len({name for name, _ in seen}) > 1
        assert store.books.verify(job).done == 200


def work_for_ever(store: stores.Store, name: str) -> None:
    """As a lane does: what is lost or refused is somebody else's."""
    job = store.jobs.find("june")
    while True:
        for lease in store.ledger.claim(job, name, 4, 0.5, max_losses=1000):
            try:
                store.results.save_page(lease, samples.page(1, lease.uri))
                store.results.commit(lease, invoice(lease.uri), [samples.page(1, lease.uri)], sha256="ab")
            except LeaseLost:
                continue


@pytest.mark.slow
def test_killed_processes_lose_and_double_nothing(url: str) -> None:
    generator = random.Random(7)
    with stores.open(url) as store:
        job = samples.job(store)
        store.ledger.add(job, refs(*(f"{number:04}" for number in range(600))))
        workers = []
        deadline = time.monotonic() + _SECONDS
        kills = 0
        while store.books.counts(job)["done"] < 600:
            assert time.monotonic() < deadline, store.books.balance(job)
            while len(workers) < 2:
                workers.append(_SPAWN.Process(target=work_for_ever, args=(store, f"w{kills}")))
                workers[-1].start()
            time.sleep(generator.uniform(0.5, 1.5))
            if kills < 5:
                victim = workers.pop(generator.randrange(2))
                os.kill(victim.pid or 0, signal.SIGKILL)
                victim.join()
                kills += 1
                try:
                    store.books.verify(job)
                except Transient:
                    continue
        for worker in workers:
            worker.kill()
            worker.join()
        assert kills >= 1
        assert store.books.verify(job).done == 600
        results = list(store.results.extractions(job))
        assert {found.uri: found.extraction for found in results} == {
            f"/in/{number:04}": invoice(f"/in/{number:04}") for number in range(600)
        }
