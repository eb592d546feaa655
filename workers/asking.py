"""A drawn page and the model: asked until it is answered, whatever becomes of replicas.

The bytes of its tiles are let go of once the replica needs them no more, so that as many pages are in flight
as the model decodes together. Where a replica dies after that, the page is drawn once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import Reason, ReplicaLost, Transient
from pipeline.reading import Reading
from pipeline.records import Failure, PageRecord, PageResult
from workers.flow_control import Prepared
from workers.reader import TooLarge
from workers.reader_handle import ReaderLost

if TYPE_CHECKING:
    from workers.document import Lane


async def ask(lane: Lane, reading: Reading, number: int, prepared: Prepared) -> PageResult:
    """What the model says of a drawn page. Raises why it could not be drawn a second time."""
    alone = False
    while True:
        try:
            if prepared.request is None:
                await _draw_again(lane, reading, number, prepared)
            async with lane.isolation.exclusive() if alone else lane.isolation.shared():
                lane.report.calls += 1
                with lane.report.timed("model"):
                    generation = await lane.replica.generate(reading.request_id(number), prepared)
        except ReaderLost as error:  # which was alone with it
            result = reading.lost(number, error)
            if result is not None:
                return result
        except ReplicaLost as error:
            result = reading.lost(number, error, alone=alone)
            if result is not None:
                return result
            alone = True
        else:
            lane.report.looks += generation.looked_again
            result = reading.answered(generation)
            lane.report.pages += 1
            lane.report.answers += 1
            lane.report.tokens += len(generation.spans)
            return result


async def _draw_again(lane: Lane, reading: Reading, number: int, prepared: Prepared) -> None:
    """The same version of the page's file is fetched anew, and the page drawn from it.

    The file is in nobody's budget, because whoever holds some of one may be waiting for this page; there is
    one such file at a time.
    """
    index, own = reading.place(number)
    part = reading.parts[index]
    async with lane.again:
        reader = lane.readers.next()
        with lane.report.timed("fetch"):
            fetched = await reader.fetch(part.uri, part.etag, part.size or 0)
        if isinstance(fetched, TooLarge) or fetched.sha256 != part.sha256:
            raise Transient(Reason.object_changed, f"{part.uri} has changed since it was drawn")
        with lane.report.timed("draw"):
            page, request = await reader.draw(fetched, own, reading.request_id(number))
    if isinstance(page, Failure):
        raise Transient(page.reason, f"page {own} could not be drawn a second time: {page.message}")
    if isinstance(page, PageRecord):
        raise RuntimeError(f"page {own} was for the model, and is not when drawn a second time")
    await prepared.hold(request, page.size)
