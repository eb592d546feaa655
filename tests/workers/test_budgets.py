"""A lane's bounds hold before bytes are fetched, however slow its source or its model is.

VINBATCH_PAGES=3000 pytest tests/workers/test_budgets.py --timeout 0      the long document as long as it gets
"""

from __future__ import annotations

import asyncio
import gc
import io
import os
import weakref
import zipfile
from typing import Any

import pytest

from pipeline import sources
from pipeline.errors import NoRoom, Permanent, Reason
from pipeline.records import DocumentRef, Generation, Request
from pipeline.settings import SourceSettings
from tests.workers.conftest import Bench, InProcessReader, Reference, RoteReplica
from workers.document import Attempt, Lane
from workers.flow_control import Budget
from workers.reader import Fetched, TooLarge

PAGES = int(os.environ.get("VINBATCH_PAGES", "120"))


class Watched(InProcessReader):
    """Notes how many bytes are fetched or waiting to be drawn at once."""

    now = most = fetches = 0

    async def fetch(self, uri: str, etag: str | None, most: int) -> Fetched | TooLarge:
        Watched.fetches += 1
        Watched.now += most
        Watched.most = max(Watched.most, Watched.now)
        try:
            await asyncio.sleep(0.02)  # a slow store
            return await super().fetch(uri, etag, most)
        finally:
            Watched.now -= most


@pytest.fixture
def watched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("tests.workers.conftest.InProcessReader", Watched)
    for figure in ("now", "most", "fetches"):
        monkeypatch.setattr(Watched, figure, 0)
    return bench


class Full(RoteReplica):
    """Answers nobody until so many ask at once, however slowly their pages are drawn."""

    def __init__(self, most: int) -> None:
        super().__init__(seconds=0.02)
        self._missing = most
        self._full = asyncio.Event()

    async def generate(self, request: Request) -> Generation:
        self._missing -= 1
        if self._missing <= 0:
            self._full.set()
        await self._full.wait()
        return await super().generate(request)


def with_settings(bench: Bench, *, source: dict[str, Any] | None = None, **lane: Any) -> None:
    changes: dict[str, Any] = {
        "lane": bench.settings.lane.model_copy(update=lane),
        "source": bench.settings.source.model_copy(update=source or {}),
    }
    bench.use(bench.settings.model_copy(update=changes))


def add_listed(bench: Bench, *uris: str) -> None:
    listed = [ref for uri in uris for ref in sources.list_documents([uri], SourceSettings())]
    bench.store.ledger.add(bench.job, listed)


@pytest.mark.medium
def test_what_is_fetched_at_once_is_bounded_by_the_sizes_in_the_listing(watched: Bench) -> None:
    uris = [watched.pdf(f"{number}.pdf", [(number, 9, 9)]) for number in range(12)]
    sizes = [ref.size or 0 for uri in uris for ref in sources.list_documents([uri], SourceSettings())]
    with_settings(watched, bytes_in_flight=2 * 3 * max(sizes))
    add_listed(watched, *uris)
    report = watched.work(watched.claim())
    assert report.documents == {"done": 12} and Watched.fetches == 12
    assert max(sizes) < Watched.most <= 3 * max(sizes)  # several at once, and no more than the budget


@pytest.mark.medium
def test_a_size_that_is_not_listed_or_not_true_is_found_out_before_the_bytes_come(
    watched: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.document._UNLISTED", 100)
    unlisted, lied = watched.pdf("unlisted.pdf", [(1, 9, 9)]), watched.pdf("lied.pdf", [(2, 9, 9)])
    watched.store.ledger.add(watched.job, [DocumentRef(unlisted), DocumentRef(lied, size=10)])
    assert watched.work(watched.claim()).documents == {"done": 2}
    assert Watched.fetches == 4  # each was asked for again, with room for what it has


def test_a_file_over_the_limit_is_refused_with_its_figure_and_never_fetched(watched: Bench) -> None:
    add_listed(watched, watched.pdf("large.pdf", [(1, 9, 9)]))
    watched.add(watched.pdf("unlisted.pdf", [(1, 9, 9)]))
    with_settings(watched, source={"max_bytes": 500})
    watched.work(watched.claim())
    assert watched.states() == dict.fromkeys(("large.pdf", "unlisted.pdf"), ("quarantined", "too_many_bytes"))
    assert Watched.fetches == 1  # to learn the size that is not listed
    for failed in watched.store.failures.each(watched.job):
        assert "at most 500 are allowed (source.max_bytes)" in failed.failure.message


def test_the_source_says_what_has_no_room_without_fetching_it(bench: Bench) -> None:
    path = bench.folder / "box.zip"
    with zipfile.ZipFile(path, "w") as box:
        box.writestr("a.png", b"x" * 1000)
    (bench.folder / "a.pdf").write_bytes(b"x" * 1000)
    for uri in (f"{path}!/a.png", str(bench.folder / "a.pdf")):
        with pytest.raises(NoRoom, match="has 1,000 bytes; there is room for 999") as caught:
            sources.fetch(uri, SourceSettings(), room=999)
        assert caught.value.details["size"] == 1000
        assert len(sources.fetch(uri, SourceSettings(), room=1000).data) == 1000
        with pytest.raises(Permanent) as refused:
            sources.fetch(uri, SourceSettings(max_bytes=500), room=499)
        assert refused.value.reason is Reason.too_many_bytes


@pytest.mark.medium
def test_the_bytes_of_a_document_are_held_no_longer_than_its_pages_are_drawn(bench: Bench) -> None:
    bench.replica.seconds = 30.0
    bench.add(bench.pdf("two.pdf", [(1, 9, 9), (2, 9, 9)]))
    [lease] = bench.claim()

    async def draw() -> None:
        lane, drawn = bench.lane(), asyncio.Event()
        living: list[weakref.ref[Reference]] = []
        reader = lane.readers.next()
        fetch = reader.fetch

        async def noted(uri: str, etag: str | None, most: int) -> Fetched | TooLarge:
            answer = await fetch(uri, etag, most)
            if isinstance(answer, Fetched):
                living.append(weakref.ref(answer.document))
            return answer

        reader.fetch = noted  # type: ignore[method-assign]
        attempt = asyncio.create_task(Attempt(lane, lease, drawn.set).complete())
        try:
            await asyncio.wait_for(drawn.wait(), 60)
            await asyncio.sleep(0)
            gc.collect()
            assert (lane.document_bytes.used, lane.pages.used) == (0, 2)
            assert [reference() for reference in living] == [None]
        finally:
            attempt.cancel()
            await asyncio.wait([attempt])
            bench.end(lane)
        assert (lane.pages.used, lane.page_bytes.used) == (0, 0)

    asyncio.run(draw())


@pytest.mark.slow
def test_a_long_document_holds_only_the_pages_that_it_may(bench: Bench) -> None:
    """With a slow model: the drawn pages wait for their budget, not in memory."""
    import pypdfium2

    pdf, stream = pypdfium2.PdfDocument.new(), io.BytesIO()
    for _ in range(PAGES):
        pdf.new_page(100, 100)
    pdf.save(stream)
    pdf.close()
    (bench.folder / "long.pdf").write_bytes(stream.getvalue())
    tile = 448 * 448 * 3
    with_settings(bench, pages_in_flight=16, bytes_in_flight=2 * 5 * tile)
    bench.replica = Full(5)
    add_listed(bench, str(bench.folder / "long.pdf"))

    async def walk() -> Lane:
        lane = bench.lane()
        try:
            [lease] = bench.claim()
            await asyncio.wait_for(Attempt(lane, lease, lambda: None).complete(), 600)
        finally:
            bench.end(lane)
        return lane

    lane = asyncio.run(walk())
    assert lane.report.documents == {"done": 1} and lane.report.pages == PAGES
    assert lane.page_bytes.peak == 5 * tile and bench.replica.most_beside == 5  # as many as may, no more
    assert lane.pages.peak <= 16


def test_a_reservation_that_grows_gives_back_before_it_waits() -> None:
    """Two that grow into a budget which holds only one of them: both come through."""

    async def use() -> int:
        budget = Budget(10)

        async def grow() -> None:
            async with budget.reserved(5) as reservation:
                await asyncio.sleep(0)
                await reservation.resize(10)
                assert budget.used == 10
                await reservation.resize(3)

        await asyncio.wait_for(asyncio.gather(grow(), grow()), 5)
        assert budget.used == 0
        return budget.peak

    assert asyncio.run(use()) == 10
