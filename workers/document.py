"""One document's way through a lane: fetch, draw, read page by page, merge, commit.

Every page is in the store as soon as it is read. However the way ends, the document is committed, quarantined
or given back under its lease's token, so that a lane that comes late changes nothing.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakValueDictionary

from pipeline import run
from pipeline.errors import Coded, LeaseLost, NoRoom, Permanent, ReplicaLost, UsageError
from pipeline.records import Extraction, Failure, Generation, PageResult
from pipeline.sources import Limits
from pipeline.store import Lease, Store
from workers.bounds import Brake, Company, Room, Share
from workers.crew import ReaderLost, Readers, ReaderSeat, Ref, ReplicaSeat
from workers.lane import LaneBroken, LaneReport
from workers.reader import DrawnPage, Fetched

Ledger = Callable[
    ..., Awaitable[Any]
]  # takes a method of the store and its arguments; waits for an absent store

_DEATHS = 2  # of a process that had only this page to work on: then the page is held to have killed it
_KEYS = 512  # asked of the store at once
_UNLISTED = 8 * 2**20  # bytes of room for a document whose size is not listed, until it is known
_RETRY_SECONDS = 1.0  # before a document is tried again; doubles with each try


@dataclass
class Lane:
    """What the documents of a lane share."""

    recipe: run.Recipe
    store: Store
    ledger: Ledger
    readers: Readers
    replica: ReplicaSeat
    report: LaneReport
    company: Company = field(default_factory=Company)
    in_hand: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)  # by sha256

    def __post_init__(self) -> None:
        bounds = self.recipe.settings.lane
        self.pages = Room(bounds.pages_in_flight)
        # Two halves: a document that holds its bytes must not wait for room that only it can give back.
        self.document_bytes = Room(bounds.bytes_in_flight // 2)
        self.page_bytes = Room(bounds.bytes_in_flight // 2)
        self.brake = Brake(bounds.refusals)

    @asynccontextmanager
    async def once(self, sha256: str) -> AsyncIterator[None]:
        """One document at a time with these bytes: the next one finds its pages in the store."""
        async with self.in_hand.setdefault(sha256, asyncio.Lock()):
            yield


class Way:
    """The way of one leased document. `drawn` is called when its last page has left the reader."""

    def __init__(self, lane: Lane, lease: Lease, drawn: Callable[[], None]) -> None:
        self._lane = lane
        self._lease = lease
        self._drawn = drawn
        self._fetched: Fetched | None = None
        self._finished: dict[int, PageResult] = {}  # known, or failed before the model saw them
        self._reading: dict[int, asyncio.Task[PageResult]] = {}

    async def walk(self) -> None:
        """To the end, whatever it is. Raises only UsageError or LaneBroken: the lane itself cannot work."""
        try:
            try:
                pages = await self._pages()
                outcome = await asyncio.to_thread(run.outcome, pages, self._lane.recipe)
                await self._end(outcome, pages)
            except (LeaseLost, UsageError, LaneBroken):
                raise
            except Exception as error:  # noqa: BLE001  it becomes the document's failure, with its traceback
                why = run.failure(error)
                await self._give_up(
                    replace(why, traceback=why.traceback or "".join(traceback.format_exception(error)))
                )
        except LeaseLost:
            self._lane.report.late += 1

    async def _pages(self) -> list[PageResult]:
        """Every page of the document, in order."""
        try:
            async with AsyncExitStack() as held, asyncio.TaskGroup() as group:
                await self._draw(held, group)
                self._drawn()
        except BaseExceptionGroup as several:
            raise _first(several) from several  # the others were cancelled for it
        read = {number: task.result() for number, task in self._reading.items()}
        return [page for _, page in sorted({**self._finished, **read}.items())]

    async def _draw(self, held: AsyncExitStack, group: asyncio.TaskGroup) -> None:
        """Fetch the document and have every page drawn; each goes on to the model by itself."""
        lane, lease = self._lane, self._lease
        deaths: Counter[int] = Counter()
        expected = _UNLISTED if lease.size is None else lease.size
        Limits(lane.recipe.settings.source.max_bytes).judge(lease.uri, lease.size or 0)
        async with lane.document_bytes.held(expected) as room:
            self._fetched, document = await self._fetch(room)
            await held.enter_async_context(lane.once(self._fetched.sha256))
            while True:
                at = 0
                try:
                    async with lane.readers.one() as reader:
                        for at in await self._missing(reader, document):
                            await self._draw_page(reader, at, group)
                        await reader.close()
                        return
                except ReaderLost as error:
                    deaths[at] += 1
                    if deaths[at] >= _DEATHS:
                        await self._deadly(at, error)

    async def _fetch(self, room: Share) -> tuple[Fetched, Ref]:
        """The bytes, when there is room for as many as the document really has."""
        while True:
            try:
                fetched, document = await self._lane.readers.fetch(
                    self._lease.uri, self._lease.etag, room.amount
                )
            except NoRoom as error:
                await room.become(error.details["size"])
            else:
                self._lane.brake.fetched()
                await room.become(fetched.size)
                return fetched, document

    async def _missing(self, reader: ReaderSeat, document: Ref) -> list[int]:
        """Open the document; the pages that nobody has read yet, which the reader will draw next."""
        count = await reader.open(document)
        if not self._finished and not self._reading:
            await self._recall(count)
        missing = [n for n in range(1, count + 1) if n not in self._finished and n not in self._reading]
        await reader.choose(missing)
        return missing

    async def _recall(self, count: int) -> None:
        """Take over the pages that the store has."""
        keys = {self._key(number): number for number in range(1, count + 1)}
        every = list(keys)
        for start in range(0, count, _KEYS):
            known = await self._lane.ledger(self._lane.store.known_pages, every[start : start + _KEYS])
            for key, page in known.items():
                self._finished[keys[key]] = page
        self._lane.report.pages_known += len(self._finished)

    async def _draw_page(self, reader: ReaderSeat, number: int, group: asyncio.TaskGroup) -> None:
        lane = self._lane
        await lane.pages.take(1)
        try:
            page, request = await reader.draw(f"{self._lease.token}/{self._lease.document_id}/{number}")
            if isinstance(page, Failure):
                await self._keep(run.failed_page(page, self._key(number)))
                lane.pages.give(1)
                return
            await lane.page_bytes.take(page.size)
        except BaseException:
            lane.pages.give(1)
            raise
        task = self._reading[number] = group.create_task(self._read(page, request, self._key(number)))
        task.add_done_callback(lambda _: self._give_room(page.size))

    def _give_room(self, size: int) -> None:
        self._lane.pages.give(1)
        self._lane.page_bytes.give(size)

    async def _read(self, drawn: DrawnPage, request: Ref, key: str) -> PageResult:
        try:
            generation = await self._generate(request)
        except ReplicaLost as error:
            return await self._keep(run.failed_page(_killer(error, drawn.page.page), key))
        result = run.page_result(drawn.page, generation, self._lane.recipe, key)
        self._lane.report.pages += 1
        self._lane.report.tokens += len(generation.spans)
        return await self._keep(result)

    async def _generate(self, request: Ref) -> Generation:
        """The answer, whatever becomes of replicas. Raises ReplicaLost when this page is what kills them."""
        lane = self._lane
        try:
            async with lane.company.together():
                return await lane.replica.generate(request)
        except ReplicaLost as error:
            lost = error
        for _ in range(_DEATHS):
            try:
                async with lane.company.alone():
                    return await lane.replica.generate(request)
            except ReplicaLost as error:
                lost = error
        raise lost

    async def _deadly(self, number: int, error: ReaderLost) -> None:
        """A page that kills its readers fails, and the others go on; on opening, the document fails."""
        if not number:
            raise Permanent(error.reason, f"{error.message} on opening it, {_DEATHS} times") from error
        await self._keep(run.failed_page(_killer(error, number), self._key(number)))

    async def _keep(self, result: PageResult) -> PageResult:
        """Into the store, unless another try may do better."""
        if result.failure is None or not result.failure.retryable:
            await self._lane.ledger(self._lane.store.save_page, self._lease, result)
        if result.failure is not None:
            self._finished.setdefault(result.page, result)
        return result

    async def _end(self, outcome: Extraction | Failure, pages: list[PageResult]) -> None:
        lane, lease, fetched = self._lane, self._lease, self._fetched
        passing = next((p.failure for p in pages if p.failure is not None and p.failure.retryable), None)
        if isinstance(outcome, Failure):
            await self._give_up(outcome)
        elif passing is not None and lease.attempt < lane.recipe.settings.lane.attempts:
            await self._give_up(passing)
        elif fetched is None:
            raise RuntimeError("a document was read that was never fetched")
        else:
            await lane.ledger(
                lane.store.commit, lease, outcome, pages, sha256=fetched.sha256, etag=fetched.etag
            )
            lane.report.documents[outcome.state] += 1
            lane.report.reasons.update(str(page.failure.reason) for page in pages if page.failure is not None)

    async def _give_up(self, why: Failure) -> None:
        """To be tried again where that may help and tries are left; else the end."""
        lane, lease = self._lane, self._lease
        attempts = lane.recipe.settings.lane.attempts
        if why.retryable:
            delay = _RETRY_SECONDS * 2 ** (lease.attempt - 1)
            await lane.ledger(lane.store.release, lease, why, delay=delay, attempts=attempts)
        else:
            sha256 = self._fetched.sha256 if self._fetched is not None else None
            await lane.ledger(lane.store.quarantine, lease, why, sha256=sha256)
        if why.retryable and lease.attempt < attempts:
            lane.report.given_back += 1
        else:
            lane.report.documents["quarantined"] += 1
            lane.report.reasons[str(why.reason)] += 1
        lane.brake.failed(why)

    def _key(self, number: int) -> str:
        if self._fetched is None:
            raise RuntimeError("a page has no key before its document is fetched")
        return self._lane.recipe.page_key(self._fetched.sha256, number)


def _killer(error: Coded, page: int) -> Failure:
    """The failure of a page that ends the process it is given to."""
    message = f"page {page}: {error.message}, {_DEATHS} times with nothing else to do"
    return Failure(error.reason, message, page, traceback="".join(traceback.format_exception(error)))


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    first = several.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
