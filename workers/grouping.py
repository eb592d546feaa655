"""Calls that are made one by one and go together: a lane's commits, several in one transaction."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Grouped(Generic[T, R]):
    """One group is under way at a time; what comes meanwhile goes together in the next.

    Groups begin at least `pause` seconds apart, unless `most` are waiting. So a call after a pause goes at
    once, and of many a second each group takes what has come.
    """

    def __init__(
        self, ask: Callable[[list[T]], Awaitable[Sequence[R | Exception]]], pause: float, most: int
    ) -> None:
        """`ask` answers all of a group in its order; an exception is that of its own call."""
        self._ask, self._pause, self._most = ask, pause, most
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._full = asyncio.Event()
        self._due = 0.0
        self._running: asyncio.Task[None] | None = None

    async def call(self, item: T) -> R:
        """The answer to this item. Raises its own exception, or what `ask` raised for its whole group."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if len(self._waiting) >= self._most:
            self._full.set()
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            if len(self._waiting) < self._most:
                self._full.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._full.wait(), self._due - time.monotonic())
            self._due = time.monotonic() + self._pause
            taken = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            group = [(item, answer) for item, answer in taken if not answer.done()]  # else it was given up
            if group:
                await self._answer(group)

    async def _answer(self, group: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        found: Sequence[R | Exception]
        try:
            found = await self._ask([item for item, _ in group])
        except Exception as error:  # noqa: BLE001  it is raised where each call was made
            found = [error] * len(group)
        for (_, answer), result in zip(group, found, strict=True):
            if answer.done():
                continue
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)
