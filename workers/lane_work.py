"""The work of a lane: claims documents from the ledger, keeps readers and replica busy, and commits.

There is no centre: the lane asks the ledger itself, so more lanes make nothing in the middle slower, and a
lane that dies leaves nothing but leases that run out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from pipeline import store
from pipeline.errors import LeaseLost, ReplicaLost, UsageError, VinbatchError
from pipeline.store import Job, Lease
from pipeline.trust import InForce
from workers.counting import DocumentCounts
from workers.document import Attempt, Lane
from workers.lane import LaneJob, LaneReport, SourceRefuses, peak_bytes
from workers.logs import Recorder, fields, handled
from workers.metrics import LaneMetrics
from workers.patience import Patience, StoreAway
from workers.reader import FETCHES, recipe
from workers.reader_handle import ReaderHandle, ReaderLost, ReaderPool
from workers.replica import Health
from workers.replica_handle import ReplicaHandle
from workers.sigterm import on_sigterm

_LOG = logging.getLogger(__name__)
_PAUSES = (0.05, 2.0)  # seconds between two looks at the ledger when nothing is due: first, longest
_HEALTH_SECONDS = 2.0
_COUNT_SECONDS = 30.0  # between two counts of the whole job
_COUNTS = "lane-0"  # which one of a run's lanes makes: of hundreds, the ledger would do little else
_GIVE_BACK_SHARE = 0.25  # of the grace time, kept for giving back what was not finished


class LaneWork:
    """What the lane's scheduler does. `work` is its life; the other methods may be called meanwhile.

    Its readers and its replica are its own: they die with it.
    """

    def __init__(self, name: str, job: LaneJob, replica: ReplicaHandle) -> None:
        self._name = name
        self._job = job
        self._replica = replica
        self._settings = job.settings.lane
        self._sizes = job.sizes
        self._report = LaneReport(name)
        self._report.activity.readers = self._sizes.readers
        self._recorder = Recorder()
        self._patience = Patience(self._patience_seconds)
        self._held: dict[int, tuple[Lease, asyncio.Task[None]]] = {}  # by document
        self._undrawn: set[int] = set()  # documents that are with the readers
        self._renewed_at = time.monotonic()  # when the store last lengthened the leases
        self._listed = False
        self._stopping = False
        self._changed = asyncio.Event()
        self._broken: BaseException | None = None
        self._phases: Mapping[str, float] = {}  # of the replica, when it was last asked
        self._server_trouble: str | None = None  # of a server in the replica's place

    async def work(self) -> LaneReport:
        """Until every document of the job is finished, by whomever, until `stop` or SIGTERM, or until the
        source refuses one document after the other.

        Raises UsageError when the model or the schema cannot be used here, LaneBroken when processes die as
        they start or the store stays away.
        """
        background: list[asyncio.Task[None]] = []
        with on_sigterm(self._sigterm_received), handled(self._recorder, self._job.settings.log):
            ask = self._patience.call_async
            self._store = await ask(store.open, self._job.store, create=False, proven=True)
            try:
                job = await ask(self._store.jobs.find, self._job.name)
                trust = await ask(self._store.calibrations.in_force, job)
                lane = await self._start(trust)
                self._report.state = "working"
                self._report.activity.start()
                _LOG.info("the lane is ready", extra=fields(readers=self._sizes.readers))
                background = [self._watched(self._renew()), self._watched(self._look_after(lane, job))]
                async for lease in self._leases(job):
                    self._hold(
                        lease, Attempt(lane, lease, partial(self._drawn, lease.document_id)).complete()
                    )
                if not self._held:
                    with contextlib.suppress(VinbatchError, TimeoutError):  # figures only
                        async with asyncio.timeout(_HEALTH_SECONDS):
                            self._note(lane, await lane.replica.health())
            except VinbatchError as error:
                self._broken = error
            finally:
                self._stop()
                await self._give_back()
                for task in background:
                    task.cancel()
                await asyncio.to_thread(self._store.close)
                self._report.state = "ended"
        if self._broken is not None:
            raise self._broken
        return await self.report()

    async def listed(self) -> None:
        """The listing is complete: when nothing is unfinished, the lane may end."""
        self._listed = True
        self._changed.set()

    async def stop(self) -> None:
        """Claim nothing more; finish or give back what is held within the grace time."""
        self._stop()

    async def report(self, after: int = 0) -> LaneReport:
        """As it is now, with what was logged after event number `after`."""
        self._report.activity.charge()
        trouble = self._patience.trouble or self._server_trouble
        return replace(self._report, trouble=trouble, events=self._recorder.after(after))

    def _sigterm_received(self) -> None:
        _LOG.info("SIGTERM came: the lane gives back what it cannot finish in time")
        self._report.sigterm_received = True
        self._stop()

    def _stop(self) -> None:
        self._stopping = True
        self._report.state = "stopping"
        self._changed.set()

    async def _start(self, trust: InForce | None) -> Lane:
        """Readers and replica start side by side; the recipe needs the loaded model."""
        replica = self._replica
        readers = [ReaderHandle(self._job, replica) for _ in range(self._sizes.readers)]
        facts = await replica.facts()
        if facts.checkpoint_hash != self._job.checkpoint:
            raise UsageError(
                f"the model {self._job.model!r} is not the same on every machine: lane {self._name} found "
                f"checkpoint {facts.checkpoint_hash[:12]}, the job has {self._job.checkpoint[:12]}"
            )
        rules = replace(await asyncio.to_thread(recipe, self._job, facts), trust=trust)
        for reader in readers:
            async with reader.alive():
                pass
        return Lane(
            rules, self._store, self._patience, ReaderPool(readers), replica, self._report, self._sizes
        )

    async def _leases(self, job: Job) -> AsyncIterator[Lease]:
        """Claim as the readers have use for it, until nothing is left or the lane stops."""
        pause = _PAUSES[0]
        while not self._stopping and self._broken is None:
            self._changed.clear()
            listed = self._listed  # before the look at the ledger: what comes in between is then seen
            wanted = self._wanted()
            with self._report.timed("claim"):
                leases = await self._claim(job, wanted)
            self._report.claims += len(leases)
            for lease in leases:
                yield lease
            if len(leases) == wanted:
                await self._change(None)
                continue
            with self._report.timed("claim"):
                due = await self._patience.call_async(self._store.ledger.next_due, job)
            if due is None and listed and not self._held:
                return
            pause = _PAUSES[0] if leases else min(2 * pause, _PAUSES[1])
            # When all is listed, what is left is with the model, or other lanes have it.
            with self._report.timed("documents") if not (listed and self._held) else nullcontext():
                await self._change(pause * random.uniform(0.8, 1.2))

    def _wanted(self) -> int:
        """How many documents the readers could take on: one is drawn while some are fetched."""
        if any(lease.suspect for lease, _ in self._held.values()):
            return 0  # a suspect is worked on alone
        most = self._sizes.readers * (1 + FETCHES)
        room = most - len(self._undrawn)
        return room if 2 * room >= most else 0  # several at a time: each claim costs the ledger the same

    async def _claim(self, job: Job, wanted: int) -> list[Lease]:
        return await self._patience.call_async(self._renew_and_claim, job, wanted) if wanted else []

    def _renew_and_claim(self, job: Job, wanted: int) -> list[Lease]:
        """After an outage that outlasted its leases, a lane would else take back its own documents."""
        seconds = self._settings.lease_seconds
        if time.monotonic() - self._renewed_at > seconds / 2:
            self._renew_held()
        return self._store.ledger.claim(job, self._name, wanted, seconds, suspects=not self._held)

    def _renew_held(self) -> list[Lease]:
        """Lengthen the leases from now; those that are lost."""
        leases = [lease for lease, _ in list(self._held.values())]
        lost = self._store.ledger.renew(leases, self._settings.lease_seconds)
        self._renewed_at = time.monotonic()
        return lost

    def _hold(self, lease: Lease, attempt: Coroutine[Any, Any, None]) -> None:
        """Have the attempt made, and the lease renewed meanwhile."""
        document = lease.document_id
        if lease.suspect:
            _LOG.warning(
                "a worker vanished with this document: it is read again, alone",
                extra=fields(document=lease.uri, losses=lease.losses),
            )
        self._undrawn.add(document)
        task = asyncio.create_task(attempt)
        self._held[document] = (lease, task)
        self._report.held = len(self._held)
        task.add_done_callback(partial(self._ended, document))

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

    def _watched(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, SourceRefuses):
            if not self._report.refused:
                _LOG.warning("the circuit breaker is open: %s", error.message)
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
            await self._patience.call_async(self._store.ledger.release, lease)
        self._held.pop(lease.document_id, None)
        self._report.held = len(self._held)

    async def _renew(self) -> None:
        """Lengthen the leases well before they end; drop the work whose lease is lost."""
        while True:
            await asyncio.sleep(self._settings.lease_seconds / 3)
            for lease in await self._patience.call_async(self._renew_held) if self._held else ():
                self._report.late += 1
                _LOG.warning(
                    "a lease is lost, and the work under it dropped", extra=fields(document=lease.uri)
                )
                if lease.document_id in self._held:
                    self._held[lease.document_id][1].cancel()

    async def _look_after(self, lane: Lane, job: Job) -> None:
        """Keep the report and the metrics up to date; a replica that stands still is replaced."""
        peaks, metrics = self._report.peak_bytes, LaneMetrics(self._job.name, self._name)
        counts = DocumentCounts(self._store, job, _COUNT_SECONDS)
        while True:
            peaks["scheduler"] = peak_bytes()
            self._report.replica_deaths = lane.replica.deaths
            self._report.reader_deaths = sum(reader.deaths for reader in lane.readers.readers)
            with contextlib.suppress(ReplicaLost, ReaderLost):  # whoever has work there sees to it
                self._note(lane, health := await lane.replica.health())
                peaks["replica"] = health.peak_bytes
                for number, reader in enumerate(lane.readers.readers):
                    peaks[f"reader {number}"] = await reader.peak_bytes()
            if self._name.endswith(_COUNTS) and (found := await asyncio.to_thread(counts.now)):
                self._report.unfinished = found["pending"] + found["leased"]
            metrics.publish(self._report)
            await asyncio.sleep(_HEALTH_SECONDS)

    def _note(self, lane: Lane, health: Health) -> None:
        """How the replica is, into the report. Its phases count from its start: those before it are kept."""
        report = self._report
        report.engine, report.start_seconds = health.engine, health.start_seconds
        report.batch_fill, report.kv_use = health.batch_fill, health.kv_use
        report.waiting = max(0, lane.pages.used - health.in_flight)
        report.activity.batch = health.batch
        for phase, seconds in health.phases.items():
            before = self._phases.get(phase, 0.0)
            more = seconds - before if seconds >= before else seconds
            report.phases[phase] = report.phases.get(phase, 0.0) + more
        self._phases, self._server_trouble = health.phases, health.trouble

    def _patience_seconds(self) -> float:
        """How long the store may be away."""
        return self._settings.grace_seconds / 2 if self._stopping else self._settings.patience_seconds
