"""The ledger when its lanes are killed at random while they read: part of infra/benchmarks/ledger.py."""

from __future__ import annotations

import multiprocessing
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from pickle import UnpicklingError
from typing import Any

from infra.benchmarks.ledger_stub import extraction, new_job, page, patiently
from pipeline.errors import LeaseLost
from pipeline.records import Extraction, PageResult
from pipeline.store import Store

SPAWN = multiprocessing.get_context("spawn")
LEASE = 2.0  # seconds
READING = 0.02  # seconds a page
Event = tuple[float, str, str, str]  # when, what, which lane, which document or page


def reading_lane(store: Store, name: str, told: Any) -> None:
    """Reads three pages a document, tells of each document that it takes and of each page that it reads."""
    job, result = store.jobs.find("bench"), extraction(1)
    while True:
        for lease in patiently(lambda: store.ledger.claim(job, name, 2, LEASE, max_losses=10**6)):
            told.send((time.time(), "took", name, lease.uri))
            try:
                keys = [f"{lease.uri}-{n}" for n in (1, 2, 3)]
                known = store.results.known_pages(keys)
                for number, key in enumerate(keys, 1):
                    if key not in known:
                        told.send((time.time(), "read", name, key))
                        time.sleep(READING)
                        read = page(key, result)
                        known[key] = PageResult(number, key, read.record, None)
                        store.results.save_page(lease, known[key])
                pages = [known[key] for key in keys]
                three = Extraction("done", result.record, result.fields, result.checks, 3)
                store.results.commit(lease, three, pages, sha256="0" * 64)
                told.send((time.time(), "done", name, lease.uri))
            except LeaseLost:
                continue


def kills(url: str, count: int) -> dict[str, float]:
    store, job, _ = new_job(url, 20 * count + 200)
    names, events = iter(range(10**6)), list[Event]()
    lanes: dict[str, tuple[Any, Any]] = {}  # process and the pipe of what it tells: a shared one could be
    killed: dict[str, float] = {}  # killed together with its lock
    generator = random.Random(1)
    with store:
        while len(killed) < count:
            while len(lanes) < 3:
                name = f"lane-{next(names)}"
                told, tell = SPAWN.Pipe(duplex=False)
                lanes[name] = SPAWN.Process(target=reading_lane, args=(store, name, tell)), told
                lanes[name][0].start()
                tell.close()
            time.sleep(generator.uniform(0.5, 1.5))
            for _, told in lanes.values():
                events += heard(told)
            if busy := [name for name in lanes if any(event[2] == name for event in events)]:
                victim = generator.choice(busy)
                killed[victim] = time.time()
                events += ended(*lanes.pop(victim))
        until = time.time() + 3 * LEASE
        while store.books.counts(job)["leased"] and time.time() < until:
            time.sleep(0.1)
        for process, told in lanes.values():
            events += ended(process, told)
        store.books.verify(job)
    events.sort()
    read = [uri for _, what, _, uri in events if what == "read"]
    over = []
    for name, at in killed.items():
        held = {uri for _, what, who, uri in events if who == name and what == "took"}
        held -= {uri for _, what, who, uri in events if who == name and what == "done"}
        for uri in held:
            taken = (when for when, what, _, other in events if (what, other) == ("took", uri) and when > at)
            over += [when - at for when in taken][:1]  # the lane that took it may have been killed too
    return {
        "kills": count,
        "pages_read": len(read),
        "read_twice_percent": 100 * (len(read) - len(set(read))) / len(read),
        "takeover_median_s": statistics.median(over) if over else float("nan"),
        "takeover_worst_s": max(over, default=float("nan")),
    }


def heard(told: Any) -> Iterator[Event]:
    """What a lane has told until now; of one that was killed, until its death."""
    with suppress(EOFError, UnpicklingError):
        while told.poll():
            yield told.recv()


def ended(process: Any, told: Any) -> Iterator[Event]:
    process.kill()
    process.join()
    yield from heard(told)
    told.close()
