"""Fresh specimens, each read once and kept in a file, so that what is made of readings can be tried again.

    python -m infra.benchmarks.readings --kind receipt --seed 71 --count 150 --cache FOLDER

A specimen goes the product's own way: a file in one of the usual forms, the confined renderer, the tiler, the
engine, the parser. Each page is also read a second time, a few pixels further (`second_look`).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import run
from pipeline.reading import Reading
from pipeline.recipe import Recipe
from pipeline.records import Document, PageResult, Part, PreparedPage
from pipeline.render import Renderer
from pipeline.settings import Settings
from pipeline.specimens import files, writing
from pipeline.store import rows
from pipeline.vintern import load
from pipeline.vintern.engine import Engine
from pipeline.vintern.facts import model_facts
from schemas.registry import resolve

SCHEMAS = {"id_card": "id_card@1", "receipt": "receipt@1"}


@dataclass(frozen=True)
class Read:
    """A specimen with what was read of it. `truth` holds normal forms by path, of what is printed."""

    name: str
    schema: str
    tier: str
    truth: dict[str, Any]
    pages: tuple[PageResult, ...]
    again: tuple[PageResult, ...]
    numerics: str
    checkpoint: str


class Reader:
    """The demo model, loaded once."""

    def __init__(self, threads: int = 1) -> None:
        self.settings = Settings(engine={"threads": threads, "max_batch": 8})
        self.engine = Engine(load("demo", threads=threads) if False else load("demo"), self.settings.engine)
        self.renderer = Renderer(self.settings.render)
        self.recipes = {}
        for name in SCHEMAS.values():
            spec = resolve(name)
            self.recipes[name] = Recipe.of(spec, self.settings, model_facts(self.engine, spec))

    def read(self, specimens: list[tuple[str, str, bytes]], schema: str) -> Iterator[list[list[PageResult]]]:
        """Of each (name, form, data) its pages, read straight and shifted."""
        recipe = self.recipes[schema]
        requests, readings = [], []
        for number, (name, _, data) in enumerate(specimens):
            document = Document(name, data, hashlib.sha256(data).hexdigest(), None)
            pages = self.renderer.page_count(document)
            part = Part(name, document.sha256, None, len(data), pages=pages)
            both = [Reading(recipe, [part], prefix=f"{turn}/{number}/") for turn in range(2)]
            readings.append(both)
            for page in both[0].missing:
                drawn = run.drawn(self.renderer, document, page, recipe)
                for turn, reading in enumerate(both):
                    if isinstance(drawn, PreparedPage):
                        reading.drawn(page, run.without_tiles(drawn))
                        shown = drawn if turn == 0 else shifted(drawn)
                        requests.append(run.request(shown, recipe, reading.request_id(page)))
                    else:
                        reading.failed(page, drawn)
        by_id = {reading.request_id(page): reading for both in readings for reading in both for page in reading.keys}
        for generation in self.engine.generate(requests):
            by_id[generation.request_id].answered(generation)
        for both in readings:
            yield [list(reading.finished) for reading in both]


def shifted(page: PreparedPage, across: int = 3, down: int = 2) -> PreparedPage:
    """The same page with what its tiles show moved by some pixels; the border's pixels fill the gap."""
    import numpy as np

    tiles = np.pad(page.tiles, ((0, 0), (down, 0), (across, 0), (0, 0)), mode="edge")
    return replace(page, tiles=np.ascontiguousarray(tiles[:, : page.tiles.shape[1], : page.tiles.shape[2]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=SCHEMAS, action="append")
    parser.add_argument("--seed", type=int, default=71)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--layouts", default=None)
    parser.add_argument("--blank", type=float, default=0.0)
    parser.add_argument("--cache", type=Path, required=True)
    given = parser.parse_args()
    reader = Reader()
    for at in range(given.first, given.count, 8):
        for kind in given.kind or SCHEMAS:
            began = time.time()
            some = [
                (index, *writing._one(kind, given.seed * writing.MOST + index, None, (), "standard", given.layouts, given.blank))
                for index in range(at, min(at + 8, given.count))
            ]
            data = [(f"{kind}-{index}", form, files.encode(made, form)) for index, made, form in some]
            out = given.cache / f"{kind}-{given.seed}{'-' + given.layouts if given.layouts else ''}{f'-blank{given.blank}' if given.blank else ''}.jsonl.gz"
            with gzip.open(out, "at", encoding="utf-8") as file:
                for (index, made, form), (pages, again) in zip(some, reader.read(data, SCHEMAS[kind]), strict=True):
                    line = {
                        "name": f"{kind}-{index}",
                        "schema": SCHEMAS[kind],
                        "form": form,
                        "worn": made.worn and form not in files.TEXT,
                        "layout": made.layout,
                        "record": made.truth["record"],
                        "fields": {p: f["raw"] for p, f in made.truth["fields"].items()},
                        "pages": [rows.page(page) for page in pages],
                        "again": [rows.page(page) for page in again],
                        "numerics": reader.engine.backend.numerics,
                        "checkpoint": reader.engine.model.checkpoint_hash,
                    }
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
            print(f"{kind} {at}: {time.time() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
