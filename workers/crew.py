"""The processes of a lane as its scheduler sees them: readers and a replica, replaced when they die.

Ray's errors end in this file: above it, a process that died is `ReplicaLost` or `ReaderLost`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import (
    ActorUnschedulableError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
)

from pipeline.errors import Reason, ReplicaLost, Transient, VinbatchError
from pipeline.keys import ModelFacts
from pipeline.records import Failure, Generation
from workers.lane import LaneBroken, LaneJob
from workers.reader import FETCHES, DrawnPage, Fetched, Reader, TooLarge
from workers.replica import Health, Replica

Actor = Any  # a Ray actor handle; its methods are made at run time
Ref = Any  # a Ray object reference
Start = Callable[[], Actor]

_STARTS = 3  # of one process, before its lane gives up


class ReaderLost(Transient):
    """The reader that had the document is gone."""


class CannotStart(LaneBroken):
    """A process of the lane dies whenever it is started."""


class Seat:
    """A place for one actor, which is replaced when it dies."""

    def __init__(self, what: str, start: Start, lost: type[Transient], stall_seconds: float) -> None:
        self._what = what
        self._start = start
        self._lost = lost
        self._stall_seconds = stall_seconds
        self._actor: Actor = start()  # it starts while the others do
        self._loaded: Actor | None = None
        self._loading = asyncio.Lock()
        self.deaths = 0

    async def load(self, actor: Actor) -> None:
        """Make a new actor ready. Raises UsageError when it never can be."""
        raise NotImplementedError

    async def ready(self) -> Actor:
        """The living, loaded actor. Raises what `load` raises, and CannotStart."""
        async with self._loading:
            why = ""
            for _ in range(_STARTS):
                actor = self._actor
                if self._loaded is actor:
                    return actor
                try:
                    with self._translated(actor):
                        await self.load(actor)
                except Transient as error:
                    why = error.message
                else:
                    self._loaded = actor
                    return actor
            raise CannotStart(f"the {self._what} could not be started {_STARTS} times: {why}")

    async def call(self, method: str, *arguments: Any, limit: float | None = None) -> tuple[Any, list[Ref]]:
        """The method's first result, and its others as references.

        Raises what the method raises, or the `lost` error when the actor dies or takes over `limit` seconds.
        """
        actor = await self.ready()
        with self._translated(actor):
            returned = getattr(actor, method).remote(*arguments)
            first, *others = returned if isinstance(returned, list) else [returned]
            try:
                return await asyncio.wait_for(first, limit), others
            except TimeoutError:
                self.replace(actor)
                message = f"the {self._what} did not answer for {limit:g} s"
                raise self._lost(Reason.worker_lost, message) from None

    def replace(self, actor: Actor) -> None:
        """Put another actor in this one's place, unless that was done already."""
        if self._actor is actor:
            self.deaths += 1
            with contextlib.suppress(RayError):
                ray.kill(actor)
            self._actor = self._start()

    @contextlib.contextmanager
    def _translated(self, actor: Actor) -> Iterator[None]:
        """Ray's errors as ours. A dead actor is replaced."""
        try:
            yield
        except RayTaskError as error:
            if isinstance(error.cause, self._lost):  # it says of itself that it is broken
                self.replace(actor)
            if isinstance(error.cause, ObjectLostError):
                raise self._lost(
                    Reason.worker_lost, f"what the {self._what} was to work on is gone"
                ) from error
            if isinstance(error.cause, VinbatchError):
                raise error.cause from error
            raise
        except ObjectLostError as error:
            raise self._lost(Reason.worker_lost, f"what the {self._what} had made is gone") from error
        except OutOfMemoryError as error:
            self.replace(actor)
            raise self._lost(
                Reason.out_of_memory, f"the {self._what} was killed for want of memory"
            ) from error
        except (RayActorError, ActorUnschedulableError) as error:
            self.replace(actor)
            raise self._lost(Reason.worker_lost, f"the {self._what} died") from error


class ReplicaSeat(Seat):
    """The lane's model."""

    def __init__(self, start: Start, stall_seconds: float) -> None:
        super().__init__("replica", start, ReplicaLost, stall_seconds)
        self._facts: ModelFacts | None = None

    async def load(self, actor: Actor) -> None:
        await actor.outlive_notice.remote()
        facts = await actor.load.remote()
        if self._facts is not None and facts != self._facts:  # the lane's keys are for the one before
            raise LaneBroken(f"the replica came back as another: {facts.numerics}")
        self._facts = facts

    async def facts(self) -> ModelFacts:
        """Of the model, once it is loaded."""
        await self.ready()
        if self._facts is None:
            raise RuntimeError("the replica is loaded and gave no facts")
        return self._facts

    async def generate(self, request: Ref) -> Generation:
        """One page's answer, however long the queue. Raises ReplicaLost."""
        answer: Generation = (await self.call("generate", request))[0]
        return answer

    async def health(self) -> Health:
        """Also replaces a replica whose engine stands still."""
        actor = await self.ready()
        answer: Health = (await self.call("health", limit=self._stall_seconds))[0]
        if answer.still_seconds > self._stall_seconds:
            self.replace(actor)
        return answer


class ReaderSeat(Seat):
    """One reader. The methods are those of `workers.reader.Reader`, and raise ReaderLost when it dies."""

    def __init__(self, start: Start, replica: ReplicaSeat, stall_seconds: float) -> None:
        super().__init__("reader", start, ReaderLost, stall_seconds)
        self._replica = replica

    async def load(self, actor: Actor) -> None:
        await actor.outlive_notice.remote()
        await actor.load.remote(await self._replica.facts())

    async def fetch(self, uri: str, etag: str | None, most: int) -> Fetched | TooLarge:
        """The document with its bytes by reference, or how many bytes it has when those are over `most`."""
        answer, [document] = await self.call("fetch", uri, etag, most, limit=self._stall_seconds)
        found: Fetched | TooLarge = answer
        return replace(found, document=document) if isinstance(found, Fetched) else found

    async def count(self, fetched: Fetched) -> int:
        pages: int = (await self.call("count", fetched, limit=self._stall_seconds))[0]
        return pages

    async def draw(self, fetched: Fetched, page: int, request_id: str) -> tuple[DrawnPage | Failure, Ref]:
        drawn, [request] = await self.call("draw", fetched, page, request_id, limit=self._stall_seconds)
        return drawn, request

    async def peak_bytes(self) -> int:
        peak: int = (await self.call("peak_bytes", limit=self._stall_seconds))[0]
        return peak


class Readers:
    """The lane's readers: one document at a time has a reader to itself, which then keeps it open between its
    pages; downloads go round.
    """

    def __init__(self, seats: Sequence[ReaderSeat]) -> None:
        self.seats = tuple(seats)
        self._free: asyncio.Queue[ReaderSeat] = asyncio.Queue()
        for seat in seats:
            self._free.put_nowait(seat)
        self._round = itertools.cycle(seats)

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[ReaderSeat]:
        """A reader for one document alone."""
        seat = await self._free.get()
        try:
            yield seat
        finally:
            self._free.put_nowait(seat)

    async def fetch(self, uri: str, etag: str | None, most: int) -> Fetched | TooLarge:
        return await next(self._round).fetch(uri, etag, most)


def start_replica(job: LaneJob) -> Actor:
    """In the caller's placement group, which has reserved the CPUs for all of the lane."""
    concurrency = (
        job.settings.lane.pages_in_flight + 16
    )  # all pages of the lane, and questions after its health
    options: dict[str, Any] = {"num_cpus": 0, "num_gpus": job.gpus, "max_concurrency": concurrency}
    actor: Any = ray.remote(**options)(Replica)
    return actor.remote(job.model, job.settings.engine)


def start_reader(job: LaneJob) -> Actor:
    options: dict[str, Any] = {"num_cpus": 0, "concurrency_groups": {"fetch": FETCHES, "draw": 1}}
    actor: Any = ray.remote(**options)(Reader)
    return actor.remote(job)
