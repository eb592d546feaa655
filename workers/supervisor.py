"""Keeps one Ray actor alive. Ray's errors end in this file: above it, an actor that died is a `Transient`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import ray
from ray.exceptions import (
    ActorUnschedulableError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
)

from pipeline.errors import Reason, Transient, VinbatchError
from workers.lane import LaneBroken
from workers.logs import fields

Actor = Any  # a Ray actor handle; its methods are made at run time
Ref = Any  # a Ray object reference
Start = Callable[[], Actor]

_LOG = logging.getLogger(__name__)
STARTS = 3  # of one process that dies before it is ready, until its lane gives up
_LONGEST_PAUSE = 30.0  # seconds before an actor is started again


class CannotStart(LaneBroken):
    """An actor dies whenever it is started."""


class Supervisor:
    """Starts an actor, makes it ready, and puts another in its place when it dies.

    After `budget` deaths in a row without progress in between there is no further start. The pause before a
    start doubles with each of them; the first death after progress costs no pause.
    """

    def __init__(
        self, what: str, start: Start, lost: type[Transient], budget: int, **log_fields: str
    ) -> None:
        """`lost` is what callers get when the actor dies under their call."""
        self.deaths = 0
        self._what = what
        self._start = start
        self._lost = lost
        self._budget = budget
        self._log_fields = fields(**log_fields)
        self._fruitless = 0  # deaths in a row without progress
        self._why = ""
        self._start_at = 0.0
        self._actor: Actor | None = start()  # actors start side by side
        self._ready: Actor | None = None
        self._starting: asyncio.Task[None] | None = None

    async def prepare(self, actor: Actor) -> None:
        """Make a new actor ready for calls. Raises UsageError when it never can be."""

    @asynccontextmanager
    async def alive(self, limit: float | None = None) -> AsyncIterator[Actor]:
        """A living actor that is ready, for one call.

        Raises what `prepare` and the call raise; the `lost` error when the actor dies or the call takes over
        `limit` seconds; CannotStart.
        """
        actor = await self._living()
        async with self._translated(actor, limit):
            yield actor

    def progressed(self) -> None:
        """The actor does what it is for: deaths before this no longer count."""
        self._fruitless = -1

    def replace(self, actor: Actor, why: str, pause: float | None = None) -> None:
        """Let another actor take this one's place, unless that was done already.

        It starts when it is needed, after `pause` seconds (None: by the number of deaths).
        """
        if self._actor is not actor:
            return
        self.deaths += 1
        self._fruitless += 1
        self._why = why
        if pause is None:
            pause = min(2.0**self._fruitless - 1, _LONGEST_PAUSE)
        self._start_at = time.monotonic() + pause
        _LOG.warning("the %s has ended and is replaced: %s", self._what, why, extra=self._log_fields)
        self._kill()

    def end(self) -> None:
        """No actor from now on."""
        if self._starting is not None:
            self._starting.cancel()
        self._kill()

    def _kill(self) -> None:
        if self._actor is not None:
            with suppress(RayError):
                ray.kill(self._actor)
        self._actor = None

    @property
    def exhausted(self) -> bool:
        """The budget of starts is used up."""
        return self._fruitless >= self._budget

    async def _living(self) -> Actor:
        if self._actor is None or self._ready is not self._actor:
            if self._starting is None or self._starting.done():
                self._starting = asyncio.create_task(self._bring_up())
            await asyncio.shield(self._starting)  # a caller that is cancelled leaves the start to the others
        return self._ready

    async def _bring_up(self) -> None:
        while self._actor is None or self._ready is not self._actor:
            if self.exhausted:
                raise CannotStart(f"the {self._what} could not be started {self._budget} times: {self._why}")
            if self._actor is None:
                await asyncio.sleep(self._start_at - time.monotonic())
                self._actor = self._start()
            actor = self._actor
            try:
                async with self._translated(actor, None):
                    await self.prepare(actor)
            except Transient as error:
                self.replace(actor, error.message)
            else:
                self._ready = actor

    @asynccontextmanager
    async def _translated(self, actor: Actor, limit: float | None) -> AsyncIterator[None]:
        """Ray's errors as ours. A dead actor is replaced."""
        try:
            async with asyncio.timeout(limit):
                yield
        except (RayError, TimeoutError) as error:
            ours = self._ours(actor, error, limit)
            if ours is None:
                raise
            raise ours from error

    def _ours(self, actor: Actor, error: Exception, limit: float | None) -> VinbatchError | None:
        """What is raised instead of `error`; None when the actor's own code is wrong."""
        reason = Reason.worker_lost
        cause = error.cause if isinstance(error, RayTaskError) else error
        if isinstance(cause, ObjectLostError):  # its owner died, and it may be this actor or another
            return self._lost(reason, f"an object that the {self._what} made or needs is gone")
        if isinstance(cause, VinbatchError):
            if isinstance(cause, self._lost):  # the actor says of itself that it is broken
                self.replace(actor, cause.message)
            return cause
        if isinstance(error, RayTaskError):
            return None
        if isinstance(error, OutOfMemoryError):
            reason, why = Reason.out_of_memory, "was killed for want of memory"
        elif isinstance(error, (RayActorError, ActorUnschedulableError)):
            why = "died"
        elif isinstance(error, TimeoutError) and not isinstance(error, RayError):
            why = f"did not answer for {limit:g} s"
        else:
            return None
        message = f"the {self._what} {why}"
        self.replace(actor, message)
        return self._lost(reason, message)
