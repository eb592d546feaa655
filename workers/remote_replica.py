"""The actor in a replica's place where a server reads the pages: requests out, each answered exactly once."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from pipeline import grammar, prompt
from pipeline.errors import Unavailable
from pipeline.keys import ModelFacts
from pipeline.records import Generation, Request
from pipeline.remote.facts import ServedModel
from pipeline.remote.server import Server
from pipeline.settings import Settings
from workers.lane import StaysAway, peak_bytes, schema_of
from workers.replica import Health, answered
from workers.sigterm import ignore_sigterm

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


class ServerAway(StaysAway):
    """The server did not answer for longer than the lane has patience."""


class RemoteReplica:
    """Has the methods of `workers.replica.Replica`. Each request has a thread, as the settings allow."""

    def __init__(self, model: str, settings: Settings, schema: str, key: str | None) -> None:
        self._schema = schema_of(schema)
        self._served = ServedModel(settings.server.url or "", model, settings.server.system)
        self._settings, self._key = settings, key
        self._threads = ThreadPoolExecutor(settings.server.requests, "request")
        self._answers: dict[str, Future[Generation]] = {}
        self._counting = threading.Lock()
        self._in_flight = self._tokens = 0
        self._start_seconds = 0.0

    async def ignore_sigterm(self) -> None:
        """Stay when SIGTERM comes, for the pages that the lane wants to finish."""
        ignore_sigterm()

    async def load(self) -> ModelFacts:
        """Learn what the server takes. Raises UsageError for one that cannot be used, and ServerAway."""
        began = time.monotonic()
        patience = self._settings.lane.patience_seconds
        self._server = Server(
            self._served, self._settings.server, self._key, patience=patience, notify=_LOG.warning
        )
        asked, rules = prompt.build(self._schema), grammar.of(self._schema)
        facts = await asyncio.to_thread(_translated, partial(self._server.greet, asked, rules))
        self._start_seconds = time.monotonic() - began
        return facts

    async def take(self, request: Request) -> None:
        """Have a request answered; ends when its tiles are needed no more, and their memory is free again."""
        id, let_go = request.id, Future[None]()
        self._answers[id] = self._threads.submit(self._answer, request, let_go)
        del request  # with its tiles
        await asyncio.wrap_future(let_go)

    async def answer(self, id: str) -> Generation:
        """The answer to a request that was taken, once. Raises ReplicaLost when it was not taken here,
        UsageError and ServerAway.
        """
        return await answered(self._answers, id)

    async def health(self) -> Health:
        """It never stands still: who waits for a server waits with the lane's patience."""
        most = self._settings.server.requests
        return Health(
            self._in_flight,
            0.0,
            self._tokens,
            peak_bytes(),
            self._served.about,
            self._start_seconds,
            self._in_flight / most,
            batch=most,
            trouble=self._server.trouble,
        )

    def _answer(self, request: Request, let_go: Future[None]) -> Generation:
        self._count(1)
        tokens = 0
        try:
            found = _translated(partial(self._server.answer, request, partial(let_go.set_result, None)))
            tokens = len(found.spans)
        finally:
            self._count(-1, tokens)
            if not let_go.done():
                let_go.set_result(None)
        return found

    def _count(self, in_flight: int, tokens: int = 0) -> None:
        with self._counting:
            self._in_flight += in_flight
            self._tokens += tokens


def _translated(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except Unavailable as error:
        raise ServerAway(error.message) from error
