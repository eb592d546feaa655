"""A lane's bounds hold before bytes are fetched, however slow its source or its model is.

VINBATCH_PAGES=3000 pytest tests/workers/test_budgets.py --timeout 0      the long document as long as it gets
"""

from __future__ import annotations

import asyncio
import gc
import io
import os
import threading
import weakref
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pypdfium2
import pytest

from pipeline import sources
from pipeline.errors import NoRoom, Permanent, Reason, ReplicaLost
from pipeline.records import DocumentRef, Generation, Request
from pipeline.settings import EngineSettings, SourceSettings
from pipeline.vintern import gpu, load
from pipeline.vintern.engine import Engine
from pipeline.vintern.kv_cache import fitting
from tests.servers.starting import PATIENCE
from tests.vintern import checkpoints
from tests.vintern.pages import CARD, page
from tests.workers.conftest import Bench, InProcessReader, Reference, RoteReplica
from workers.document import Attempt, Lane
from workers.flow_control import Budget
from workers.reader import Fetched, TooLarge
from workers.replica import Replica

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

    async def answer_of(self, request: Request) -> Generation:
        self._missing -= 1
        if self._missing <= 0:
            self._full.set()
        await self._full.wait()
        return await super().answer_of(request)


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
    pdf, stream = pypdfium2.PdfDocument.new(), io.BytesIO()
    for _ in range(PAGES):
        pdf.new_page(100, 100)
    pdf.save(stream)
    pdf.close()
    (bench.folder / "long.pdf").write_bytes(stream.getvalue())
    tile = 448 * 448 * 3
    with_settings(bench, pages_in_flight=16, bytes_in_flight=2 * 5 * tile)
    bench.replica = Full(5)
    bench.replica.own_memory = False
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
    assert lane.report.documents == {"review": 1}  # its pages are empty, and yet values were read from them
    assert lane.report.pages == PAGES
    assert lane.page_bytes.peak == 5 * tile and bench.replica.most_beside == 5  # as many as may, no more
    assert lane.pages.peak <= 16


class Wide(InProcessReader):
    """Draws one page, and gives it for all of them; what it gives has the bytes of 13 tiles."""

    _one: Any = None

    async def draw(self, fetched: Fetched, page: int, request_id: str) -> tuple[Any, Any]:
        if self._one is None:
            self._one = await super().draw(fetched, page, request_id)
        drawn, request = self._one
        wide = replace(drawn, page=replace(drawn.page, page=page), size=13 * 448 * 448 * 3)
        return wide, replace(request, id=request_id)


@pytest.mark.slow
def test_on_a_card_of_80_gb_256_answers_are_in_flight_whatever_bytes_their_pages_have(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device answers nobody before so many are with it; twice their bytes would be over the budget."""
    token_bytes = 2 * 24 * 2 * 64 * 2  # Vintern-1B's, as in test_sizing
    batch, _ = fitting(EngineSettings(), 4096, token_bytes, 77 * 2**30, gpu.BATCH)
    monkeypatch.setattr("tests.workers.conftest.InProcessReader", Wide)
    bench.lane_job = replace(bench.lane_job, gpus=1.0, cores=16.0)
    bench.replica = Full(batch)
    pdf, stream = pypdfium2.PdfDocument.new(), io.BytesIO()
    for _ in range(batch + 10):
        pdf.new_page(100, 100)
    pdf.save(stream)
    pdf.close()
    (bench.folder / "many.pdf").write_bytes(stream.getvalue())
    add_listed(bench, str(bench.folder / "many.pdf"))

    async def walk() -> Lane:
        lane = bench.lane()
        try:
            [lease] = bench.claim()
            await asyncio.wait_for(Attempt(lane, lease, lambda: None).complete(), PATIENCE)
        finally:
            bench.end(lane)
        return lane

    lane = asyncio.run(walk())
    assert batch * 13 * 448 * 448 * 3 > lane.page_bytes.limit
    assert lane.report.documents == {"review": 1} and lane.report.calls == batch + 10
    assert batch == 256 and bench.replica.most_beside >= 256
    assert lane.page_bytes.peak <= lane.page_bytes.limit and lane.page_bytes.used == 0


@pytest.mark.medium
def test_on_a_cpu_tiles_are_let_go_of_with_the_answer_and_on_a_device_before_it(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, "v2", seed=1)
    model = load(tmp_path, dtype="float32", device="cpu")
    for own_memory in (False, True):
        engine = Engine(model, EngineSettings(max_batch=2))
        engine.backend.own_memory = own_memory
        replica = Replica("", engine.settings, "")
        request = page(1, 1, CARD, 60)

        async def ask(replica: Replica, request: Request) -> list[str]:
            order: list[str] = []
            taken = asyncio.create_task(replica.take(request))
            taken.add_done_callback(lambda _: order.append("let go"))
            await asyncio.sleep(0)
            answer = asyncio.create_task(replica.answer(request.id))
            answer.add_done_callback(lambda _: order.append("answered"))
            assert (await asyncio.wait_for(answer, PATIENCE)).finish == "stop"
            await taken
            with pytest.raises(ReplicaLost, match="is gone"):
                await replica.answer(request.id)
            return order

        threading.Thread(target=replica._serve, args=(engine,), daemon=True).start()
        order = asyncio.run(ask(replica, request))
        assert sorted(order) == ["answered", "let go"]
        assert not own_memory or order[0] == "let go"


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
