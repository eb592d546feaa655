"""The one way to call the store: until it answers. All of its calls may be repeated."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from pipeline.errors import Transient
from workers.lane import StaysAway
from workers.logs import fields

P = ParamSpec("P")
T = TypeVar("T")

_LOG = logging.getLogger(__name__)


class StoreAway(StaysAway):
    """The store did not answer for longer than the caller may wait."""


def until(stop: threading.Event, seconds: float) -> Callable[[], float]:
    """A limit of so many seconds, and of none once `stop` is set."""
    return lambda: 0.0 if stop.is_set() else seconds


class Patience:
    """A call that fails with a Transient is made again after a pause that doubles, for `limit()` seconds.

    `interrupt` ends the waiting of `call` early. Any number of threads and tasks may use one object.
    """

    def __init__(
        self,
        limit: Callable[[], float],
        what: str = "the store",
        pauses: tuple[float, float] = (0.05, 2.0),  # seconds: the first, the longest
        interrupt: threading.Event | None = None,
        **log_fields: str,
    ) -> None:
        self._limit = limit
        self._what = what
        self._log_fields = fields(**log_fields)
        self._pauses = pauses
        self._interrupt = interrupt or threading.Event()
        self._waiting: dict[int, str] = {}  # calls without an answer yet, and their last errors

    @property
    def trouble(self) -> str | None:
        """Why there is no answer, while somebody waits for one."""
        return next(iter(self._waiting.values()), None)

    def call(self, ask: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """The answer. Raises StoreAway, and what `ask` raises beside Transient."""
        with self._pausing() as next_pause:
            while True:
                try:
                    return ask(*arguments, **named)
                except Transient as error:
                    pause = next_pause(error)
                    if self._interrupt.wait(pause):
                        raise StoreAway(error.message) from error

    async def call_async(self, ask: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """The same from an event loop; `ask` runs in a thread."""
        with self._pausing() as next_pause:
            while True:
                try:
                    return await asyncio.to_thread(ask, *arguments, **named)
                except Transient as error:
                    pause = next_pause(error)
                await asyncio.sleep(pause)

    @contextmanager
    def _pausing(self) -> Iterator[Callable[[Transient], float]]:
        """How long to pause after an error, in seconds; raises StoreAway when it has lasted too long."""
        began, (pause, longest), call = time.monotonic(), self._pauses, object()

        def next_pause(error: Transient) -> float:
            nonlocal pause
            if time.monotonic() - began > (limit := self._limit()):
                raise StoreAway(f"{self._what} did not answer for {limit:g} s: {error.message}") from error
            if not self._waiting:
                _LOG.warning("%s is away: %s", self._what, error.message, extra=self._log_fields)
            self._waiting[id(call)] = error.message
            now, pause = pause, min(2 * pause, longest)
            return now

        try:
            yield next_pause
        finally:
            if self._waiting.pop(id(call), None) is not None and not self._waiting:
                _LOG.info("%s is back", self._what, extra=self._log_fields)
