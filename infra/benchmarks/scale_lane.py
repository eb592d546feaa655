"""A lane of a benchmark: the real scheduler, ledger and merging, with readers and a model that take no time.

The model answers so many pages a second, each a second after it was asked, as a card with a full batch does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from pipeline import grammar, run
from pipeline.keys import ModelFacts
from pipeline.records import Generation, PreparedPage, Request
from pipeline.settings import Settings, load
from pipeline.trust import InForce
from schemas.registry import resolve
from tests.pipeline.walker import recite
from workers.document import Lane
from workers.flow_control import Prepared
from workers.lane import LaneJob
from workers.lane_work import LaneWork
from workers.reader import Counted, DrawnPage, Fetched, recipe
from workers.reader_handle import ReaderPool
from workers.replica import Health

FACTS = ModelFacts("c" * 64, max_tiles=6, numerics="stub")
SCHEMA = "invoice@1"
_WARM = 100  # documents, before what is measured begins
_SECONDS = 1.0  # from a page's request to its answer
_TILES = 7 * 448 * 448 * 3  # bytes
_LINE = {"no": "1", "name": "Bút bi Thiên Long", "unit": "cái", "quantity": "2", "unit_price": "500.000"}
_SAYS = {
    "number": "7",
    "series": "1C26TAA",
    "issue_date": "01/05/2026",
    "seller_name": "Công ty Trách nhiệm hữu hạn Mẫu",
    "seller_tax_code": "9900000016",
    "buyer_name": "Công ty Cổ phần Ví dụ",
    "lines": [{**_LINE, "amount": "1.000.000"}] * 3,
    "net": "3.000.000",
    "vat_rate": "10%",
    "vat": "300.000",
    "total": "3.300.000",
}


class StubReader:
    """Every document is one page of seven tiles, known by its name."""

    deaths = 0

    def __init__(self) -> None:
        tiles = np.zeros((1, 448, 448, 3), np.uint8)
        self._page = run.without_tiles(PreparedPage(1, tiles, 1654, 2339, "pdfium"))
        self._request = Request("", tiles[:0], "", None)

    async def fetch(self, uri: str, etag: str | None, _most: int) -> Fetched:
        return Fetched(uri, uri.encode().hex()[-64:].rjust(64, "0"), etag, 10, "png")

    async def count(self, _fetched: Fetched) -> Counted:
        return Counted(1)

    async def draw(self, _fetched: Fetched, page: int, request_id: str) -> tuple[DrawnPage, Request]:
        return DrawnPage(replace(self._page, page=page), _TILES), replace(self._request, id=request_id)

    async def peak_bytes(self) -> int:
        return 0


class StubReplica:
    """Answers `rate` pages a second."""

    deaths = 0

    def __init__(self, rate: float) -> None:
        self._rate, self._next = rate, 0.0
        self._answer: Generation = recite(grammar.answer(resolve(SCHEMA).shape, _SAYS))

    async def generate(self, id: str, prepared: Prepared) -> Generation:
        prepared.let_go()
        now = time.monotonic()
        self._next = max(self._next + 1 / self._rate, now + _SECONDS)
        await asyncio.sleep(self._next - now)
        return replace(self._answer, request_id=id)

    async def health(self) -> Health:
        return Health(0, 0.0, 0, 0, "stub", 0.0, batch=256)


@dataclass(frozen=True, slots=True)
class Worked:
    """What one lane did within the seconds that count."""

    documents: int
    seconds: float
    cpu_seconds: float
    groups: int  # transactions in which it committed
    claims: int  # of them, that brought any


@dataclass(frozen=True, slots=True)
class Signs:
    """Between the benchmark and its lanes: each is warm, the seconds that count begin, and they end."""

    warm: Any
    count: Any
    stop: Any


class StubLane(LaneWork):
    """A lane without Ray."""

    def __init__(self, name: str, job: LaneJob, rate: float) -> None:
        self._stub: Any = StubReplica(rate)
        super().__init__(name, job, self._stub)
        self.groups = self.claims = 0

    async def _start(self, trust: InForce | None) -> Lane:
        readers: list[Any] = [StubReader() for _ in range(self._sizes.readers)]
        rules = replace(recipe(self._job, FACTS), trust=trust)
        results, ledger = self._store.results, self._store.ledger
        results.commit_group = partial(self._counted, results.commit_group, "groups")  # type: ignore[method-assign]
        ledger.claim = partial(self._counted, ledger.claim, "claims")  # type: ignore[method-assign]
        pool = ReaderPool(readers)
        return Lane(rules, self._store, self._patience, pool, self._stub, self._report, self._sizes)

    def _counted(self, call: Any, name: str, *arguments: Any, **named: Any) -> Any:
        found = call(*arguments, **named)
        setattr(self, name, getattr(self, name) + bool(found))
        return found

    async def worked(self, signs: Signs) -> Worked:
        task = asyncio.create_task(self.work())
        await self.listed()
        while self._report.documents.total() < _WARM:
            await asyncio.sleep(0.1)
        signs.warm.release()
        await asyncio.to_thread(signs.count.wait)
        before = self._so_far()
        await asyncio.to_thread(signs.stop.wait)
        after = self._so_far()
        await self.stop()
        await task
        documents, at, cpu, groups, claims = (b - a for a, b in zip(before, after, strict=True))
        return Worked(int(documents), at, cpu, int(groups), int(claims))

    def _so_far(self) -> Sequence[float]:
        documents = self._report.documents.total()
        if documents != self._report.documents["done"] + self._report.documents["review"]:
            raise RuntimeError(f"documents failed: {self._report.reasons}")
        return documents, time.monotonic(), time.process_time(), self.groups, self.claims


def settings_of(url: str) -> Settings:
    return load(store=url, lane={"readers": 8, "grace_seconds": 0.5})


def lane(url: str, number: int, rate: float, signs: Signs, told: Any) -> None:
    """One process: a lane that works until it is told to stop."""
    job = LaneJob("bench", url, SCHEMA, "stub", FACTS.checkpoint_hash, 1.0, settings_of(url), 16.0)
    work = StubLane(f"lane-{number}", job, rate)
    told.put(asyncio.run(work.worked(signs)))
