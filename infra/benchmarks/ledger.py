"""How fast the ledger is: python -m infra.benchmarks.ledger [--documents 10000] [--lanes 1,4,16] [--kills 0]

Real SQLite and real PostgreSQL with its data forced to the disk (the server that the tests bring, or
--postgres URL), real processes, a stub instead of the engine: each document is one page with 25 fields
and 12 checks.

one process    of a job with that many documents, 2,000 claimed (8 at a time), their pages saved and the
               documents committed, one transaction each, per second; and the time to count the states and
               to balance the books
--most-done    the same in a job of which all other documents are done already
lanes          claim 8 documents, commit each, until the job is done; documents per second of all lanes,
               also of the first and of the last tenth by the time that the ledger gives each
--kills N      lanes that read for 20 ms a page are killed at random, N times: pages begun twice, and the
               time from a kill until another lane has the document
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from infra.benchmarks.ledger_kills import kills
from infra.benchmarks.ledger_stub import extraction, finish_most, new_job, page, patiently
from pipeline import store as stores
from pipeline.store import Store
from tests.servers.postgres import PostgresServer

SPAWN = multiprocessing.get_context("spawn")
CLAIMED = 8  # documents a claim


# one process


def one_process(url: str, documents: int, most_done: bool, count: int = 2000) -> dict[str, float]:
    """Claims, saves and commits `count` of the job's documents."""
    store, job, added = new_job(url, documents)
    with store:
        if most_done:
            [lease] = store.ledger.claim(job, "bench", 1, 3600)
            store.results.commit(lease, extraction(1), [page(lease.uri, extraction(1))], sha256="0" * 64)
            finish_most(url, store, left=count)
        start = time.perf_counter()
        leases = [
            lease
            for _ in range(count // CLAIMED)
            for lease in store.ledger.claim(job, "bench", CLAIMED, 3600)
        ]
        claimed = len(leases) / (time.perf_counter() - start)
        result = extraction(1)
        saved = Rate(store, leases, lambda lease: store.results.save_page(lease, page(lease.uri, result)))
        committed = Rate(
            store,
            leases,
            lambda lease: store.results.commit(lease, result, [page(lease.uri, result)], sha256="0" * 64),
        )
        start = time.perf_counter()
        store.books.counts(job)
        counted = time.perf_counter() - start
        store.books.verify(job)
        verified = time.perf_counter() - start - counted
    return {
        "added": added,
        "claimed": claimed,
        "pages_saved": saved.second,
        "pages_saved_per_core_second": saved.core_second,
        "documents_committed": committed.second,
        "documents_committed_per_core_second": committed.core_second,
        "count_s": counted,
        "verify_s": verified,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


class Rate:
    """Times the work on each lease: `second`, by the clock and as the median of ten parts, because the
    machine is not ours alone; `core_second`, by the CPU time of this process and of the server's
    sessions.
    """

    def __init__(
        self, store: Store, leases: list[stores.Lease], work: Callable[[stores.Lease], None]
    ) -> None:
        size = len(leases) // 10
        rates = []
        before = cpu_seconds(store)
        for part in range(10):
            start = time.perf_counter()
            for lease in leases[part * size : (part + 1) * size]:
                work(lease)
            rates.append(size / (time.perf_counter() - start))
        self.second = statistics.median(rates)
        self.core_second = 10 * size / (cpu_seconds(store) - before)


def cpu_seconds(store: Store) -> float:
    seconds = time.process_time()
    if not store.one_machine:
        with store.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'vinbatch'") as rows:
            times = [psutil.Process(pid).cpu_times() for (pid,) in rows]
        seconds += sum(spent.user + spent.system for spent in times)
    return seconds


# lanes


def lane(store: Store, name: str, ready: Any, go: Any) -> None:
    job = store.jobs.find("bench")
    result = extraction(1)
    ready.release()
    go.wait()
    while leases := patiently(lambda: store.ledger.claim(job, name, CLAIMED, 3600)):
        for lease in leases:
            done = page(lease.uri, result)
            patiently(
                lambda lease=lease, done=done: store.results.commit(lease, result, [done], sha256="0" * 64)
            )


def many_lanes(url: str, count: int, documents: int) -> dict[str, float]:
    store, job, added = new_job(url, documents)
    with store:
        ready, go = SPAWN.Semaphore(0), SPAWN.Event()
        lanes = [SPAWN.Process(target=lane, args=(store, f"lane-{n}", ready, go)) for n in range(count)]
        for process in lanes:
            process.start()
        for _ in lanes:
            ready.acquire()
        start = time.perf_counter()
        go.set()
        for process in lanes:
            process.join()
        seconds = time.perf_counter() - start
        assert store.books.verify(job).done == documents
        tenth = documents // 10
        with store.query("SELECT finished_at FROM documents ORDER BY finished_at") as rows:
            ends = [datetime.fromisoformat(str(at)).timestamp() for (at,) in rows]
    return {
        "added": added,
        "documents": documents / seconds,
        "first_tenth": tenth / (ends[tenth] - ends[0]),
        "last_tenth": tenth / (ends[-1] - ends[-1 - tenth]),
    }


def shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--documents", type=int, default=10_000, help="size of the job")
    arguments.add_argument("--most-done", action="store_true", help="and of these all but 2,000 done already")
    arguments.add_argument("--lanes", default="1,4,16", help="numbers of lanes; none: only one process")
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
            ("one process", lambda url: one_process(url, given.documents, given.most_done))
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
                    f"{kind}, {name}: "
                    + ", ".join(f"{key} {shown(value)}" for key, value in figures.items()),
                    flush=True,
                )
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
