"""What a reviewer does with the store: the next document, its claim, its values, a decision, a step back."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.errors import LeaseLost, UsageError
from pipeline.records import Decision
from pipeline.review.access import Person
from pipeline.review.pictures import Pictures
from pipeline.review.sheet import Sheet, sheet
from pipeline.store import SAMPLE_EVERY, Claim, Decided, Entry, Job, QueueKind, Store
from schemas.registry import SchemaSpec

_FRESH = 20.0  # seconds for which an order of the queue is good


@dataclass(frozen=True, slots=True)
class PageSize:
    number: int
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A document as it is now; `sheet` is None while it has no result, as when it was rejected."""

    id: int
    job: Job
    uri: str
    state: str
    reason: str | None
    score: float | None
    tier: str | None
    calibrated: bool
    pages: tuple[PageSize, ...]
    sheet: Sheet | None
    history: tuple[Decided, ...]

    @property
    def decided(self) -> bool:
        """Whether anybody decided anything that stands."""
        return any(made.undone_at is None for made in self.history)

    @property
    def rejected(self) -> Decided | None:
        stands = (made for made in self.history if made.undone_at is None and made.field is None)
        return next((made for made in stands if made.ruling == "reject"), None)


@dataclass(frozen=True, slots=True)
class Opened:
    """A document that somebody looks at. `claim`: None for those who only read, and while `holder` has it."""

    shown: Shown
    claim: Claim | None
    holder: str | None
    left: int
    sample: bool


class Desk:
    """Safe to share between threads."""

    def __init__(
        self,
        store: Store,
        pictures: Pictures,
        spec_of: Callable[[Job], SchemaSpec],
        *,
        only: Job | None = None,
        share: float = 0.02,
    ) -> None:
        """`spec_of` finds a job's schema. `only`: one job. `share` of the documents that passed are looked at
        too.
        """
        self.store = store
        self._pictures = pictures
        self._find_spec = spec_of
        self._specs: dict[int, SchemaSpec] = {}
        self._only = only
        self._share = share
        self._orders: dict[int, tuple[float, list[Entry]]] = {}
        self._seen: dict[str, set[int]] = defaultdict(set)  # by session

    def jobs(self) -> list[Job]:
        """Those that are reviewed; a shadow only where it alone is named."""
        if self._only is not None:
            return [self._only]
        return [job for job in self.store.jobs.all() if job.shadow_of is None]

    def job(self, id: int) -> Job | None:
        return next((job for job in self.jobs() if job.id == id), None)

    def entries(self, job: Job, kind: QueueKind, search: str) -> list[Entry]:
        return self.store.queue.entries(job, kind, share=self._share, search=search)

    def next(self, job: Job, person: Person, session: str, *, again: bool = False) -> int | None:
        """The first document that nobody else has and that was not opened in this session, since `again`."""
        seen = self._seen[session]
        if again:
            seen.clear()
            self._orders.pop(job.id, None)
        free = [
            entry
            for entry in self._order(job)
            if entry.document_id not in seen and entry.reviewer in (None, person.name)
        ]
        # What is decided leaves the queue, so that the sample's turn is counted here.
        turn = len(seen) % SAMPLE_EVERY == SAMPLE_EVERY - 1
        found = next((entry for entry in free if entry.sample and turn), free[0] if free else None)
        return None if found is None else found.document_id

    def open(self, document: int, person: Person, session: str) -> Opened:
        """Raises UsageError where there is no such document."""
        shown = self.shown(document)
        claim = self.store.claims.take(document, person.name) if person.may_decide else None
        holder = None if claim is not None else self.store.claims.holder(document)
        self.store.audit.note(person.name, "opened", document)
        self._seen[session].add(document)
        order = self._order(shown.job)
        left = [entry for entry in order if entry.document_id not in self._seen[session]]
        sample = any(entry.sample for entry in order if entry.document_id == document)
        self._draw_ahead(shown.job, [shown.uri, *(entry.uri for entry in left[:1])])
        return Opened(shown, claim, holder if person.may_decide else None, len(left), sample)

    def shown(self, document: int) -> Shown:
        """Raises UsageError where there is no such document."""
        job, uri, state, reason = self._place(document)
        stored = self.store.results.extraction(job, uri)
        history = tuple(self.store.decisions.history(job, uri))
        sizes = tuple(
            PageSize(page.page, page.width, page.height) for page in self.store.results.pages(job, uri)
        )
        made = None if stored is None else sheet(stored, history, self._spec_of(job))
        extraction = None if stored is None else stored.extraction
        return Shown(
            document,
            job,
            uri,
            state,
            reason,
            None if extraction is None else extraction.score,
            None if extraction is None else extraction.tier,
            extraction is not None and extraction.calibration is not None,
            sizes,
            made,
            history,
        )

    def picture(self, document: int, page: int) -> bytes:
        """Raises UsageError, Permanent or Transient, see `PageImages.png`."""
        job, uri, _, _ = self._place(document)
        return self._pictures.png(job, uri, page)

    def decide(self, document: int, made: Sequence[Decision], claim: str) -> None:
        job, uri, _, _ = self._place(document)
        self.store.decisions.add(job, uri, made, spec=self._spec_of(job), claim=claim)
        self._orders.pop(job.id, None)

    def undo(self, document: int, by: str, claim: str, ids: Sequence[int] | None) -> str | None:
        """Takes back these decisions, or the last that stands; returns the field of the last of them.

        Raises LeaseLost, UsageError where there is nothing to take back.
        """
        job, uri, _, _ = self._place(document)
        if not self.store.claims.renew(document, claim):
            raise LeaseLost(uri)
        standing = [made for made in self.store.decisions.history(job, uri) if made.undone_at is None]
        meant = [made for made in standing if made.id in ids] if ids is not None else standing[-1:]
        if not meant:
            raise UsageError("Không có gì để hoàn tác. · There is nothing to undo.")
        self.store.decisions.undo([made.id for made in meant], by, spec=self._spec_of(job))
        self._orders.pop(job.id, None)
        return meant[-1].field

    def _spec_of(self, job: Job) -> SchemaSpec:
        if job.id not in self._specs:
            self._specs[job.id] = self.store.jobs.rules(job.id, self._find_spec(job))
        return self._specs[job.id]

    def _place(self, document: int) -> tuple[Job, str, str, str | None]:
        found = self.store.queue.place(document)
        job = None if found is None else self.job(found[0])
        if found is None or job is None:
            raise UsageError("There is no such document.")
        return job, found[1], found[2], found[3]

    def _order(self, job: Job) -> list[Entry]:
        made, entries = self._orders.get(job.id, (0.0, []))
        if time.monotonic() - made > _FRESH or not entries:
            entries = self.entries(job, "doubtful", "")
            self._orders[job.id] = time.monotonic(), entries
        return entries

    def _draw_ahead(self, job: Job, uris: Sequence[str]) -> None:
        for uri in uris:
            self._pictures.ahead(job, uri, 3)
