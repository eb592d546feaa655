"""How many lanes one ledger carries: python -m infra.benchmarks.scale [--lanes 1,2,4,8] [--seconds 8]

A real PostgreSQL with its data forced to the disk (the one that the tests bring, or --postgres URL of an
empty database of a server on this machine). CPU time is counted apart: of the server with all its processes,
and of those that ask it; so the figures hold where both have machines of their own.

costs     what a document of one page (25 fields, 12 checks) costs, call by call: alone, and in groups
listing   documents added to the ledger
lanes     schedulers as they are, each a process, with a model that answers --rate pages a second: pages a
          second of all, what a page costs the server and a scheduler, documents in a transaction. What the
          CPUs here cannot carry is less than linear: the costs a page say what they would on more.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg

from infra.benchmarks import scale_lane
from infra.benchmarks.ledger_stub import extraction, new_job, page
from pipeline import store as stores
from pipeline.records import DocumentRef
from pipeline.store import Result, Store
from schemas.registry import resolve
from tests.servers.postgres import PostgresServer

SPAWN = multiprocessing.get_context("spawn")
COUNT = 640  # documents that a cost is measured with
GROUPS = (4, 16, 64)


def server_seconds(url: str) -> float:
    """CPU seconds of the server, with processes of it that have ended."""
    with psycopg.connect(url) as connection:
        [(pid,)] = connection.execute("SELECT pg_backend_pid()").fetchall()
        top = psutil.Process(pid).parent()
        assert top is not None
        total = 0.0
        for process in (top, *top.children()):
            times = process.cpu_times()
            total += times.user + times.system
            if process == top:
                total += times.children_user + times.children_system
    return total


class Cost:
    """Milliseconds of CPU a document, of the server and of this process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.found: dict[str, dict[str, float]] = {}

    @contextmanager
    def of(self, what: str, count: int) -> Iterator[None]:
        server, client, wal = server_seconds(self._url), time.process_time(), self._wal()
        yield
        one = {
            "server_ms": 1000 * (server_seconds(self._url) - server) / count,
            "client_ms": 1000 * (time.process_time() - client) / count,
            "wal_bytes": (self._wal() - wal) / count,
        }
        self.found[what] = one
        print(
            f"{what:<34} server {one['server_ms']:.3f} ms, client {one['client_ms']:.3f} ms, "
            f"log {one['wal_bytes']:,.0f} bytes",
            flush=True,
        )

    def _wal(self) -> float:
        with psycopg.connect(self._url) as connection:
            [(written,)] = connection.execute(
                "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
            ).fetchall()
        return float(written)


def costs(url: str) -> dict[str, dict[str, float]]:
    """The calls of a lane, one by one."""
    store, job, _ = new_job(url, COUNT * (3 + len(GROUPS)))
    cost, result = Cost(url), extraction(1)
    with store:
        leases: list[stores.Lease] = []
        with cost.of("claim, 1 at a time", COUNT):
            leases += [one for _ in range(COUNT) for one in store.ledger.claim(job, "bench", 1, 3600)]
        with cost.of("claim, 20 at a time", COUNT):
            leases += [one for _ in range(COUNT // 20) for one in store.ledger.claim(job, "bench", 20, 3600)]
        while more := store.ledger.claim(job, "bench", 64, 3600):
            leases += more
        waiting = iter(leases)
        some = [next(waiting) for _ in range(COUNT)]
        _calls(cost, "alone", some, 1, lambda group: _one_by_one(store, group, result), store)
        for size in GROUPS:
            some = [next(waiting) for _ in range(COUNT)]
            _calls(cost, f"{size} together", some, size, lambda group: _together(store, group, result), store)
    return cost.found


def _calls(
    cost: Cost, name: str, leases: list[stores.Lease], size: int, keep: Callable[[Any], Any], store: Store
) -> None:
    groups = [leases[start : start + size] for start in range(0, len(leases), size)]
    with cost.of(f"known pages, {name}", len(leases)):
        for group in groups:
            store.results.known_pages([one.uri for one in group])
    kept = [keep(group) for group in groups]
    with cost.of(f"page saved, {name}", len(leases)):
        for save, _ in kept:
            save()
    with cost.of(f"document committed, {name}", len(leases)):
        for _, commit in kept:
            commit()


def _one_by_one(store: Store, group: list[stores.Lease], result: Any) -> tuple[Any, Any]:
    [lease] = group
    done = page(lease.uri, result)
    return (
        lambda: store.results.save_page(lease, done),
        lambda: store.results.commit(lease, result, [done], sha256="0" * 64),
    )


def _together(store: Store, group: list[stores.Lease], result: Any) -> tuple[Any, Any]:
    pages = [(lease, page(lease.uri, result)) for lease in group]
    whole = [Result(lease, result, [done], "0" * 64) for lease, done in pages]
    return lambda: store.results.save_pages(pages), lambda: _all_done(store.results.commit_group(whole))


def _all_done(states: list[Any]) -> None:
    assert set(states) == {"done"}, states


def listing(url: str, count: int = 20_000) -> dict[str, dict[str, float]]:
    with stores.open(url) as store:
        job = store.jobs.ensure(
            "listed", resolve("invoice"), sources=[], settings={}, model="stub", checkpoint="0"
        )
        cost = Cost(url)
        with cost.of("listed", count):
            store.ledger.add(job, (DocumentRef(f"s3://bench/{n:08}.pdf", 10, "e") for n in range(count)))
    return cost.found


def lanes(url: str, count: int, rate: float, seconds: float) -> dict[str, float]:
    """`count` lanes for so long."""
    store, job, _ = new_job(url, int(count * rate * (seconds + 60)))
    with store, ExitStack() as stack:
        signs = scale_lane.Signs(SPAWN.Semaphore(0), SPAWN.Event(), SPAWN.Event())
        told = SPAWN.Queue()
        processes = [
            SPAWN.Process(target=scale_lane.lane, args=(url, n, rate, signs, told)) for n in range(count)
        ]
        for process in processes:
            process.start()
            stack.callback(process.kill)
        for _ in processes:
            if not signs.warm.acquire(timeout=300):
                raise SystemExit("a lane did not get to work within five minutes")
        began, server = time.monotonic(), server_seconds(url)
        signs.count.set()
        time.sleep(seconds)
        signs.stop.set()
        server, took = server_seconds(url) - server, time.monotonic() - began
        worked = [told.get(timeout=120) for _ in processes]
        for process in processes:
            process.join()
        store.books.verify(job)
    done = sum(one.documents for one in worked)
    found = {
        "pages_a_second": sum(one.documents / one.seconds for one in worked),
        "of_ideal": sum(one.documents / one.seconds for one in worked) / (count * rate),
        "server_ms_a_page": 1000 * server / took / (sum(one.documents / one.seconds for one in worked)),
        "scheduler_ms_a_page": 1000 * sum(one.cpu_seconds for one in worked) / max(done, 1),
        "documents_a_transaction": done / max(1, sum(one.groups for one in worked)),
        "documents_a_claim": done / max(1, sum(one.claims for one in worked)),
        "load_average": os.getloadavg()[0],
    }
    print(f"{count} lanes: " + ", ".join(f"{name} {value:.3g}" for name, value in found.items()), flush=True)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--lanes", default="1,2,4,8", help="numbers of lanes; none: only the costs")
    arguments.add_argument("--no-costs", action="store_true", help="only the lanes")
    arguments.add_argument("--rate", type=float, default=60.0, help="pages a second of one lane's model")
    arguments.add_argument("--seconds", type=float, default=8.0, help="that count, of each number of lanes")
    arguments.add_argument("--postgres", help="URL of an empty database on this machine, in place of our own")
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    found: dict[str, Any] = {"cpus": os.cpu_count()}
    with ExitStack() as stack:
        stack.enter_context(_in_a_folder_of_its_own())
        server = None if given.postgres else stack.enter_context(PostgresServer(durable=True))

        def fresh() -> str:
            return given.postgres if server is None else server.create_database()

        if not given.no_costs:
            found["costs"] = costs(fresh()) | listing(fresh())
        for count in map(int, filter(None, given.lanes.split(","))):
            found[f"{count} lanes"] = lanes(fresh(), count, given.rate, given.seconds)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


@contextmanager
def _in_a_folder_of_its_own() -> Iterator[None]:
    """Away from anybody's vinbatch.toml."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["PYTHONPATH"] = f"{before}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        try:
            yield
        finally:
            os.chdir(before)


if __name__ == "__main__":
    main()
