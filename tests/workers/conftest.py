"""A lane without Ray: the real path, reader and store, and a model that answers by rote."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import store as stores
from pipeline.errors import Reason, ReplicaLost
from pipeline.keys import ModelFacts
from pipeline.recipe import Recipe
from pipeline.records import Document, DocumentRef, Failure, Generation, Request
from pipeline.settings import Settings, load
from pipeline.store import Job, Lease, Store
from tests.servers.starting import PATIENCE
from workers.document import Attempt, Lane
from workers.flow_control import Prepared
from workers.lane import LaneJob, LaneReport
from workers.patience import Patience
from workers.reader import Counted, DrawnPage, Fetched, Reader, TooLarge, recipe
from workers.reader_handle import ReaderLost, ReaderPool

FACTS = ModelFacts("c" * 64, max_tiles=1, numerics="cpu float32")
SCHEMA = '''
from pydantic import BaseModel, Field


class Slip(BaseModel):
    """Phiếu"""

    number: str | None = Field(None, title="Số", pattern=r"[0-9]{2}")
'''


def answer(request_id: str, text: str = '{"Số":"12"}', finish: str = "stop") -> Generation:
    """A generation with one token a character, all of them sure."""
    n = len(text)
    return Generation(
        request_id=request_id,
        text=text,
        finish=finish,  # type: ignore[arg-type]
        spans=np.array([(i, i + 1) for i in range(n)], np.int32).reshape(n, 2),
        probability=np.ones(n, np.float32),
        unmasked=np.ones(n, np.float32),
        forced=np.zeros(n, np.bool_),
        prompt_tokens=300,
    )


class RoteReplica:
    """Answers every request alike; the colour of a page's first pixel says what becomes of it.

    red pages kill the replica, always; blue ones kill it once; what is beside them is lost with them
    """

    own_memory = True  # of its device: tiles are let go of before the answer

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.answered = 0
        self.looks_again = False
        self.deaths = 0
        self.most_beside = 0
        self._running: set[asyncio.Future[None]] = set()
        self._killed_by_blue = False

    async def generate(self, id: str, prepared: Prepared) -> Generation:
        request = prepared.request
        assert request.id == id
        if self.own_memory:
            prepared.let_go()
        answer = await self.answer_of(request)
        prepared.let_go()
        return answer

    async def answer_of(self, request: Request) -> Generation:
        colour = tuple(int(value) for value in request.tiles[0, 0, 0])
        red, blue = _near(colour, (255, 0, 0)), _near(colour, (0, 0, 255))
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running.add(lost)
        self.most_beside = max(self.most_beside, len(self._running))
        try:
            await asyncio.wait([lost], timeout=self.seconds or 0.001)
            if (red or (blue and not self._killed_by_blue)) and not lost.done():
                self._killed_by_blue |= blue
                self.deaths += 1
                for other in self._running:
                    other.set_result(None)
            if lost.done():
                raise ReplicaLost(Reason.worker_lost, "the replica died")
        finally:
            self._running.discard(lost)
        self.answered += 1
        return replace(answer(request.id), looked_again=self.looks_again)

    async def health(self) -> Any:
        raise ReplicaLost(Reason.worker_lost, "it has no process")


def _near(colour: tuple[int, ...], other: tuple[int, int, int]) -> bool:
    return all(abs(a - b) < 16 for a, b in zip(colour, other, strict=True))  # JPEG in a PDF is not exact


class Reference:
    """What a Ray reference is to a document's bytes: they are held while it lives."""

    def __init__(self, document: Document) -> None:
        self.document = document


class HeldReader(Reader):
    """The reader itself, without Ray."""

    def _get(self, reference: Reference) -> Document:
        return reference.document


class InProcessReader:
    """The reader itself, in a thread; `deadly` pages kill it as often as the number says (0: on opening), and
    `passing` ones cannot be drawn just now.
    """

    def __init__(self, job: LaneJob, deadly: dict[int, int], passing: set[int]) -> None:
        self._reader = HeldReader(job)
        self._reader.load(FACTS)
        self._deadly, self._passing = deadly, passing
        self.deaths = 0

    async def fetch(self, uri: str, etag: str | None, most: int) -> Fetched | TooLarge:
        fetched, document = await asyncio.to_thread(self._reader.fetch, uri, etag, most)
        if isinstance(fetched, TooLarge):
            return fetched
        assert document is not None
        return replace(fetched, document=Reference(document))

    async def count(self, fetched: Fetched) -> Counted:
        self._die(0)
        return await asyncio.to_thread(self._reader.count, fetched)

    async def draw(self, fetched: Fetched, page: int, request_id: str) -> tuple[DrawnPage | Failure, Any]:
        self._die(page)
        if page in self._passing:
            return Failure(Reason.render_memory, "the machine is full", page, retryable=True), None
        return await asyncio.to_thread(self._reader.draw, fetched, page, request_id)

    async def peak_bytes(self) -> int:
        return 0

    def end(self) -> None:
        self._reader.end()

    def _die(self, page: int) -> None:
        if self._deadly.get(page, 0):
            self._deadly[page] -= 1
            self.deaths += 1
            raise ReaderLost(Reason.worker_lost, "the reader died")


def paper(colour: tuple[int, int, int]) -> Image.Image:
    """With a stroke on it: a page without any is told."""
    page = Image.new("RGB", (448, 448), colour)
    page.paste(tuple(255 - part for part in colour), (200, 220, 260, 224))
    return page


@dataclass
class Bench:
    """A store with one job, and lanes over it."""

    folder: Path
    settings: Settings
    store: Store
    job: Job
    lane_job: LaneJob
    deadly: dict[int, int] = field(default_factory=dict)
    passing: set[int] = field(default_factory=set)
    replica: RoteReplica = field(default_factory=RoteReplica)

    def use(self, settings: Settings) -> None:
        """Other settings, for the lanes to come."""
        job = {name: getattr(self.lane_job, name) for name in self.lane_job.__slots__}
        self.settings, self.lane_job = settings, LaneJob(**{**job, "settings": settings})

    def picture(self, name: str, colour: tuple[int, int, int] = (200, 200, 200)) -> str:
        path = self.folder / name
        paper(colour).save(path)
        return str(path)

    def pdf(self, name: str, colours: Sequence[tuple[int, int, int]]) -> str:
        first, *others = [paper(colour) for colour in colours]
        first.save(self.folder / name, save_all=True, append_images=others, resolution=200, quality=100)
        return str(self.folder / name)

    def add(self, *uris: str) -> None:
        self.store.ledger.add(self.job, [DocumentRef(uri) for uri in uris])

    def claim(self, limit: int = 100) -> list[Lease]:
        return self.store.ledger.claim(self.job, "lane-0", limit, self.settings.lane.lease_seconds)

    def lane(self) -> Lane:
        reader: Any = InProcessReader(self.lane_job, self.deadly, self.passing)
        replica: Any = self.replica
        rules: Recipe = recipe(self.lane_job, FACTS)
        patience = Patience(lambda: 0.0)
        return Lane(
            rules,
            self.store,
            patience,
            ReaderPool([reader]),
            replica,
            LaneReport("lane-0"),
            self.lane_job.sizes,
        )

    @staticmethod
    def end(lane: Lane) -> None:
        for reader in lane.readers.readers:
            reader.end()  # type: ignore[attr-defined]

    def work(self, leases: Sequence[Lease]) -> LaneReport:
        """These documents side by side, to their ends."""

        async def complete() -> LaneReport:
            lane = self.lane()
            attempts = [Attempt(lane, lease, lambda: None).complete() for lease in leases]
            try:
                await asyncio.wait_for(asyncio.gather(*attempts), PATIENCE)
            finally:
                self.end(lane)
            assert (lane.pages.used, lane.page_bytes.used, lane.document_bytes.used) == (0, 0, 0)
            return lane.report

        return asyncio.run(complete())

    def states(self) -> dict[str, tuple[str, str | None]]:
        return {Path(row.uri).name: (row.state, row.reason) for row in self.store.results.documents(self.job)}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.chdir(tmp_path)  # away from anybody's vinbatch.toml
    (tmp_path / "slip.py").write_text(SCHEMA, encoding="utf-8")
    url = f"sqlite:///{tmp_path / 'rows.db'}"
    settings = load(store=url, render={"seconds": 60}, lane={"attempts": 2, "lease_seconds": 60})
    lane_job = LaneJob("job", url, f"{tmp_path / 'slip.py'}:Slip", "rote", FACTS.checkpoint_hash, 0, settings)
    with stores.open(url) as store:
        spec = recipe(lane_job, FACTS).spec
        job = store.jobs.ensure("job", spec, sources=["x"], settings={}, model="rote", checkpoint="c")
        yield Bench(tmp_path, settings, store, job, lane_job)
        store.books.verify(job)
