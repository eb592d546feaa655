"""Documents that need no model, read in the driver's own process: no Ray is started for them, and no model.

These are e-invoices as XML, and documents whose pages are all known: read before, in this job or another, by
the same checkpoint and asked the same. One after the other, by the sequential driver of `pipeline.run`, under
leases of the ledger like a lane's.
What needs the model is left to the lanes. Untrusted bytes are decoded in the renderer's child, as everywhere.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from pipeline import run
from pipeline.errors import LeaseLost, ModelNeeded, UsageError
from pipeline.filetype import promises_picture
from pipeline.keys import ModelFacts
from pipeline.reading import Commit, Quarantine, Retry, failure, no_result
from pipeline.recipe import Recipe, engines_numerics
from pipeline.records import PageResult, Part
from pipeline.render import Renderer
from pipeline.run import DocumentResult
from pipeline.settings import LaneSettings
from pipeline.store import Job, Lease, Result, Store
from schemas.registry import SchemaSpec
from workers import endings
from workers.flow_control import CircuitBreaker
from workers.lane import LaneReport, SourceRefuses
from workers.logs import fields
from workers.patience import Patience, StoreAway

_LOG = logging.getLogger(__name__)
_AT_ONCE = 32  # documents claimed together
_PAUSE = 0.1  # seconds between two looks at the ledger when nothing is due
_GARBAGE = 20_000  # objects more than there were: then it is looked for garbage
_TOGETHER = 0.1  # seconds for which results are gathered, to be put in one transaction


class Direct:
    """The work on such documents, in one thread. `report` may be looked at meanwhile."""

    def __init__(
        self,
        store: Store,
        job: Job,
        recipe: Recipe,
        worker: str,
        listed: Callable[[], bool],
        stop: threading.Event,
        earlier: Sequence[Recipe] = (),
    ) -> None:
        """`recipe` is one without a model; `listed` tells whether the job's listing is complete. `earlier`
        are those under whose keys pages of print may be known (`earlier_recipes`).
        """
        self.report = LaneReport(worker)
        self._store, self._job, self._recipe, self._listed, self._stop = store, job, recipe, listed, stop
        self._earlier = list(earlier)
        self._settings: LaneSettings = recipe.settings.lane
        self._ask = Patience(self._patience_seconds, interrupt=stop, job=job.name).call
        self._breaker = CircuitBreaker(self._settings.refusals)
        self._renewed_at = 0.0
        self._gathered: list[tuple[Result, Commit]] = []
        self._put_at = 0.0

    def work(self) -> bool:
        """Whether nothing is left to do: False where a document needs the model, which is then given back.

        Ends early when it is stopped or the source refuses document after document.
        """
        self.report.state = "working"
        self.report.activity.start()
        try:
            if self._pictures_first():
                return False
            with _little_garbage(), run.renderer_for(self._recipe, members=True) as renderer:
                while not self._stop.is_set():
                    # Before the look at the ledger: what comes in between is then seen.
                    listed = self._listed()
                    leases = self._claim()
                    if leases:
                        self._read_all(leases, renderer)
                    elif self._ask(self._store.ledger.next_due, self._job) is None and listed:
                        return True
                    else:
                        with self.report.timed("documents"):
                            self._stop.wait(_PAUSE)
        except ModelNeeded:
            return False
        except SourceRefuses as error:
            self.report.refused = error.message
        finally:
            self.report.state = "ended"
            self.report.activity.charge()
        return True

    def _pictures_first(self) -> bool:
        """The next document is print by its name, and no page of print is known: it need not be fetched to
        know that it needs the model.
        """
        return not self._earlier and any(
            map(promises_picture, self._ask(self._store.ledger.due, self._job, 1))
        )

    def _claim(self) -> list[Lease]:
        self._renewed_at = time.monotonic()
        seconds = self._settings.lease_seconds
        with self.report.timed("claim"):
            return self._ask(self._store.ledger.claim, self._job, self.report.lane, _AT_ONCE, seconds)

    def _read_all(self, leases: list[Lease], renderer: Renderer) -> None:
        """All of them; those that are not begun are given back when anything stops the work."""
        left = list(leases)
        try:
            while left and not self._stop.is_set():
                self._renew(left)
                if not left:
                    return
                self._read(left[0], renderer)
                del left[0]
        finally:
            try:
                self._put()
            finally:
                self._give_back(left)

    def _give_back(self, left: list[Lease]) -> None:
        for lease in left:
            with suppress(LeaseLost, StoreAway):  # where the store is away, the lease runs out by itself
                self._ask(self._store.ledger.release, lease)

    def _renew(self, left: list[Lease]) -> None:
        """Lengthen the leases of what is left well before they end; drop those that are lost."""
        seconds = self._settings.lease_seconds
        if time.monotonic() - self._renewed_at > seconds / 3:
            self._put()  # its leases are as old
            for lost in self._ask(self._store.ledger.renew, left, seconds):
                left.remove(lost)
                self.report.late += 1
            self._renewed_at = time.monotonic()

    def _read(self, lease: Lease, renderer: Renderer) -> None:
        """To its end, or to a result that is put soon. Raises ModelNeeded, and then nothing was done."""
        last = lease.tries >= self._settings.attempts
        try:
            with self.report.timed("draw"):
                found = self._found(lease, renderer, last)
        except (ModelNeeded, UsageError):
            raise
        except Exception as error:  # noqa: BLE001  it becomes the document's failure, with its traceback
            found = DocumentResult(lease.uri, no_result(failure(error)))
        if any(part.failure is None for part in found.parts):
            self._breaker.fetched()
        if isinstance(found.verdict, Commit):
            self._gather(lease, found.verdict, found.parts)
        else:
            self._end(lease, found.verdict, found)

    def _found(self, lease: Lease, renderer: Renderer, last: bool) -> DocumentResult:
        """Raises ModelNeeded."""
        names = [part.uri for part in lease.parts] or [lease.uri]
        recipes = [] if any(map(promises_picture, names)) else [self._recipe]
        for recipe in [*recipes, *self._earlier]:
            try:
                found = run.document(
                    lease.uri,
                    recipe,
                    None,
                    lease.etag,
                    None if recipe.key is None else self._known,
                    lease.parts,
                    renderer=renderer,
                    last_try=last,
                )
            except ModelNeeded:
                continue
            if recipe.key is not None:  # what has served once most likely serves again
                self._earlier.sort(key=lambda other: other is not recipe)
            return found
        raise ModelNeeded(f"{lease.uri} has a page that is not known")

    def _known(self, keys: Sequence[str]) -> Mapping[str, PageResult]:
        return self._ask(self._store.results.known_pages, keys)

    def _gather(self, lease: Lease, verdict: Commit, parts: Sequence[Part]) -> None:
        """Put the result with those of the next tenth of a second: a transaction costs as much as a result.

        One of a document that was tried before is put at once: no other one shall cost it a try again.
        """
        read = sum(page.failure is None for page in verdict.pages)
        known = sum(page.numerics is not None for page in verdict.pages)  # the model read it once
        self.report.pages += read - known
        self.report.pages_known += known
        if not self._gathered:
            self._put_at = time.monotonic() + _TOGETHER
        result = endings.result(lease, verdict, parts)
        self._gathered.append((result, verdict))
        if not result.plain or time.monotonic() >= self._put_at:
            self._put()

    def _put(self) -> None:
        """What is gathered. Raises what the store says against one of them, when the others are put."""
        gathered, self._gathered = self._gathered, []
        if not gathered:
            return
        with self.report.timed("commit"):
            answers = self._ask(self._store.results.commit_group, [result for result, _ in gathered])
        refused = []
        for (result, verdict), answer in zip(gathered, answers, strict=True):
            if isinstance(answer, LeaseLost):
                self._late(result.lease)
            elif isinstance(answer, Exception):
                refused.append(answer)
            else:
                endings.report(self.report, self._breaker, result.lease, verdict, answer)
        if refused:
            raise refused[0]

    def _end(self, lease: Lease, verdict: Retry | Quarantine, found: DocumentResult) -> None:
        """Tell the ledger of a document without a result."""
        try:
            with self.report.timed("commit"):
                for page in found.pages:
                    if page.failure is None or not page.failure.retryable:
                        self._ask(self._store.results.save_page, lease, page)
                attempts = self._settings.attempts
                state = self._ask(endings.end, self._store, lease, verdict, found.parts, attempts)
            endings.report(self.report, self._breaker, lease, verdict, state)
        except LeaseLost:
            self._late(lease)

    def _late(self, lease: Lease) -> None:
        self.report.late += 1
        _LOG.warning(
            "a lease is lost, and what was offered under it was not kept", extra=fields(document=lease.uri)
        )

    def _patience_seconds(self) -> float:
        """How long the store may be away."""
        return self._settings.grace_seconds / 2 if self._stop.is_set() else self._settings.patience_seconds


@contextmanager
def _little_garbage() -> Iterator[None]:
    """Garbage is looked for once in some hundred documents: hardly any of theirs is in circles.

    Else results that are gathered would be taken for what stays, and every few transactions all that the
    process holds gone through. What is there already is passed over for good.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_GARBAGE, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def earlier_recipes(
    store: Store, job: Job, spec: SchemaSpec, recipe: Recipe, facts: Callable[[str], ModelFacts | None]
) -> list[Recipe]:
    """As `recipe`, each with the keys of pages that the job's checkpoint has read with one kind of numerics.
    `facts` are those of a model with these numerics; None where the settings exclude them.

    A page counts whatever machine has read it, as long as the settings leave that open: no document mixes
    two kinds, because all of its pages must be known under one of these.
    """
    settings = recipe.settings
    found = []
    for whole in store.results.numerics_of(job.checkpoint):
        numerics = engines_numerics(settings, whole)
        model = None if numerics is None else facts(numerics)
        if model is None:
            continue
        found.append(replace(Recipe.of(spec, settings, model), trust=recipe.trust, sources=recipe.sources))
    return found
