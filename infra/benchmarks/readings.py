"""Fresh specimens, each read once and kept in a file, so that what is made of readings can be tried again.

A specimen goes the product's own way: a file in one of the usual forms, the confined renderer, the tiler, the
engine, the parser. What is kept are pages as the store keeps them; merging them is left to whoever asks.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import run, specimens
from pipeline.evaluation import Truth
from pipeline.evaluation import load as load_truth
from pipeline.reading import Reading
from pipeline.recipe import Recipe
from pipeline.records import Document, PageResult, Part, PreparedPage, Request
from pipeline.render import Renderer
from pipeline.settings import Settings
from pipeline.store import page_rows
from pipeline.vintern import load
from pipeline.vintern.engine import Engine
from pipeline.vintern.facts import model_facts
from schemas.registry import SchemaSpec, resolve

SCHEMAS = {"id_card": "id_card@1", "receipt": "receipt@1", "invoice": "invoice@1"}
_MOST_LINES = 5  # of an invoice, as the demo model reads them
_AT_ONCE = 8  # documents


@dataclass(frozen=True, slots=True)
class Set:
    """Specimens of one kind, by what makes them; the same set is the same files."""

    kind: str
    seed: int
    count: int
    tier: str | None = None
    layouts: str = "standard"
    blank: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.seed}-{self.tier or 'usual'}-{self.layouts}-{self.blank:g}-{self.count}"

    @property
    def spec(self) -> SchemaSpec:
        return resolve(SCHEMAS[self.kind])


@dataclass(frozen=True, slots=True)
class Readings:
    """The pages of each document of a set by its file's name, and the truth of them all."""

    spec: SchemaSpec
    truth: Truth
    pages: dict[str, tuple[PageResult, ...]]
    checkpoint: str


class Reader:
    """The demo model, loaded when a set is asked for that is not in the cache."""

    def __init__(self, cache: Path, threads: int = 1) -> None:
        cache.mkdir(parents=True, exist_ok=True)
        self._cache = cache
        self._settings = Settings(engine={"threads": threads, "max_batch": _AT_ONCE})
        self._engine: Engine | None = None

    def readings(self, wanted: Set) -> Readings:
        """Specimens are made and read where that was not done; kept ones stay as they were then."""
        folder, kept = self._cache / wanted.name, self._cache / f"{wanted.name}.jsonl.gz"
        if not kept.exists():
            paths = _written(folder, wanted)
            found = list(self._read(wanted, paths))
            with gzip.open(kept, "wt", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        with gzip.open(kept, "rt", encoding="utf-8") as file:
            stored = [json.loads(line) for line in file]
        pages = {row["file"]: tuple(map(_page, row["pages"])) for row in stored}
        return Readings(wanted.spec, load_truth(folder, wanted.spec), pages, stored[0]["checkpoint"])

    def _read(self, wanted: Set, paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
        if self._engine is None:
            self._engine = Engine(load("demo"), self._settings.engine)
        recipe = Recipe.of(wanted.spec, self._settings, model_facts(self._engine, wanted.spec))
        with Renderer(self._settings.render) as renderer:
            for start in range(0, len(paths), _AT_ONCE):
                some = paths[start : start + _AT_ONCE]
                readings = [_drawn(number, path, renderer, recipe) for number, path in enumerate(some)]
                asked = {id: reading for reading, requests in readings for id in (one.id for one in requests)}
                for generation in self._engine.generate(one for _, requests in readings for one in requests):
                    asked[generation.request_id].answered(generation)
                for path, (reading, _) in zip(some, readings, strict=True):
                    yield {
                        "file": path.name,
                        "pages": [page_rows.row_of(page) for page in reading.finished],
                        "checkpoint": self._engine.model.checkpoint_hash,
                    }


def _written(folder: Path, wanted: Set) -> list[Path]:
    tiers = [] if wanted.tier is None else [wanted.tier]
    lines = specimens.write(
        folder,
        wanted.count,
        [wanted.kind],
        wanted.seed,
        tiers=tiers,
        layouts=wanted.layouts,
        blank=wanted.blank,
        most_lines=_MOST_LINES,
    )
    return [folder / line["file"] for line in lines]


def _drawn(number: int, path: Path, renderer: Renderer, recipe: Recipe) -> tuple[Reading, list[Request]]:
    """A document whose pages are drawn, and what the model is to be asked of them."""
    data = path.read_bytes()
    document = Document(str(path), data, hashlib.sha256(data).hexdigest(), None)
    part = Part(document.uri, document.sha256, None, len(data), pages=renderer.page_count(document))
    reading = Reading(recipe, [part], prefix=f"{number}/")
    requests = []
    for page in reading.missing:
        drawn = run.drawn(renderer, document, page, recipe)
        if not isinstance(drawn, PreparedPage):
            raise SystemExit(f"{path}, page {page} cannot be drawn: {drawn}")
        reading.drawn(page, run.without_tiles(drawn))
        requests.append(run.request(drawn, recipe, reading.request_id(page)))
    return reading, requests


def _page(stored: dict[str, Any]) -> PageResult:
    record = stored["record"]
    text = None if record is None else json.dumps(record)
    return page_rows.page_of({**stored, "record": text, "read_at": datetime.now(UTC)})
