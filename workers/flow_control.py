"""What keeps a lane within its settings: budgets, a circuit breaker, a lock for what must run alone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pipeline.errors import Reason
from pipeline.records import Failure
from workers.lane import SourceRefuses

_REFUSALS = (Reason.access_denied, Reason.bucket_missing)


class Budget:
    """A bound on an amount that is held at once (bytes, pages). First come, first served.

    What is larger than the whole budget is let in when nothing else is there: it passes, alone.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.peak = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def acquire(self, amount: int) -> None:
        """Wait until `amount` fits. Every call is followed by one `release` of the same amount."""
        if not self._waiting and self._fits(amount):
            self._add(amount)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._admit()  # those behind it need not wait for its turn
            else:
                self.release(amount)  # it was let in at the moment it gave up
            raise

    def release(self, amount: int) -> None:
        self.used -= amount
        self._admit()

    @asynccontextmanager
    async def reserved(self, amount: int) -> AsyncIterator[Reservation]:
        await self.acquire(amount)
        reservation = Reservation(self, amount)
        try:
            yield reservation
        finally:
            self.release(reservation.amount)

    def _admit(self) -> None:
        while self._waiting:
            amount, turn = self._waiting[0]
            if not turn.cancelled():
                if not self._fits(amount):
                    return
                self._add(amount)
                turn.set_result(None)
            self._waiting.popleft()

    def _fits(self, amount: int) -> bool:
        return not self.used or self.used + amount <= self.limit

    def _add(self, amount: int) -> None:
        self.used += amount
        self.peak = max(self.peak, self.used)


class Reservation:
    """What somebody holds of a budget."""

    def __init__(self, budget: Budget, amount: int) -> None:
        self._budget = budget
        self.amount = amount

    async def resize(self, amount: int) -> None:
        """Hold another amount from now on. For more than before all is given back first: who waits for more
        while holding some might wait for ever.
        """
        if amount > self.amount:
            before, self.amount = self.amount, 0
            self._budget.release(before)
            await self._budget.acquire(amount)
        else:
            self._budget.release(self.amount - amount)
        self.amount = amount


class Prepared:
    """A page that is ready for the model: its request, and the bytes of its tiles within the lane's budget.

    Both are held until the model needs the tiles no more; then the request is None, and who loses its answer
    draws the page again.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._bytes = 0
        self.request: Any = None  # a Ray reference

    async def hold(self, request: Any, size: int) -> None:
        """Wait until bytes of tiles fit, and hold them."""
        await self._budget.acquire(size)
        self._bytes, self.request = size, request

    def let_go(self) -> None:
        """May be called again."""
        self.request = None
        size, self._bytes = self._bytes, 0
        if size:
            self._budget.release(size)


class CircuitBreaker:
    """Opens, and so stops the lane, when its documents are all refused: one wrong key would quarantine a
    million of them.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._refused = 0

    def fetched(self) -> None:
        """A document was let through."""
        self._refused = 0

    def failed(self, why: Failure) -> None:
        """Raises SourceRefuses when this is one too many with nothing fetched in between."""
        if why.reason not in _REFUSALS:
            return
        self._refused += 1
        if self._refused >= self._limit:
            refused = (
                f"{self._refused} documents in a row were refused (lane.refusals), the last: {why.message}"
            )
            again = f"when that is mended, vinbatch retry --reason {why.reason} puts them back"
            raise SourceRefuses(f"{refused}; {again}")


class IsolationLock:
    """A lock that requests share, and that a suspect, beside which a replica died, holds exclusively.

    So a death can be attributed to one page, and is not held against its neighbours. Whoever waits to hold it
    exclusively goes before those who come to share it.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._shared = 0
        self._exclusive = False
        self._waiting = 0  # for it exclusively

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._exclusive and not self._waiting)
            self._shared += 1
        try:
            yield
        finally:
            async with self._changed:
                self._shared -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        async with self._changed:
            self._waiting += 1
            try:
                await self._changed.wait_for(lambda: not self._exclusive and not self._shared)
                self._exclusive = True
            finally:
                self._waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            async with self._changed:
                self._exclusive = False
                self._changed.notify_all()
