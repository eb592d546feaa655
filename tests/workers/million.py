"""A job over made-up documents, in one process: python -m tests.workers.million STORE_URL DOCUMENTS

Listing, a lane at work for a while, then all that looks at a job whose other documents have ended. Prints the
largest resident memory after each step, in bytes, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from infra.benchmarks.ledger_stub import finish_most
from pipeline import run
from pipeline import store as stores
from pipeline.errors import Reason
from pipeline.recipe import Recipe
from pipeline.records import DocumentRef, Failure, PreparedPage
from pipeline.settings import load
from pipeline.store import Job, Store
from schemas import registry
from tests.workers.conftest import FACTS, RoteReplica
from workers.document import Lane
from workers.ingest import Ingest, SourceListing
from workers.lane import LaneJob
from workers.lane_work import LaneWork
from workers.reader import Counted, DrawnPage, Fetched, recipe
from workers.reader_handle import ReaderPool

BROKEN = 20  # every so manieth is listed with a failure
READ = 200  # documents that the lane reads


class MadeUp(SourceListing):
    """A bucket of that many objects."""

    def __init__(self, documents: int) -> None:
        self.source = "s3://a-bucket-with-a-long-name/"
        self._documents = documents

    @property
    def idle(self) -> frozenset[str]:
        return frozenset()

    def refs(self) -> Iterator[DocumentRef]:
        for number in range(self._documents):
            broken = Failure(Reason.unsupported_type, "not a document") if number % BROKEN == 0 else None
            name = f"s3://a-bucket-with-a-long-name/2026/november/incoming/scan-{number:09}.pdf"
            yield DocumentRef(name, 100_000, f"{number:032x}", broken)


class StubReader:
    """Every document has bytes of its own and one page."""

    deaths = 0

    def __init__(self, rules: Recipe) -> None:
        self._rules = rules

    async def fetch(self, uri: str, etag: str | None, most: int) -> Fetched:
        return Fetched(uri, f"{hash(uri) % 2**64:064x}", etag, 100_000)

    async def count(self, fetched: Fetched) -> Counted:
        return Counted(1)

    async def draw(self, fetched: Fetched, page: int, request_id: str) -> tuple[DrawnPage, Any]:
        return self._drawn(
            PreparedPage(page, np.zeros((1, 448, 448, 3), np.uint8), 448, 448, "stub"), request_id
        )

    def _drawn(self, page: PreparedPage, request_id: str) -> tuple[DrawnPage, Any]:
        request = run.request(page, self._rules, request_id)
        return DrawnPage(run.without_tiles(page), page.tiles.nbytes), request

    async def peak_bytes(self) -> int:
        return 0


class StubLane(LaneWork):
    async def _start(self, trust: Any) -> Lane:
        rules, replica = recipe(self._job, FACTS), self._replica
        readers: Any = ReaderPool([StubReader(rules)])  # type: ignore[list-item]
        return Lane(rules, self._store, self._patience, readers, replica, self._report, self._sizes)


def listed(store: Store, job: Job, documents: int) -> None:
    with Ingest(store, job, [MadeUp(documents)], 60, threading.Event()) as ingest:
        assert ingest.complete(None)
    assert store.books.counts(job)["pending"] == documents - len(range(0, documents, BROKEN))


def worked(lane_job: LaneJob) -> None:
    async def live() -> None:
        scheduler = StubLane("lane", lane_job, RoteReplica())
        life = asyncio.create_task(scheduler.work())
        while scheduler._report.documents.total() < READ:
            assert not life.done() or life.result()
            await asyncio.sleep(0.01)
        await scheduler.stop()
        await life

    asyncio.run(live())


def looked_at(store: Store, job: Job, folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    yield "verify", lambda: store.books.verify(job)
    yield "failures", lambda: store.failures.groups(job)
    yield "failed", lambda: sum(1 for _ in store.failures.each(job))
    yield "documents", lambda: sum(1 for _ in store.results.documents(job))
    yield "extractions", lambda: sum(1 for _ in store.results.extractions(job))
    yield "diff", lambda: sum(1 for _ in store.diff(job, job))
    for format in ("csv", "jsonl", "parquet", "xlsx"):
        yield format, lambda format=format: store.export(job, folder / f"out.{format}")  # type: ignore[misc]
    yield "listed again", lambda: store.ledger.add(job, MadeUp(store.books.verify(job).submitted).refs())
    yield "retry", lambda: store.failures.retry(job, reason="unsupported_type")


def peak() -> int:
    """Largest resident memory so far, bytes. Not `ru_maxrss`, which begins with the parent's at the fork."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def main(url: str, documents: int) -> None:
    folder, peaks = Path.cwd(), {}
    settings = load(store=url)
    lane_job = LaneJob("million", url, "slip.py:Slip", "rote", FACTS.checkpoint_hash, 0, settings)
    with stores.open(url) as store:
        spec = registry.resolve(lane_job.schema)
        job = store.jobs.ensure(
            "million", spec, sources=["x"], settings={}, model="rote", checkpoint=FACTS.checkpoint_hash
        )
        listed(store, job, documents)
        peaks["listing"] = peak()
        worked(lane_job)
        peaks["lane"] = peak()
        finish_most(url, store, left=documents // 10)
        assert store.books.counts(job)["done"] > documents // 2
        for name, look in looked_at(store, job, folder):
            look()
            peaks[name] = peak()
    print(json.dumps(peaks))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
