"""The sources of a job are listed into the ledger while its lanes work on what is there already."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from pipeline import sources
from pipeline.errors import Coded, Permanent, Transient
from pipeline.records import DocumentRef, Failure
from pipeline.settings import SourceSettings
from pipeline.store import Job, Store

T = TypeVar("T")


class Listing:
    """One source. What is wrong with how it was typed is raised at once; all else when it is listed."""

    def __init__(self, source: str, settings: SourceSettings) -> None:
        self.source = source
        self._settings = settings
        self._begun: Iterator[DocumentRef] | None = None
        with suppress(Coded):  # it is tried again when the lanes are there
            self._begun = sources.list_documents([source], settings)

    def refs(self) -> Iterator[DocumentRef]:
        """All documents, from the beginning. Raises Transient or Permanent."""
        begun, self._begun = self._begun, None
        return begun if begun is not None else sources.list_documents([self.source], self._settings)


class Lister(threading.Thread):
    """A thread that lists the sources into the ledger; it ends with its block."""

    def __init__(
        self,
        ledger: Store,
        job: Job,
        listings: Sequence[Listing],
        patience: float,
        stop: threading.Event,
    ) -> None:
        super().__init__(name="listing", daemon=True)
        self._ledger = ledger
        self._job = job
        self._listings = listings
        self.patience = patience
        self._stop_asked = stop
        self._left = threading.Event()
        self._error: BaseException | None = None
        self.failed: str | None = None  # why some documents may not be in the ledger
        self.cut_short = False  # by a stop

    def __enter__(self) -> Lister:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self.join()

    def run(self) -> None:
        try:
            for listing in self._listings:
                self._list(listing)
        except BaseException as error:  # noqa: BLE001  the main thread raises it
            self._error = error

    def finish(self) -> None:
        """Raise what went wrong beyond the sources themselves."""
        if self._error is not None:
            raise self._error

    def _list(self, listing: Listing) -> None:
        """Documents that are known already stay as they are, so a listing that breaks off begins anew."""
        until, pause = time.monotonic() + self.patience, 1.0
        while True:
            try:
                self._ledger.ledger.add(self._job, self._until_stop(listing.refs()))
                return
            except Permanent as error:  # the source itself gets the row
                broken = DocumentRef(listing.source, failure=Failure.of(error))
                patiently(self._ledger.ledger.add, self._job, [broken], seconds=self.patience)
                return
            except Transient as error:
                if time.monotonic() > until or self._stop_asked.is_set() or self._left.wait(pause):
                    self.failed = f"{listing.source} was not listed to its end: {error.message}"
                    return
                pause = min(2 * pause, 30.0)

    def _until_stop(self, refs: Iterable[DocumentRef]) -> Iterator[DocumentRef]:
        for ref in refs:
            if self._stop_asked.is_set() or self._left.is_set():
                self.cut_short = True
                return
            yield ref


def patiently(call: Callable[..., T], *arguments: Any, seconds: float = 60.0) -> T:
    """Call the store; while it is busy or away, try again. Raises Transient after `seconds`."""
    until, pause = time.monotonic() + seconds, 0.1
    while True:
        try:
            return call(*arguments)
        except Transient:
            if time.monotonic() > until:
                raise
            time.sleep(pause)
            pause = min(2 * pause, 2.0)
