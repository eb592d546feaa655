"""How fast the ledger is: python -m infra.benchmarks.ledger [--documents 10000] [--lanes 1,4,16] [--kills 0]

Real SQLite and real PostgreSQL with its data forced to the disk (the server that the tests bring, or
--postgres URL), real processes, a stub instead of the engine: each document is one page with 25 fields
and 12 checks.

one process    of a job with that many documents, 2,000 claimed (8 at a time), their pages saved and the
               documents committed, one transaction each, per second; and the time to balance the books
lanes          claim 8 documents, commit each, until the job is done; documents per second of all lanes
--kills N      lanes that read for 20 ms a page are killed at random, N times: pages begun twice, and the
               time from a kill until another lane has the document
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from pipeline import store
from pipeline.errors import LeaseLost, Transient
from pipeline.records import Check, DocumentRef, Extraction, Field, PageRecord, PageResult
from pipeline.store import Store
from schemas.registry import resolve
from tests.servers.postgres import PostgresServer

SPAWN = multiprocessing.get_context("spawn")
CLAIMED = 8  # documents a claim
LEASE = 2.0  # seconds, where lanes are killed
READING = 0.02  # seconds a page, there


def extraction(number: int) -> Extraction:
    record = {
        "number": str(number),
        "issue_date": "2026-05-01",
        "seller_name": "Công ty Trách nhiệm hữu hạn Mẫu",
        "total": "1100000",
        "lines": [{"no": 1, "name": "Bút bi", "quantity": "2", "unit_price": "500000", "amount": "1000000"}],
    }
    box = (0.1, 0.2, 0.3, 0.4)
    fields = tuple(
        Field(f"field_{i}", "Công ty Mẫu, phố Mẫu", "Công ty Mẫu, phố Mẫu", 0.97, "read", 1, box)
        for i in range(25)
    )
    checks = tuple(Check(f"check_{i}", True, "info", "the figures agree", ("total",)) for i in range(12))
    return Extraction("done", record, fields, checks, 1)


def page(key: str, result: Extraction) -> PageResult:
    text = json.dumps(result.record, ensure_ascii=False)
    return PageResult(1, key, PageRecord(1, result.fields), None, "pdfium", 1654, 2339, 7, 1900, 250, text)


def new_job(url: str, documents: int) -> tuple[Store, store.Job, float]:
    """An opened store with a job; also the documents added per second."""
    ledger = store.open(url)
    job = ledger.ensure_job(
        "bench", resolve("invoice"), sources=[], settings={}, model="stub", checkpoint="0"
    )
    start = time.perf_counter()
    ledger.add_documents(job, (DocumentRef(f"s3://bench/{n:08}.pdf", 10, "e") for n in range(documents)))
    return ledger, job, documents / (time.perf_counter() - start)


# one process


def one_process(url: str, documents: int, count: int = 2000) -> dict[str, float]:
    """Claims, saves and commits `count` of the job's documents."""
    ledger, job, added = new_job(url, documents)
    with ledger:
        start = time.perf_counter()
        leases = [
            lease for _ in range(count // CLAIMED) for lease in ledger.claim(job, "bench", CLAIMED, 3600)
        ]
        claimed = len(leases) / (time.perf_counter() - start)
        result = extraction(1)
        saved = Rate(ledger, leases, lambda lease: ledger.save_page(lease, page(lease.uri, result)))
        committed = Rate(
            ledger,
            leases,
            lambda lease: ledger.commit(lease, result, [page(lease.uri, result)], sha256="0" * 64),
        )
        start = time.perf_counter()
        ledger.verify(job)
        verified = time.perf_counter() - start
    return {
        "added": added,
        "claimed": claimed,
        "pages_saved": saved.second,
        "pages_saved_per_core_second": saved.core_second,
        "documents_committed": committed.second,
        "documents_committed_per_core_second": committed.core_second,
        "verify_s": verified,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


class Rate:
    """Times the work on each lease: `second`, by the clock and as the median of ten parts, because the
    machine is not ours alone; `core_second`, by the CPU time of this process and of the server's
    sessions.
    """

    def __init__(self, ledger: Store, leases: list[store.Lease], work: Callable[[store.Lease], None]) -> None:
        size = len(leases) // 10
        rates = []
        before = cpu_seconds(ledger)
        for part in range(10):
            start = time.perf_counter()
            for lease in leases[part * size : (part + 1) * size]:
                work(lease)
            rates.append(size / (time.perf_counter() - start))
        self.second = statistics.median(rates)
        self.core_second = 10 * size / (cpu_seconds(ledger) - before)


def cpu_seconds(ledger: Store) -> float:
    seconds = time.process_time()
    if not ledger.one_machine:
        with ledger.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'vinbatch'") as rows:
            times = [psutil.Process(pid).cpu_times() for (pid,) in rows]
        seconds += sum(spent.user + spent.system for spent in times)
    return seconds


# lanes


def lane(ledger: Store, name: str, ready: Any, go: Any) -> None:
    job = ledger.find_job("bench")
    result = extraction(1)
    ready.release()
    go.wait()
    while leases := patiently(lambda: ledger.claim(job, name, CLAIMED, 3600)):
        for lease in leases:
            done = page(lease.uri, result)
            patiently(lambda lease=lease, done=done: ledger.commit(lease, result, [done], sha256="0" * 64))


def patiently(call: Callable[[], Any]) -> Any:
    while True:
        try:
            return call()
        except Transient:
            time.sleep(0.05)


def many_lanes(url: str, count: int, documents: int) -> dict[str, float]:
    ledger, job, added = new_job(url, documents)
    with ledger:
        ready, go = SPAWN.Semaphore(0), SPAWN.Event()
        lanes = [SPAWN.Process(target=lane, args=(ledger, f"lane-{n}", ready, go)) for n in range(count)]
        for process in lanes:
            process.start()
        for _ in lanes:
            ready.acquire()
        start = time.perf_counter()
        go.set()
        rates = list(progress(ledger, job, documents))
        seconds = time.perf_counter() - start
        for process in lanes:
            process.join()
        assert ledger.verify(job).done == documents
    tenth = max(1, len(rates) // 10)
    return {
        "added": added,
        "documents": documents / seconds,
        "first_tenth": statistics.mean(rates[:tenth]),
        "last_tenth": statistics.mean(rates[-tenth:]),
    }


def progress(ledger: Store, job: store.Job, documents: int) -> Iterator[float]:
    """Documents per second between looks, until all are done."""
    before, then = 0, time.perf_counter()
    while before < documents:
        time.sleep(0.5 if documents <= 20_000 else 5.0)
        done, now = ledger.counts(job)["done"], time.perf_counter()
        yield (done - before) / (now - then)
        before, then = done, now


# kills


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


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--documents", type=int, default=10_000, help="size of the job")
    arguments.add_argument("--lanes", default="1,4,16")
    arguments.add_argument("--kills", type=int, default=0)
    arguments.add_argument("--postgres", help="URL of an empty database of a server that is there already")
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = None if given.postgres else stack.enter_context(PostgresServer(durable=True))
        number = iter(range(1000))

        def fresh(kind: str) -> str:
            if kind == "SQLite":
                return f"sqlite:///{folder / f'{next(number)}.db'}"
            return given.postgres if server is None else server.create_database()

        runs: list[tuple[str, Callable[[str], dict[str, float]]]] = [
            ("one process", lambda url: one_process(url, given.documents))
        ]
        for lanes in map(int, filter(None, given.lanes.split(","))):
            runs.append((f"{lanes} lanes", lambda url, lanes=lanes: many_lanes(url, lanes, given.documents)))
        if given.kills:
            runs.append((f"{given.kills} kills", lambda url: kills(url, given.kills)))
        for name, run in runs:
            for kind in ("SQLite", "PostgreSQL"):
                figures = run(fresh(kind))
                found[f"{kind}, {name}"] = figures
                print(
                    f"{kind}, {name}: " + ", ".join(f"{key} {value:,.1f}" for key, value in figures.items())
                )
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
