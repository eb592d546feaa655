"""One lane: claims documents from the ledger, keeps its readers and its replica busy, and commits.

There is no centre: the lane asks the ledger itself, so more lanes make nothing in the middle slower, and a
lane that dies leaves nothing but leases that run out.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from pipeline import store
from pipeline.errors import LeaseLost, ReplicaLost, Transient, UsageError, VinbatchError
from pipeline.store import Job, Lease
from workers import notice
from workers.crew import ReaderLost, Readers, ReaderSeat, ReplicaSeat, start_reader, start_replica
from workers.document import Attempt, Lane
from workers.lane import LaneBroken, LaneJob, LaneReport, SourceRefuses, peak_bytes
from workers.reader import FETCHES, recipe

T = TypeVar("T")

_PAUSES = (0.05, 2.0)  # seconds between two looks at the ledger when nothing is due: first, longest
_HEALTH_SECONDS = 2.0
_GIVE_BACK_SHARE = 0.25  # of the grace time, kept for giving back what was not finished


class StoreAway(LaneBroken):
    """The store did not answer for longer than the lane may wait."""


class Scheduler:
    """The actor at the head of a lane. `work` is its life; the other methods may be called meanwhile.

    Its readers and its replica are its own: they die with it.
    """

    def __init__(self, name: str, job: LaneJob) -> None:
        self._name = name
        self._job = job
        self._settings = job.settings.lane
        self._report = LaneReport(name)
        self._held: dict[int, tuple[Lease, asyncio.Task[None]]] = {}  # by document
        self._undrawn: set[int] = set()  # documents that are with the readers
        self._waiting: dict[object, str] = {}  # calls that the store has not answered, and what it said
        self._listed = False
        self._stopping = False
        self._changed = asyncio.Event()
        self._broken: BaseException | None = None

    async def work(self) -> LaneReport:
        """Until every document of the job is finished, by whomever, until `stop` or SIGTERM, or until the
        source refuses one document after the other.

        Raises UsageError when the model or the schema cannot be used here, LaneBroken when processes die as
        they start or the store stays away.
        """
        with notice.heard(self._told_to_end):
            return await self._work()

    async def _work(self) -> LaneReport:
        self._store = await self._ledger(store.open, self._job.store, create=False, proven=True)
        self._ledger_job: Job = await self._ledger(self._store.jobs.find, self._job.name)
        chores: list[asyncio.Task[None]] = []
        try:
            lane = await self._start()
            self._report.state = "working"
            chores = [self._chore(self._renew()), self._chore(self._watch(lane))]
            await self._claim_all(lane)
        except VinbatchError as error:
            self._broken = error
        finally:
            self._stopping = True
            self._report.state = "stopping"
            await self._give_back()
            for chore in chores:
                chore.cancel()
            await asyncio.to_thread(self._store.close)
            self._report.state = "ended"
        if self._broken is not None:
            raise self._broken
        return self._report

    async def listed(self) -> None:
        """The listing is complete: when nothing is unfinished, the lane may end."""
        self._listed = True
        self._changed.set()

    async def stop(self) -> None:
        """Claim nothing more; finish or give back what is held within the grace time."""
        self._stop()

    def _told_to_end(self) -> None:
        self._report.told_to_end = True
        self._stop()

    def _stop(self) -> None:
        self._stopping = True
        self._report.state = "stopping"
        self._changed.set()

    async def report(self) -> LaneReport:
        return self._report

    async def _start(self) -> Lane:
        """Readers and replica start side by side; the recipe needs the loaded model."""
        replica = ReplicaSeat(lambda: start_replica(self._job), self._settings.stall_seconds)
        seats = [
            ReaderSeat(lambda: start_reader(self._job), replica, self._settings.stall_seconds)
            for _ in range(self._settings.readers)
        ]
        facts = await replica.facts()
        if facts.checkpoint_hash != self._job.checkpoint:
            raise UsageError(
                f"the model {self._job.model!r} is not the same on every machine: lane {self._name} found "
                f"checkpoint {facts.checkpoint_hash[:12]}, the job has {self._job.checkpoint[:12]}"
            )
        rules = await asyncio.to_thread(recipe, self._job, facts)
        for seat in seats:
            await seat.ready()
        return Lane(rules, self._store, self._ledger, Readers(seats), replica, self._report)

    async def _claim_all(self, lane: Lane) -> None:
        """Claim as the readers have use for it, until nothing is left or the lane stops."""
        pause = _PAUSES[0]
        while not self._stopping and self._broken is None:
            self._changed.clear()
            listed = self._listed  # before the look at the ledger: what comes in between is then seen
            wanted = self._wanted()
            leases = await self._claim(wanted)
            for lease in leases:
                self._begin(lane, lease)
            if len(leases) == wanted:
                await self._change(None)
                continue
            due = await self._ledger(self._store.ledger.next_due, self._ledger_job)
            if due is None and listed and not self._held:
                return
            pause = _PAUSES[0] if leases else min(2 * pause, _PAUSES[1])
            await self._change(pause * random.uniform(0.8, 1.2))

    def _wanted(self) -> int:
        """How many documents the readers could take on: one is drawn while some are fetched."""
        if any(lease.suspect for lease, _ in self._held.values()):
            return 0  # a suspect is worked on alone
        return max(0, self._settings.readers * (1 + FETCHES) - len(self._undrawn))

    async def _claim(self, wanted: int) -> list[Lease]:
        if not wanted:
            return []
        leases: list[Lease] = await self._ledger(
            self._store.ledger.claim,
            self._ledger_job,
            self._name,
            wanted,
            self._settings.lease_seconds,
            suspects=not self._held,
        )
        return leases

    def _begin(self, lane: Lane, lease: Lease) -> None:
        document = lease.document_id
        self._undrawn.add(document)
        task = asyncio.create_task(Attempt(lane, lease, lambda: self._drawn(document)).complete())
        self._held[document] = (lease, task)
        self._report.held = len(self._held)
        task.add_done_callback(lambda task: self._ended(document, task))

    def _drawn(self, document: int) -> None:
        self._undrawn.discard(document)
        self._changed.set()

    def _ended(self, document: int, task: asyncio.Task[None]) -> None:
        self._drawn(document)
        failed = not task.cancelled() and task.exception() is not None  # then it is still to be given back
        if self._held[document][1] is task and not failed:  # another, when it was lost and is claimed again
            del self._held[document]
            self._report.held = len(self._held)
        self._note_end(task)

    def _chore(self, chore: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(chore)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, SourceRefuses):
            self._report.refused = self._report.refused or error.message
            self._stopping = True
        elif error is not None:
            self._broken = self._broken or error
        self._changed.set()

    async def _change(self, seconds: float | None) -> None:
        """Until something happens to the lane, or some time has passed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    async def _give_back(self) -> None:
        """What is with the model has the grace time to be finished; all else goes back at once."""
        if self._broken is None:
            await self._release(self._undrawn)
            if self._held:
                tasks = [task for _, task in self._held.values()]
                await asyncio.wait(tasks, timeout=self._settings.grace_seconds * (1 - _GIVE_BACK_SHARE))
        await self._release(self._held)

    async def _release(self, documents: Iterable[int]) -> None:
        given = [self._held[document] for document in documents if document in self._held]
        for _, task in given:
            task.cancel()
        if given:
            await asyncio.wait([task for _, task in given])
        await asyncio.gather(*(self._release_one(lease) for lease, _ in given))

    async def _release_one(self, lease: Lease) -> None:
        # Where the store is away, the lease runs out by itself.
        with contextlib.suppress(LeaseLost, StoreAway):
            await self._ledger(self._store.ledger.release, lease)
        self._held.pop(lease.document_id, None)
        self._report.held = len(self._held)

    async def _renew(self) -> None:
        """Lengthen the leases well before they end; drop the work whose lease is lost."""
        while True:
            await asyncio.sleep(self._settings.lease_seconds / 3)
            leases = [lease for lease, _ in self._held.values()]
            lost = (
                await self._ledger(self._store.ledger.renew, leases, self._settings.lease_seconds)
                if leases
                else []
            )
            for lease in lost:
                self._report.late += 1
                if lease.document_id in self._held:
                    self._held[lease.document_id][1].cancel()

    async def _watch(self, lane: Lane) -> None:
        """Keep the report up to date; a replica that stands still is replaced."""
        peaks = self._report.peak_bytes
        while True:
            peaks["scheduler"] = peak_bytes()
            self._report.replica_deaths = lane.replica.deaths
            self._report.reader_deaths = sum(seat.deaths for seat in lane.readers.seats)
            with contextlib.suppress(ReplicaLost, ReaderLost):  # whoever has work there sees to it
                health = await lane.replica.health()
                peaks["replica"] = health.peak_bytes
                self._report.engine, self._report.start_seconds = health.engine, health.start_seconds
                for number, seat in enumerate(lane.readers.seats):
                    peaks[f"reader {number}"] = await seat.peak_bytes()
            await asyncio.sleep(_HEALTH_SECONDS)

    def _patience(self) -> float:
        """Seconds that the store may be away."""
        return self._settings.grace_seconds / 2 if self._stopping else self._settings.patience_seconds

    async def _ledger(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Call the store in a thread; while it is away, wait and try again. Its calls may be repeated."""
        since, pause, this = time.monotonic(), _PAUSES[0], object()
        try:
            while True:
                try:
                    return await asyncio.to_thread(call, *arguments, **named)
                except Transient as error:
                    if time.monotonic() - since > (limit := self._patience()):
                        raise StoreAway(
                            f"the store did not answer for {limit:g} s: {error.message}"
                        ) from error
                    self._report.trouble = self._waiting[this] = error.message
                await asyncio.sleep(pause)
                pause = min(2 * pause, _PAUSES[1])
        finally:
            self._waiting.pop(this, None)
            self._report.trouble = next(iter(self._waiting.values()), None)
