"""How many documents of a job are in each state, asked of the ledger no oftener than it can bear."""

from __future__ import annotations

import time
from contextlib import suppress

from pipeline.errors import Transient
from pipeline.store import Job, Store

_SHARE = 0.05  # of the time may go into counting


class DocumentCounts:
    """Counting a job of millions takes seconds: it is done again after so much longer than it took."""

    def __init__(self, store: Store, job: Job, pause: float) -> None:
        """`pause`: seconds that lie between two counts at least."""
        self._store, self._job, self._pause = store, job, pause
        self._counts: dict[str, int] = {}
        self._due = 0.0  # by the monotonic clock

    def now(self, *, fresh: bool = False) -> dict[str, int]:
        """By state, as they were when it was last due or, `fresh`, as they are. Where the store is busy, as
        they were before; empty before the first answer.
        """
        began = time.monotonic()
        if fresh or began >= self._due:
            with suppress(Transient):
                self._counts = self._store.books.counts(self._job)
            took = time.monotonic() - began
            self._due = began + max(self._pause, took / _SHARE)
        return self._counts
