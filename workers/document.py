"""One leased document in a lane: fetch, draw, have its pages answered side by side, end it.

Every page is in the store as soon as it is read. However the attempt ends, the document is committed,
quarantined or given back under its lease's token, so that a lane that comes late changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from pipeline import run
from pipeline.errors import Coded, LeaseLost, Permanent, UsageError
from pipeline.reading import DEATHS, Commit, Reading, Verdict, failure, no_result
from pipeline.recipe import Recipe
from pipeline.records import DocumentRef, Failure, PageRecord, PageResult, Part
from pipeline.sources import SizeLimits
from pipeline.store import MOST, Lease, Result, State, Store
from schemas import reading_day
from workers import asking, endings
from workers.flow_control import Budget, CircuitBreaker, IsolationLock, Prepared, Reservation
from workers.grouping import Grouped
from workers.lane import LaneBroken, LaneReport
from workers.logs import fields
from workers.patience import Patience
from workers.reader import Counted, DrawnPage, Fetched, TooLarge
from workers.reader_handle import ReaderHandle, ReaderLost, ReaderPool
from workers.replica_handle import ReplicaHandle
from workers.sizing import Sizes
from workers.supervisor import Ref

_LOG = logging.getLogger(__name__)
_PAUSE = 0.25  # seconds between two transactions of a lane that keep what was read
_KEYS = 512  # asked of the store at once
_UNLISTED = 8 * 2**20  # bytes reserved for a document whose size is not listed, until it is known

Known = dict[str, PageResult]  # by key


@dataclass
class Lane:
    """What the documents of a lane share."""

    recipe: Recipe
    store: Store
    patience: Patience
    readers: ReaderPool
    replica: ReplicaHandle
    report: LaneReport
    sizes: Sizes
    isolation: IsolationLock = field(default_factory=IsolationLock)
    again: asyncio.Lock = field(default_factory=asyncio.Lock)  # pages are drawn a second time one by one
    in_hand: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)  # by sha256

    def __post_init__(self) -> None:
        self.pages = Budget(self.sizes.pages_in_flight)
        # Two halves: a document that holds its bytes must not wait for those that only it can give back.
        self.document_bytes = Budget(self.sizes.bytes_in_flight // 2)
        self.page_bytes = Budget(self.sizes.bytes_in_flight // 2)
        self.breaker = CircuitBreaker(self.recipe.settings.lane.refusals)
        ask, results = self.patience.call_async, self.store.results
        self.known = Grouped[Sequence[str], Known](lambda some: ask(self._known, some), 0.0, MOST)
        self.saves = Grouped[tuple[Lease, PageResult], None](
            lambda some: ask(results.save_pages, some), _PAUSE, MOST
        )
        self.commits = Grouped[Result, State](lambda some: ask(results.commit_group, some), _PAUSE, MOST)

    def _known(self, several: Sequence[Sequence[str]]) -> list[Known]:
        found = self.store.results.known_pages({key for keys in several for key in keys})
        return [{key: found[key] for key in keys if key in found} for keys in several]

    @asynccontextmanager
    async def once(self, sha256: str) -> AsyncIterator[None]:
        """One document at a time with these bytes: the next one finds its pages in the store."""
        async with self.in_hand.setdefault(sha256, asyncio.Lock()):
            yield


class Attempt:
    """One try at one leased document: the asynchronous driver of `pipeline.reading`.

    `drawn` is called when the last page has left the reader.
    """

    def __init__(self, lane: Lane, lease: Lease, drawn: Callable[[], None]) -> None:
        self._lane = lane
        self._lease = lease
        self._drawn = drawn
        self._parts: tuple[Part, ...] = ()  # the document's files, as far as they were found

    async def complete(self) -> None:
        """To the end, whatever it is. Raises only UsageError or LaneBroken: the lane itself cannot work."""
        try:
            try:
                reading = await self._read()
                last = self._lease.tries >= self._lane.recipe.settings.lane.attempts
                await self._end(await asyncio.to_thread(reading.verdict, last_try=last))
            except (LeaseLost, UsageError, LaneBroken):
                raise
            except Exception as error:  # noqa: BLE001  it becomes the document's failure, with its traceback
                why = failure(error)
                trace = why.traceback or "".join(traceback.format_exception(error))
                await self._end(no_result(replace(why, traceback=trace)))
        except LeaseLost:
            self._lane.report.late += 1
            _LOG.warning(
                "a lease is lost, and what was offered under it was not kept",
                extra=fields(document=self._lease.uri),
            )

    async def _read(self) -> Reading:
        """Fetch the document and have every page drawn; each goes on to the model by itself."""
        lane, lease = self._lane, self._lease
        refs = lease.parts or (DocumentRef(lease.uri, lease.size, lease.etag),)
        expected = sum(_UNLISTED if ref.size is None else ref.size for ref in refs)
        try:
            async with AsyncExitStack() as until_answered, asyncio.TaskGroup() as answers:
                async with lane.document_bytes.reserved(expected) as reserved:
                    files = [await self._fetch(ref, reserved) for ref in refs]
                    await reserved.resize(sum(part.size or 0 for part in self._parts))
                    for sha256 in sorted({file.sha256 for file in files if file is not None}):
                        # All in one order, so that no two documents wait for each other.
                        await until_answered.enter_async_context(lane.once(sha256))
                    reading = await self._draw(files, answers)
                    del files  # they hold the bytes, which nobody needs while pages are answered
                self._drawn()
        except BaseExceptionGroup as several:
            raise _first(several) from several  # the others were cancelled for it
        return reading

    async def _fetch(self, ref: DocumentRef, reserved: Reservation) -> Fetched | None:
        """One file of the document, after those that `_parts` has; None for a part that cannot be had.

        Raises what is wrong with the only file of a document.
        """
        lane, held = self._lane, sum(part.size or 0 for part in self._parts if part.failure is None)
        known = Part(ref.uri, None, ref.etag, ref.size, failure=ref.failure)
        fetched: Fetched | None = None
        try:
            if ref.failure is None:
                SizeLimits(lane.recipe.settings.source.max_bytes).judge(ref.uri, ref.size or 0)
                while isinstance(answer := await self._answer_of(ref, reserved.amount - held), TooLarge):
                    run.within(lane.recipe, ref.uri, held, answer.size)
                    await reserved.resize(held + answer.size)
                lane.breaker.fetched()
                run.within(lane.recipe, ref.uri, held, answer.size)
                fetched = answer
                known = Part(ref.uri, answer.sha256, answer.etag, answer.size, kind=answer.kind)
        except Coded as error:
            if not self._lease.parts:
                raise
            known = replace(known, size=None, failure=failure(error))
        self._parts = (*self._parts, known)
        return fetched

    async def _answer_of(self, ref: DocumentRef, room: int) -> Fetched | TooLarge:
        with self._lane.report.timed("fetch"):
            return await self._lane.readers.next().fetch(ref.uri, ref.etag, room)

    async def _draw(self, files: Sequence[Fetched | None], answers: asyncio.TaskGroup) -> Reading:
        """Have every page drawn that the store does not have."""
        lane, lease = self._lane, self._lease
        async with lane.readers.exclusive() as reader:
            opened = zip(self._parts, files, strict=True)
            self._parts = tuple([await self._open(reader, part, file) for part, file in opened])
            prefix = f"{lease.token}/{lease.document_id}/"
            today = reading_day.of(datetime.now(UTC))
            reading = Reading(lane.recipe, self._parts, prefix=prefix, today=today)
            for failed in reading.finished:
                await self._keep(failed)
            keys = list(reading.keys.values())
            for start in range(0, len(keys), _KEYS):
                some = keys[start : start + _KEYS]
                with lane.report.timed("claim"):
                    reading.known(await lane.known.call(some))
            lane.report.pages_known += sum(page.failure is None for page in reading.finished)
            for number in reading.missing:
                file = files[reading.place(number)[0]]
                if file is None:
                    raise RuntimeError(f"page {number} is missing, and its file was never fetched")
                await self._draw_page(reader, file, reading, number, answers)
        return reading

    async def _open(self, reader: ReaderHandle, part: Part, file: Fetched | None) -> Part:
        """The part with its number of pages. Raises what is wrong with the only file of a document."""
        if file is None:
            return part
        try:
            with self._lane.report.timed("draw"):
                counted = await _count(reader, file)
            known = replace(part, pages=counted.pages, attached=counted.attached)
            return replace(known, members=counted.members)
        except Coded as error:
            if not self._lease.parts:
                raise
            return replace(part, failure=failure(error))

    async def _draw_page(
        self,
        reader: ReaderHandle,
        fetched: Fetched,
        reading: Reading,
        number: int,
        answers: asyncio.TaskGroup,
    ) -> None:
        """Draw a page as soon as the lane may hold another, and leave it to a task to have it answered."""
        lane = self._lane
        with ExitStack() as held:
            with lane.report.timed("room"):
                await lane.pages.acquire(1)
            held.callback(lane.pages.release, 1)
            drawn = await self._drawn_page(reader, fetched, reading, number)
            if drawn is None:
                return
            page, request = drawn
            prepared = Prepared(lane.page_bytes)
            held.callback(prepared.let_go)
            with lane.report.timed("room"):
                await prepared.hold(request, page.size)
            del drawn, request  # the reference is to be nowhere but there
            task = answers.create_task(self._answer(reading, number, prepared))
            until_answered = held.pop_all()
            # Not in the task itself: one that is cancelled before it begins would give nothing back.
            task.add_done_callback(lambda _: until_answered.close())

    async def _drawn_page(
        self, reader: ReaderHandle, fetched: Fetched, reading: Reading, number: int
    ) -> tuple[DrawnPage, Ref] | None:
        """A page that waits for its answer, with its request; None if it is finished, without a result."""
        page: DrawnPage | PageRecord | Failure | None = reading.given_up(number)
        request: Ref = None
        while page is None:
            try:
                own = reading.place(number)[1]
                with self._lane.report.timed("draw"):
                    page, request = await reader.draw(fetched, own, reading.request_id(number))
            except ReaderLost as error:
                result = reading.lost(number, error)
                if result is not None:
                    await self._keep(result)
                    return None
        if isinstance(page, Failure):
            await self._keep(reading.failed(number, page))
            return None
        if isinstance(page, PageRecord):
            await self._keep(reading.read(number, page))
            self._lane.report.pages += 1
            return None
        reading.drawn(number, page.page)
        self._lane.report.tiles += len(page.page.tiles)
        return page, request

    async def _answer(self, reading: Reading, number: int, prepared: Prepared) -> None:
        """Have the model answer a page, and keep the result."""
        await self._keep(await asking.ask(self._lane, reading, number, prepared))

    async def _keep(self, result: PageResult) -> None:
        """Into the store, unless another try may do better."""
        if result.failure is not None:
            _LOG.warning(
                "a page has no result",
                extra=fields(document=self._lease.uri, page=result.page, reason=result.failure.reason),
            )
        if result.failure is None or not result.failure.retryable:
            with self._lane.report.timed("save"):
                await self._lane.saves.call((self._lease, result))

    async def _end(self, verdict: Verdict) -> None:
        """Tell the ledger, and report the state that it has left the document in."""
        lane, lease = self._lane, self._lease
        attempts = lane.recipe.settings.lane.attempts
        with lane.report.timed("commit"):
            if isinstance(verdict, Commit):
                state = await lane.commits.call(endings.result(lease, verdict, self._parts))
            else:
                state = await lane.patience.call_async(
                    endings.end, lane.store, lease, verdict, self._parts, attempts
                )
        endings.report(lane.report, lane.breaker, lease, verdict, state)


async def _count(reader: ReaderHandle, fetched: Fetched) -> Counted:
    """Its pages. Raises Permanent when the document kills whatever opens it."""
    deaths = 0
    while True:
        try:
            return await reader.count(fetched)
        except ReaderLost as error:
            deaths += 1
            if deaths == DEATHS:
                message = f"{error.message} on opening it, {DEATHS} times"
                raise Permanent(error.reason, message) from error


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    first = several.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
