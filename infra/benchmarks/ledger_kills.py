"""The ledger when its lanes are killed at random while they read: part of infra/benchmarks/ledger.py."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import statistics
import time
from typing import Any

from infra.benchmarks.ledger_stub import extraction, new_job, page, patiently
from pipeline.errors import LeaseLost
from pipeline.records import Extraction, PageResult
from pipeline.store import Store

SPAWN = multiprocessing.get_context("spawn")
LEASE = 2.0  # seconds
READING = 0.02  # seconds a page


def reading_lane(ledger: Store, name: str, told: Any) -> None:
    """Reads three pages a document, tells of each document that it takes and of each page that it reads."""
    job, result = ledger.find_job("bench"), extraction(1)
    while True:
        for lease in patiently(lambda: ledger.claim(job, name, 2, LEASE, max_losses=10**6)):
            told.put((time.time(), "took", name, lease.uri))
            try:
                keys = [f"{lease.uri}-{n}" for n in (1, 2, 3)]
                known = ledger.known_pages(keys)
                for number, key in enumerate(keys, 1):
                    if key not in known:
                        told.put((time.time(), "read", name, key))
                        time.sleep(READING)
                        read = page(key, result)
                        known[key] = PageResult(number, key, read.record, None)
                        ledger.save_page(lease, known[key])
                pages = [known[key] for key in keys]
                three = Extraction("done", result.record, result.fields, result.checks, 3)
                ledger.commit(lease, three, pages, sha256="0" * 64)
                told.put((time.time(), "done", name, lease.uri))
            except LeaseLost:
                continue


def kills(url: str, count: int) -> dict[str, float]:
    ledger, job, _ = new_job(url, 20 * count + 200)
    told, names, lanes, killed = SPAWN.Queue(), iter(range(10**6)), {}, {}
    events: list[tuple[float, str, str, str]] = []
    generator = random.Random(1)
    with ledger:
        while len(killed) < count:
            while len(lanes) < 3:
                name = f"lane-{next(names)}"
                lanes[name] = SPAWN.Process(target=reading_lane, args=(ledger, name, told))
                lanes[name].start()
            time.sleep(generator.uniform(0.5, 1.5))
            while not told.empty():
                events.append(told.get())
            victim = generator.choice([name for name in lanes if any(e[2] == name for e in events)] or [""])
            if victim:
                process = lanes.pop(victim)
                os.kill(process.pid or 0, signal.SIGKILL)
                killed[victim] = time.time()
                process.join()
        while ledger.counts(job)["leased"] and time.time() < max(killed.values()) + 3 * LEASE:
            time.sleep(0.1)
        for process in lanes.values():
            process.kill()
            process.join()
        while not told.empty():
            events.append(told.get())
        ledger.verify(job)
    read = [uri for _, what, _, uri in events if what == "read"]
    over = []
    for name, at in killed.items():
        held = {uri for _, what, who, uri in events if who == name and what == "took"}
        held -= {uri for _, what, who, uri in events if who == name and what == "done"}
        over += [when - at for when, what, who, uri in events if what == "took" and uri in held and when > at]
    return {
        "kills": count,
        "pages_read": len(read),
        "read_twice_percent": 100 * (len(read) - len(set(read))) / len(read),
        "takeover_median_s": statistics.median(over) if over else float("nan"),
        "takeover_worst_s": max(over, default=float("nan")),
    }
