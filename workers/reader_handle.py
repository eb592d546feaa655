"""The readers of a lane as its scheduler calls them, each kept alive."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import ray

from pipeline.errors import Transient
from pipeline.records import Failure, PageRecord
from workers.lane import LaneJob
from workers.reader import FETCHES, Counted, DrawnPage, Fetched, Reader, TooLarge
from workers.replica_handle import ReplicaHandle
from workers.supervisor import STARTS, Actor, Ref, Supervisor


class ReaderLost(Transient):
    """The reader that had the document is gone."""


class ReaderHandle(Supervisor):
    """One reader. The methods are those of `workers.reader.Reader`, and raise ReaderLost when it dies."""

    def __init__(self, job: LaneJob, replica: ReplicaHandle) -> None:
        super().__init__("reader", lambda: start_reader(job), ReaderLost, STARTS)
        self._stall_seconds = job.settings.lane.stall_seconds
        self._replica = replica

    async def prepare(self, actor: Actor) -> None:
        await actor.ignore_sigterm.remote()
        await actor.load.remote(await self._replica.facts())
        self.progressed()

    async def fetch(self, uri: str, etag: str | None, most: int) -> Fetched | TooLarge:
        """The document with its bytes by reference, or how many bytes it has when those are over `most`."""
        async with self.alive(self._stall_seconds) as reader:
            answer, document = reader.fetch.remote(uri, etag, most)
            found: Fetched | TooLarge = await answer
            return replace(found, document=document) if isinstance(found, Fetched) else found

    async def count(self, fetched: Fetched) -> Counted:
        async with self.alive(self._stall_seconds) as reader:
            pages: Counted = await reader.count.remote(fetched)
            return pages

    async def draw(
        self, fetched: Fetched, page: int, request_id: str
    ) -> tuple[DrawnPage | PageRecord | Failure, Ref]:
        """The page without its tiles, and the request with them by reference; or what the page says."""
        async with self.alive(self._stall_seconds) as reader:
            drawn, request = reader.draw.remote(fetched, page, request_id)
            return await drawn, request

    async def peak_bytes(self) -> int:
        async with self.alive(self._stall_seconds) as reader:
            peak: int = await reader.peak_bytes.remote()
            return peak


class ReaderPool:
    """The lane's readers: a document has one to itself while it is drawn, because that one keeps it open
    between its pages; downloads go round.
    """

    def __init__(self, readers: Sequence[ReaderHandle]) -> None:
        self.readers = tuple(readers)
        self._free: asyncio.Queue[ReaderHandle] = asyncio.Queue()
        for reader in readers:
            self._free.put_nowait(reader)
        self._round = itertools.cycle(readers)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[ReaderHandle]:
        """A reader for one document alone."""
        reader = await self._free.get()
        try:
            yield reader
        finally:
            self._free.put_nowait(reader)

    def next(self) -> ReaderHandle:
        """The reader whose turn it is to fetch a document."""
        return next(self._round)


def start_reader(job: LaneJob) -> Actor:
    """In the caller's placement group."""
    options: dict[str, Any] = {"num_cpus": 0, "concurrency_groups": {"fetch": FETCHES, "draw": 1}}
    actor: Any = ray.remote(**options)(Reader)
    return actor.remote(job)
