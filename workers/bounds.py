"""What keeps a lane within its settings: a bound on what is held, and who may run beside whom."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pipeline.errors import Reason
from pipeline.records import Failure
from workers.lane import SourceRefuses

_REFUSALS = (Reason.access_denied, Reason.bucket_missing)


class Room:
    """A bound on an amount that is held at once (bytes, pages). First come, first served.

    What is larger than the whole room is let in when nothing else is there: it passes, alone.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.peak = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, amount: int) -> None:
        """Wait until `amount` fits. Every take is followed by one `give` of the same amount."""
        if not self._waiting and self._fits(amount):
            self._hold(amount)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._admit()  # those behind it need not wait for its turn
            else:
                self.give(amount)  # it was let in at the moment it gave up
            raise

    def give(self, amount: int) -> None:
        self.used -= amount
        self._admit()

    @asynccontextmanager
    async def held(self, amount: int) -> AsyncIterator[Share]:
        await self.take(amount)
        share = Share(self, amount)
        try:
            yield share
        finally:
            self.give(share.amount)

    def _admit(self) -> None:
        while self._waiting:
            amount, turn = self._waiting[0]
            if not turn.cancelled():
                if not self._fits(amount):
                    return
                self._hold(amount)
                turn.set_result(None)
            self._waiting.popleft()

    def _fits(self, amount: int) -> bool:
        return not self.used or self.used + amount <= self.limit

    def _hold(self, amount: int) -> None:
        self.used += amount
        self.peak = max(self.peak, self.used)


class Share:
    """What somebody holds of a room."""

    def __init__(self, room: Room, amount: int) -> None:
        self._room = room
        self.amount = amount

    async def become(self, amount: int) -> None:
        """Hold another amount from now on. For more than before all is given back first: who waits for more
        while holding some might wait for ever.
        """
        if amount > self.amount:
            given, self.amount = self.amount, 0
            self._room.give(given)
            await self._room.take(amount)
        else:
            self._room.give(self.amount - amount)
        self.amount = amount


class Brake:
    """Stops a lane whose documents are all refused: one wrong key would quarantine a million of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._row = 0

    def fetched(self) -> None:
        """A document was let through."""
        self._row = 0

    def failed(self, why: Failure) -> None:
        """Raises SourceRefuses when this is one too many with nothing fetched in between."""
        if why.reason not in _REFUSALS:
            return
        self._row += 1
        if self._row >= self._limit:
            refused = f"{self._row} documents in a row were refused (lane.refusals), the last: {why.message}"
            again = f"when that is mended, vinbatch retry --reason {why.reason} puts them back"
            raise SourceRefuses(f"{refused}; {again}")


class Company:
    """Requests run together; a suspect, whose company lost its replica, runs alone.

    So a death can be laid at one page's door, and its neighbours are not counted against.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._together = 0
        self._alone = False
        self._suspects = 0

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._alone and not self._suspects)
            self._together += 1
        try:
            yield
        finally:
            async with self._changed:
                self._together -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._changed:
            self._suspects += 1
            try:
                await self._changed.wait_for(lambda: not self._alone and not self._together)
                self._alone = True
            finally:
                self._suspects -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            async with self._changed:
                self._alone = False
                self._changed.notify_all()
