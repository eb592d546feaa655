"""A run of a job: list the sources into the ledger while lanes work, until the ledger balances.

The driver holds nothing that matters: when it dies, the ledger knows what is done, and the same command
goes on.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import keys, store
from pipeline.errors import Transient, UsageError
from pipeline.settings import Settings
from pipeline.store import Balance, Job, Store
from pipeline.store.url import parse
from pipeline.vintern import checkpoint as checkpoints  # brings no torch
from schemas import registry
from schemas.registry import SchemaSpec
from workers import cluster
from workers.lane import LaneJob, LaneReport
from workers.listing import Lister, Listing, patiently
from workers.progress import Progress

if TYPE_CHECKING:
    from workers.fleet import Fleet

_HEAD_START = 1.0  # seconds that a listing has before lanes are started for it
_TICK = 0.5  # seconds between two looks at the lanes
_COUNT_SHARE = 0.05  # of the time may go into counting the documents in the ledger


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a person asked for."""

    sources: tuple[str, ...]
    schema: str
    model: str
    settings: Settings
    name: str | None = None  # None: derived from the three above
    replicas: int | None = None
    gpus_per_replica: float | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. The balance is of the whole job, whoever worked on it."""

    job: str
    balance: Balance
    interrupted: bool
    last: Progress
    listing_failed: str | None = None  # why documents may be missing from the job
    refused: str | None = None  # why lanes stopped before the end

    @property
    def all_done(self) -> bool:
        bad = self.balance.quarantined + self.balance.partial + self.balance.unfinished
        return not bad and self.listing_failed is None


def run(
    request: JobRequest,
    show: Callable[[Progress], None],
    tell: Callable[[str], None],
    stop: threading.Event,
) -> Outcome:
    """Work until every document of the job is finished, or until `stop` is set.

    `tell` hears lines for a person, beside the progress that is shown.

    Raises UsageError before anything is started where that can be known, LaneBroken when no lane can work,
    and Unbalanced when the ledger's books do not add up at the end.
    """
    started = time.monotonic()
    schema = _spec(request.schema)
    listings = [Listing(source, request.settings.source) for source in request.sources]
    checkpoints.check(request.model)
    with store.open(request.settings.store) as ledger:
        name = request.name or default_name(request)
        request, checkpoint = _pinned(request, ledger, name)
        job = ledger.jobs.ensure(
            name,
            schema,
            sources=request.sources,
            settings=keys.involved(request.settings),
            model=request.model,
            checkpoint=checkpoint,
        )
        with Lister(ledger, job, listings, request.settings.lane.patience_seconds, stop) as lister:
            driver = _Driver(ledger, job, lister, show, started)
            if not driver.nothing_to_do(_HEAD_START):
                _work(request, ledger, job, driver, tell, stop)
            return driver.outcome(interrupted=stop.is_set())


def _work(
    request: JobRequest,
    ledger: Store,
    job: Job,
    driver: _Driver,
    tell: Callable[[str], None],
    stop: threading.Event,
) -> None:
    """Have lanes, until they end."""
    from workers.fleet import Fleet  # with Ray, which a run that finds everything done need not wait for

    lane = request.settings.lane
    with cluster.joined(request.address, request.replicas or 1, lane, tell) as check:
        machines = cluster.nodes()
        if ledger.one_machine and len({machine.address for machine in machines}) > 1:
            raise UsageError(
                f"the store {ledger.url} is a file on one machine, the cluster has {len(machines)} machines; "
                "give --store postgresql://… instead"
            )
        plan = cluster.plan(machines, lane.readers, request.replicas, request.gpus_per_replica)
        with Fleet(_lane_job(request, job, plan), plan, check) as fleet:
            driver.drive(fleet, stop)


def _pinned(request: JobRequest, ledger: Store, name: str) -> tuple[JobRequest, str]:
    """The request with the one revision of its model that every lane and every later run of this job uses,
    and the hash of that checkpoint.
    """
    earlier = next((job.model for job in ledger.jobs.all() if job.name == name), None)
    model = checkpoints.begun_with(request.model, earlier)
    directory = checkpoints.locate(model)
    return replace(request, model=checkpoints.pinned(model, directory)), checkpoints.digest(directory)


def default_name(request: JobRequest) -> str:
    """The same for the same sources, schema and model, so that the same command resumes."""
    places = sorted(_absolute(source) for source in request.sources)
    said = "\n".join([*places, _absolute_schema(request.schema), _absolute(request.model)])
    stem = re.sub(r"[^A-Za-z0-9]+", "-", request.schema.rpartition(":")[2]).strip("-").lower()
    return f"{stem}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"


class _Driver:
    """The driver's side of a run: watch the lanes, count the ledger, show it."""

    def __init__(
        self, ledger: Store, job: Job, lister: Lister, show: Callable[[Progress], None], started: float
    ) -> None:
        self._ledger = ledger
        self._job = job
        self._lister = lister
        self._show = show
        self._started = started
        self._counts: dict[str, int] = {}
        self._count_at = 0.0
        self._reports: tuple[LaneReport, ...] = ()
        self._replaced = 0

    def nothing_to_do(self, seconds: float) -> bool:
        """Whether the listing is complete within this time and everything in it is finished already."""
        self._lister.join(seconds)
        if self._lister.is_alive():
            return False
        self._lister.finish()
        counts = patiently(self._ledger.books.counts, self._job, seconds=self._lister.patience)
        return not counts["pending"] and not counts["leased"]

    def drive(self, fleet: Fleet, stop: threading.Event) -> None:
        """To the end of all lanes."""
        phase, told = "starting", False
        while fleet.working:
            fleet.watch(_TICK)
            if not self._lister.is_alive() and not told:
                self._lister.finish()
                fleet.listed()
                told = True
            if stop.is_set() and phase != "stopping":
                phase = "stopping"
                fleet.stop()
            elif phase == "starting" and any(report.state == "working" for report in fleet.reports()):
                phase = "working"
            self._reports, self._replaced = tuple(fleet.reports()), fleet.replaced
            self._show(self._progress(phase))

    def outcome(self, *, interrupted: bool) -> Outcome:
        self._lister.join()
        self._lister.finish()
        self._count_at = 0.0
        last = self._progress("ended")
        self._show(last)
        balance = patiently(self._ledger.books.verify, self._job, seconds=self._lister.patience)
        unfinished = bool(balance.unfinished) or self._lister.cut_short
        refused = next((report.refused for report in self._reports if report.refused), None)
        return Outcome(
            self._job.name, balance, interrupted and unfinished, last, self._lister.failed, refused
        )

    def _progress(self, phase: str) -> Progress:
        now = time.monotonic()
        if now >= self._count_at:
            with suppress(Transient):  # a busy store: the figures stay as they are
                self._counts = self._ledger.books.counts(self._job)
            took = time.monotonic() - now
            self._count_at = now + max(_TICK, took / _COUNT_SHARE)
        return Progress(
            job=self._job.name,
            phase=phase,
            seconds=now - self._started,
            listing=self._lister.is_alive(),
            documents=dict(self._counts),
            reports=self._reports,
            lanes_replaced=self._replaced,
        )


def _spec(name: str) -> SchemaSpec:
    try:
        return registry.resolve(name)
    except registry.SchemaError as error:
        raise UsageError(str(error)) from error


def _lane_job(request: JobRequest, job: Job, plan: cluster.LanePlan) -> LaneJob:
    engine = request.settings.engine
    if engine.threads is None:
        engine = engine.model_copy(update={"threads": plan.threads})
    return LaneJob(
        name=job.name,
        store=parse(request.settings.store).render_as_string(hide_password=False),
        schema=_absolute_schema(request.schema),
        model=_absolute(request.model),
        checkpoint=job.checkpoint,
        gpus=plan.gpus,
        settings=request.settings.model_copy(update={"engine": engine}),
    )


def _absolute(path: str) -> str:
    """An existing path made absolute, because a lane's processes have a working directory of their own."""
    return str(Path(path).absolute()) if Path(path).exists() else path


def _absolute_schema(schema: str) -> str:
    path, colon, model = schema.rpartition(":")
    return f"{_absolute(path)}:{model}" if colon else schema
