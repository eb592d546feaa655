"""The sources of a job are listed into the ledger while its lanes work on what is there already."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Protocol

from pipeline import sources
from pipeline.errors import Coded, Permanent, Reason
from pipeline.records import DocumentRef, Failure
from pipeline.settings import SourceSettings
from pipeline.store import Added, Job, Store
from workers.logs import fields
from workers.patience import Patience, StoreAway, until

_LOG = logging.getLogger(__name__)
_PAUSES = (1.0, 30.0)  # seconds before a source is listed again, from its beginning: first, longest


class SourceListing:
    """One source, or single files that are listed together. What is wrong with how they were typed is raised
    at once; all else when they are listed.
    """

    def __init__(self, source: str, settings: SourceSettings, *others: str) -> None:
        self.source = source
        self._others = others
        self._settings = settings
        self._begun: Iterator[DocumentRef] | None = None
        self._rules = sources.Rules(settings)
        self.left_out = 0  # files that are no documents by their names, or not wanted, as last listed
        with suppress(Coded):  # it is tried again when the lanes are there
            self._begun = self._listed()

    def refs(self) -> Iterator[DocumentRef]:
        """All documents, from the beginning. Raises Transient or Permanent."""
        begun, self._begun = self._begun, None
        self.left_out = 0
        for ref in begun if begun is not None else self._listed():
            if ref.failure is not None and ref.failure.reason is Reason.passed_over:
                self.left_out += 1
            else:
                yield ref

    def _listed(self) -> Iterator[DocumentRef]:
        listed = [self.source, *self._others]
        return sources.list_documents(listed, self._settings, passed_over=True, rules=self._rules)

    @property
    def idle(self) -> frozenset[str]:
        """Patterns of --group that no listed file's name has followed."""
        return self._rules.idle


class ChosenListing:
    """The documents of a job that its shadow reads."""

    left_out = 0
    idle: frozenset[str] = frozenset()

    def __init__(self, store: Store, job: Job, share: float) -> None:
        self.source = f"{share:.2%} of job {job.name}"
        self._store, self._job, self._share = store, job, share

    def refs(self) -> Iterator[DocumentRef]:
        return self._store.chosen(self._job, self._share)


class Listing(Protocol):
    """Documents that are to be listed, and what they are called."""

    @property
    def source(self) -> str: ...

    @property
    def left_out(self) -> int: ...

    @property
    def idle(self) -> frozenset[str]: ...

    def refs(self) -> Iterator[DocumentRef]: ...


class Ingest:
    """A thread that lists the sources into the ledger; it ends with its block."""

    def __init__(
        self,
        store: Store,
        job: Job,
        listings: Sequence[Listing],
        patience_seconds: float,
        stop: threading.Event,
        limit: int | None = None,
    ) -> None:
        """`limit`: how many documents are listed, known ones included; the rest waits for another run."""
        self.failed: str | None = None  # why some documents may not be in the ledger
        self.cut_short = False  # by a stop
        self._store = store
        self._job = job
        self._listings = listings
        self._stop = stop
        self._left_to_list = limit
        self._left = threading.Event()
        self._patience = Patience(
            until(stop, patience_seconds),
            "the source or the store",
            _PAUSES,
            self._left,
            job=job.name,
        )
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._list_all, name="ingest", daemon=True)

    def __enter__(self) -> Ingest:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    @property
    def left_out(self) -> int:
        """Files that are no documents by their names, or not wanted."""
        return sum(listing.left_out for listing in self._listings)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def complete(self, seconds: float | None = 0.0) -> bool:
        """Whether the listing has ended, within so many seconds (None: however long it takes).

        Raises what went wrong beyond the sources themselves.
        """
        self._thread.join(seconds)
        if self._error is not None:
            raise self._error
        return not self.running

    def _list_all(self) -> None:
        try:
            for listing in self._listings:
                self._list(listing)
            if not (self.cut_short or self.failed or self._left_to_list is not None):
                self._say_idle()
        except BaseException as error:  # noqa: BLE001  the main thread raises it
            self._error = error

    def _say_idle(self) -> None:
        for pattern in sorted(frozenset.intersection(*(listing.idle for listing in self._listings))):
            _LOG.warning("%s", sources.nothing_grouped(pattern), extra=fields(job=self._job.name))

    def _list(self, listing: Listing) -> None:
        """Documents that are known already stay as they are, so a listing that breaks off begins anew."""

        def add() -> Added:
            return self._store.ledger.add(self._job, islice(self._until_stop(listing), self._left_to_list))

        where = fields(job=self._job.name, source=listing.source)
        try:
            added = self._patience.call(add)
            if added.reopened:
                _LOG.info(
                    "files came to %d documents that were known: they are read again",
                    added.reopened,
                    extra=where,
                )
            if added.changed > added.reopened:
                _LOG.warning(
                    "files of %d known documents were replaced since: what had failed is read again, finished"
                    " ones keep their rows until they are purged; the first is %s",
                    added.changed - added.reopened,
                    added.changed_uris[0],
                    extra=where,
                )
            if self._left_to_list is not None:
                self._left_to_list -= added.added + added.known
            _LOG.info(
                "the source is listed: %d documents are new, %d known", added.added, added.known, extra=where
            )
        except Permanent as error:  # the source itself gets the row
            _LOG.warning("the source cannot be listed: %s", error.message, extra=where)
            broken = DocumentRef(listing.source, failure=Failure.of(error))
            self._patience.call(self._store.ledger.add, self._job, [broken])
        except StoreAway as error:
            _LOG.warning("the source was not listed to its end: %s", error.__cause__, extra=where)
            self.failed = f"{listing.source} was not listed to its end: {error.__cause__}"

    def _until_stop(self, listing: Listing) -> Iterator[DocumentRef]:
        for ref in listing.refs():
            if self._stop.is_set() or self._left.is_set():
                self.cut_short = True
                return
            yield ref
