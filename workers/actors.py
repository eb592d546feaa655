"""The actors of a lane as its scheduler calls them: one replica and its readers, each kept alive."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import ray

from pipeline.errors import ReplicaLost, Transient
from pipeline.keys import ModelFacts
from pipeline.records import Failure, Generation, PageRecord
from workers.lane import LaneBroken, LaneJob
from workers.reader import FETCHES, DrawnPage, Fetched, Reader, TooLarge
from workers.replica import Health, Replica
from workers.supervisor import Actor, Ref, Supervisor

_STARTS = 3  # of one process that dies before it is ready, until its lane gives up


class ReaderLost(Transient):
    """The reader that had the document is gone."""


class ReplicaHandle(Supervisor):
    """The lane's model. The methods raise ReplicaLost when it dies."""

    def __init__(self, job: LaneJob) -> None:
        super().__init__("replica", lambda: start_replica(job), ReplicaLost, _STARTS)
        self._stall_seconds = job.settings.lane.stall_seconds
        self._facts: ModelFacts | None = None

    async def prepare(self, actor: Actor) -> None:
        await actor.ignore_sigterm.remote()
        facts = await actor.load.remote()
        if self._facts is not None and facts != self._facts:  # the lane's keys are for the one before
            raise LaneBroken(f"the replica came back as another: {facts.numerics}")
        self._facts = facts
        self.progressed()

    async def facts(self) -> ModelFacts:
        """Of the model, once it is loaded."""
        async with self.alive():
            if self._facts is None:
                raise RuntimeError("the replica is loaded and gave no facts")
            return self._facts

    async def generate(self, request: Ref) -> Generation:
        """One page's answer, however long the queue."""
        async with self.alive() as replica:
            answer: Generation = await replica.generate.remote(request)
            return answer

    async def health(self) -> Health:
        """Also replaces a replica whose engine stands still."""
        async with self.alive(self._stall_seconds) as replica:
            health: Health = await replica.health.remote()
            if health.still_seconds > self._stall_seconds:
                self.replace(replica, f"its engine has stood still for {health.still_seconds:.0f} s")
            return health


class ReaderHandle(Supervisor):
    """One reader. The methods are those of `workers.reader.Reader`, and raise ReaderLost when it dies."""

    def __init__(self, job: LaneJob, replica: ReplicaHandle) -> None:
        super().__init__("reader", lambda: start_reader(job), ReaderLost, _STARTS)
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

    async def count(self, fetched: Fetched) -> int:
        async with self.alive(self._stall_seconds) as reader:
            pages: int = await reader.count.remote(fetched)
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


def start_replica(job: LaneJob) -> Actor:
    """In the caller's placement group, which has reserved the CPUs for all of the lane."""
    # All pages of the lane, and questions after its health.
    concurrency = job.settings.lane.pages_in_flight + 16
    options: dict[str, Any] = {"num_cpus": 0, "num_gpus": job.gpus, "max_concurrency": concurrency}
    actor: Any = ray.remote(**options)(Replica)
    return actor.remote(job.model, job.settings.engine, job.schema)


def start_reader(job: LaneJob) -> Actor:
    """In the caller's placement group."""
    options: dict[str, Any] = {"num_cpus": 0, "concurrency_groups": {"fetch": FETCHES, "draw": 1}}
    actor: Any = ray.remote(**options)(Reader)
    return actor.remote(job)
