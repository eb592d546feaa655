"""A run of a job: list the sources into the ledger while lanes work, until the ledger balances.

The driver holds nothing that matters: when it dies, the ledger knows what is done, and the same command
goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import keys, second_reader, sources
from pipeline import store as stores
from pipeline.errors import UsageError
from pipeline.recipe import Recipe
from pipeline.settings import Settings
from pipeline.store import Balance, Job, Shadow, Store
from pipeline.store.url import parse
from pipeline.trust import packaged, words
from schemas.registry import SchemaSpec
from schemas.tasks import is_asked
from schemas.text import unaccented
from workers import cluster, job_model, served
from workers.counting import DocumentCounts
from workers.direct import Direct, earlier_recipes
from workers.ingest import ChosenListing, Ingest, Listing, SourceListing
from workers.job_model import JobModel
from workers.lane import LaneJob, LaneReport, schema_of
from workers.logs import fields
from workers.patience import Patience, until
from workers.progress import Progress, Reporter
from workers.sharing import Presence, driver_name

if TYPE_CHECKING:
    from workers.lanes import Lanes

_LOG = logging.getLogger(__name__)
_HEAD_START = 1.0  # seconds that a listing has before lanes are started for it
_STEM = 60  # characters of a derived name before its hash: a question may be long
_TICK = 0.5  # seconds between two looks at the lanes


@dataclass(frozen=True, slots=True)
class Shadowed:
    """The job whose documents a candidate reads too, by its name, and the share of them, 0 to 1."""

    job: str
    share: float


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
    limit: int | None = None  # documents that are listed; None: all
    any_schema: bool = False  # also one that the model does not say it reads
    shadow_of: Shadowed | None = None  # it reads documents of another job


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. The balance is of the whole job, whoever worked on it."""

    job: str
    balance: Balance
    interrupted: bool
    last: Progress
    listing_failed: str | None = None  # why documents may be missing from the job
    refused: str | None = None  # why lanes stopped before the end
    left_out: int = 0  # files of the sources that are no documents by their names, or not wanted
    trust: str = ""  # what the job's scores are worth, one sentence
    cancelled: bool = False  # `vinbatch cancel` ended it before the end

    @property
    def all_done(self) -> bool:
        bad = self.balance.quarantined + self.balance.partial + self.balance.unfinished
        return not bad and self.listing_failed is None


async def run_job(request: JobRequest, reporter: Reporter, stop: threading.Event) -> Outcome:
    """Work until every document of the job is finished, or until `stop` is set.

    Raises UsageError before anything is started where that can be known, LaneBroken when no lane can work,
    and Unbalanced when the ledger's books do not add up at the end.
    """
    with _prepared(request, reporter, stop) as driver:
        if not driver.nothing_to_do(_HEAD_START) and not await driver.read_directly(stop):
            with _lanes(driver, reporter) as lanes:
                await driver.drive(lanes, stop)
        return driver.outcome(interrupted=stop.is_set())


@contextmanager
def _prepared(request: JobRequest, reporter: Reporter, stop: threading.Event) -> Iterator[_Driver]:
    """The job is in the store, and its sources are being listed."""
    started = time.monotonic()
    schema = schema_of(request.schema, request.settings.law)
    listings: list[Listing] = []
    if request.shadow_of is None:
        for source, *others in sources.together(request.sources):
            listings.append(SourceListing(source, request.settings.source, *others))
    request = served.followed(request)
    job_model.check(request.model, request.settings)
    if request.address is None:  # else pages are read on other machines, whose readers look for themselves
        second_reader.check(request.settings.second_reader)
    patience = request.settings.lane.patience_seconds
    ask = Patience(until(stop, patience), interrupt=stop).call
    with ask(stores.open, request.settings.store) as store:
        name = request.name or default_name(request)
        begun = next((job for job in ask(store.jobs.all) if job.name == name), None)
        model = ask(
            job_model.found,
            request.model,
            request.settings,
            schema,
            None if begun is None else begun.model,
            any_schema=request.any_schema,
        )
        request = replace(request, model=model.name)
        served.greet(request, schema, reporter.print_line, stop, only_say=begun is not None)
        shadow = None
        if request.shadow_of is not None:
            first, share = ask(store.jobs.find, request.shadow_of.job), request.shadow_of.share
            shadow = Shadow(first.id, share)
            listings.append(ChosenListing(store, first, share))
        job = ask(
            store.jobs.ensure,
            name,
            schema,
            sources=request.sources,
            settings=keys.involved(request.settings),
            model=request.model,
            checkpoint=model.checkpoint,
            shadow=shadow,
        )
        ask(store.prepare_for, job)
        if model.directory is not None:
            _trust_packaged(store, job, model.directory, request.settings.accept_at)
        _LOG.info("the run begins", extra=fields(job=name, model=request.model, store=store.url))
        with (
            Presence(store, job, request.settings.share, stop, patience) as presence,
            Ingest(store, job, listings, patience, stop, request.limit) as ingest,
        ):
            if presence.resumed:
                reporter.print_line(f"job {name} was cancelled; it is taken up again")
            yield _Driver(request, store, job, schema, model, ingest, presence, reporter, started)


@contextmanager
def _lanes(driver: _Driver, reporter: Reporter) -> Iterator[Lanes]:
    """The lanes of the job, none at work yet."""
    request = driver.request
    lane = request.settings.lane
    held = cluster.bytes_of_lanes(request.replicas or 1, lane)
    with cluster.joined(request.address, held, reporter.print_line) as check:
        from workers.lanes import Lanes, Wanted  # with Ray, which has started meanwhile where it is our own

        machines = cluster.nodes()
        grows = cluster.is_joined(request.address) and (
            cluster.grows(machines) or lane.machine_seconds is not None
        )
        _reached(driver.store, machines, grows=cluster.grows(machines))

        def fit(now: Sequence[cluster.Node]) -> cluster.LanePlan:
            _reached(driver.store, now)
            return cluster.plan(now, lane, request.replicas, request.gpus_per_replica, grows=grows)

        if not grows:
            suited = cluster.suited(machines, lane.label_selector)
            cluster.must_hold(suited, fit(suited))
        yield Lanes(Wanted(fit, partial(_lane_job, request, driver.job), lane, grows), driver.presence, check)


def _reached(store: Store, machines: Sequence[cluster.Node], *, grows: bool = False) -> None:
    """Raises UsageError where machines have no way to the store."""
    number = len({machine.address for machine in machines})
    if store.one_machine and (number > 1 or grows):
        raise UsageError(
            f"the store {store.url} is a file on one machine, the cluster "
            f"{'may have several' if number < 2 else f'has {number} machines'}; "
            "give --store postgresql://… instead"
        )


def _trust_packaged(store: Store, job: Job, directory: Path, accept_at: float) -> None:
    """Put the calibration that lies beside the weights in force, where the store has none."""
    if store.calibrations.in_force(job) is not None:
        return
    found = packaged.in_force(directory, job.schema, job.checkpoint, accept_at)
    if found is not None:
        store.calibrations.add_where_none(found.calibration, found.promise, "packaged with the model")


def default_name(request: JobRequest) -> str:
    """The same for the same sources, schema and model, so that the same command resumes."""
    places = sorted(absolute(source) for source in request.sources)
    identity = "\n".join([*places, _absolute_schema(request.schema), *_named(request)])
    named = request.schema if is_asked(request.schema) else request.schema.rpartition(":")[2]
    stem = re.sub(r"[^A-Za-z0-9]+", "-", unaccented(named)).strip("-").lower()
    return f"{stem[:_STEM].strip('-')}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def _named(request: JobRequest) -> list[str]:
    """The model; with the server that has it, if it is not here."""
    url = request.settings.server.url
    return [absolute(request.model)] if url is None else [request.model, url]


class _Driver:
    """The driver's side of a run: watch the lanes, count the ledger, show it."""

    def __init__(
        self,
        request: JobRequest,
        store: Store,
        job: Job,
        schema: SchemaSpec,
        model: JobModel,
        ingest: Ingest,
        presence: Presence,
        reporter: Reporter,
        started: float,
    ) -> None:
        self.request = request
        self.store = store
        self.job = job
        self.presence = presence
        self._schema = schema
        self._model = model
        self._ingest = ingest
        self._reporter = reporter
        self._started = started
        self._patience = Patience(lambda: request.settings.lane.patience_seconds, job=job.name)
        self._counts = DocumentCounts(store, job, _TICK)
        self._reports: tuple[LaneReport, ...] = ()
        self._direct: tuple[LaneReport, ...] = ()  # of what needed no lane
        self._replaced = 0
        self._lanes_seconds = 0.0
        self._waiting: str | None = None

    def nothing_to_do(self, seconds: float) -> bool:
        """Whether the listing is complete within this time and everything in it is finished already."""
        if not self._ingest.complete(seconds):
            return False
        counts = self._patience.call(self.store.books.counts, self.job)
        return not counts["pending"] and not counts["leased"]

    async def read_directly(self, stop: threading.Event) -> bool:
        """Read what needs no model in this process; whether nothing is left then, or the run is to end."""
        trust = self._patience.call(self.store.calibrations.in_force, self.job)
        recipe = replace(
            Recipe.of(self._schema, self.request.settings, None), trust=trust, sources=self.request.sources
        )
        earlier = self._patience.call(
            earlier_recipes, self.store, self.job, self._schema, recipe, self._model.earlier
        )
        direct = Direct(self.store, self.job, recipe, driver_name(), self._ingest.complete, stop, earlier)
        work = asyncio.create_task(asyncio.to_thread(direct.work))
        while not (await asyncio.wait([work], timeout=_TICK))[0]:
            self._reports = (direct.report,)
            self._reporter.show(self._progress("stopping" if stop.is_set() else "working"))
        self._direct = (direct.report,) if direct.report.documents else ()
        self._reports = self._direct
        return work.result()

    async def drive(self, lanes: Lanes, stop: threading.Event) -> None:
        """Have lanes at work, as many as can be, to the end of all."""
        phase, listed = "starting", False
        try:
            await lanes.introduce()
            while not lanes.over:
                await lanes.tend(self._unfinished() if listed else None, _TICK)
                if not listed and self._ingest.complete():
                    lanes.listed()
                    listed = True
                if stop.is_set() and phase != "stopping":
                    phase = "stopping"
                    lanes.stop()
                elif phase == "starting" and lanes.working:
                    phase = "working"
                self._reports, self._replaced = (*self._direct, *lanes.reports()), lanes.replaced
                self._lanes_seconds = time.monotonic() - self._started
                self._waiting = lanes.waiting
                self._reporter.show(self._progress(phase))
                if listed and not lanes.working and self._nothing_left():
                    break  # others have done it
        finally:
            self._waiting = None
            await lanes.abandon()

    def _unfinished(self) -> int | None:
        """Documents that are left, as last counted; None before the first count."""
        counts = self._counts.now()
        return counts["pending"] + counts["leased"] if counts else None

    def _nothing_left(self) -> bool:
        if self._unfinished():
            return False
        counts = self._counts.now(fresh=True)
        return bool(counts) and not counts["pending"] and not counts["leased"]

    def outcome(self, *, interrupted: bool) -> Outcome:
        self._ingest.complete(None)
        last = self._progress("ended")
        self._reporter.show(last)
        balance = self._patience.call(self.store.books.verify, self.job)
        _LOG.info(
            "the run ends", extra=fields(job=self.job.name, **{k: v for k, v in last.documents.items() if v})
        )
        unfinished = bool(balance.unfinished) or self._ingest.cut_short
        refused = next((report.refused for report in self._reports if report.refused), None)
        return Outcome(
            self.job.name,
            balance,
            interrupted and unfinished,
            last,
            self._ingest.failed,
            refused,
            self._ingest.left_out,
            words.line(
                self.store.calibrations.in_force(self.job),
                self.job.name,
                self.store.results.some_numerics(self.job),
            ),
            cancelled=self.presence.cancelled and unfinished,
        )

    def _progress(self, phase: str) -> Progress:
        return Progress(
            job=self.job.name,
            phase=phase,
            seconds=time.monotonic() - self._started,
            listing=self._ingest.running,
            documents=dict(self._counts.now(fresh=phase == "ended")),
            reports=self._reports,
            lanes_replaced=self._replaced,
            lanes_seconds=self._lanes_seconds,
            waiting=self._waiting,
        )


def _lane_job(request: JobRequest, job: Job, plan: cluster.LanePlan) -> LaneJob:
    engine = request.settings.engine
    if engine.threads is None:
        engine = engine.model_copy(update={"threads": plan.threads})
    return LaneJob(
        name=job.name,
        store=parse(request.settings.store).render_as_string(hide_password=False),
        schema=_absolute_schema(request.schema),
        model=_named(request)[0],
        checkpoint=job.checkpoint,
        gpus=plan.gpus,
        settings=request.settings.model_copy(update={"engine": engine}),
        cores=plan.cores,
        server_key=served.key() if request.settings.server.url is not None else None,
        sources=tuple(map(sources.uri, request.sources)),
    )


def absolute(path: str) -> str:
    """An existing path made absolute, because a lane's processes have a working directory of their own."""
    return str(Path(path).absolute()) if Path(path).exists() else path


def _absolute_schema(schema: str) -> str:
    path, colon, model = schema.rpartition(":")
    return f"{absolute(path)}:{model}" if colon else schema
