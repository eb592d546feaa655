"""Where values stand: the boxes of what the demo model reads, against the boxes of the print.

    python -m infra.benchmarks.boxes --seed 3 --count 40

So many fresh fronts and backs of cards and receipts, half of them worn, are drawn, cut, asked about and
parsed by the product's own pieces. They are pictures: no witness knows a place. Of each value that was read
right, to the letter: whether the box holds the centre of the print, and how much of both they share
(intersection over union). "cells" are the boxes around where the model looked, "ink" those that are stored,
"snapped" how many of these are drawn around print.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline import parse, run
from pipeline.errors import Permanent
from pipeline.recipe import Recipe
from pipeline.records import Box, Field, PageImage, PreparedPage
from pipeline.settings import Settings
from pipeline.specimens import make
from pipeline.specimens.specimen import Specimen
from pipeline.vintern import load
from pipeline.vintern.engine import Engine
from pipeline.vintern.facts import model_facts
from schemas.registry import resolve

KINDS: Mapping[str, str] = {"id_card_front": "id_card@1", "id_card_back": "id_card@1", "receipt": "receipt@1"}
FIRST_SEED = 2 * 10**15  # none that the training or other measurements draw


class Score(NamedTuple):
    """Of one value: by the cells, and by the box that is stored."""

    cells_inside: bool
    cells_overlap: float
    snapped: bool
    inside: bool
    overlap: float


@dataclass(frozen=True, slots=True)
class Reader:
    engine: Engine
    settings: Settings

    def scores(self, kind: str, specimens: list[Specimen]) -> Iterator[tuple[str, Score]]:
        """(field, score) of every value that was read right."""
        recipe = Recipe.of(
            resolve(KINDS[kind]), self.settings, model_facts(self.engine, resolve(KINDS[kind]))
        )
        pages = [_prepared(specimen, recipe) for specimen in specimens]
        asked = (run.request(page, recipe, str(number)) for number, page in enumerate(pages))
        for answer in self.engine.generate(asked):
            number = int(answer.request_id)
            page = pages[number]
            given = {"grid": page.grid, "tiles": len(page.tiles), "form": recipe.answer_form}
            try:
                rough, final = (
                    parse.page_record(answer, recipe.spec, 1, ink=ink, **given).fields  # type: ignore[arg-type]
                    for ink in (None, page.ink)
                )
            except Permanent as error:
                print(f"{kind} {number}: {error.message}")
                continue
            yield from _compared(rough, final, specimens[number])


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--count", type=int, default=40, help="of each kind")
    options.add_argument("--set", default="standard", help="of fonts and layouts: standard or held-out")
    options.add_argument("--model", default="demo")
    options.add_argument("--json", metavar="FILE")
    given = options.parse_args()
    settings = Settings()
    reader = Reader(Engine(load(given.model), settings.engine), settings)
    found: dict[str, list[Score]] = defaultdict(list)
    for kind in KINDS:
        first = FIRST_SEED + given.seed * 10**6
        specimens = [make(kind, first + n, fonts=given.set) for n in range(given.count)]
        for field, score in reader.scores(kind, specimens):
            for name in (f"{kind} {field}", kind, "all"):
                found[name].append(score)
    rows = {name: _means(found[name]) for name in sorted(found, key=lambda name: (name == "all", name))}
    _print(rows)
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(rows, file, indent=1)


def _prepared(specimen: Specimen, recipe: Recipe) -> PreparedPage:
    page = run.prepare(PageImage(1, specimen.pages[0].pixels, "specimen"), recipe)
    if not isinstance(page, PreparedPage):
        raise SystemExit(f"a specimen cannot be cut: {page.message}")
    return page


def _compared(
    rough: tuple[Field, ...], final: tuple[Field, ...], specimen: Specimen
) -> Iterator[tuple[str, Score]]:
    for cells, field in zip(rough, final, strict=True):
        true = specimen.truth["fields"].get(field.path)
        if true is None or true["raw"] != field.raw:
            continue
        box = true["box"]
        name = field.path.rpartition("].")[2]
        if cells.box is None or field.box is None:
            yield name, Score(False, 0.0, False, False, 0.0)
            continue
        yield (
            name,
            Score(
                inside(box, cells.box),
                overlap(box, cells.box),
                field.box != cells.box,
                inside(box, field.box),
                overlap(box, field.box),
            ),
        )


def inside(true: Box, box: Box) -> bool:
    """Whether the box holds the true one's centre."""
    x, y = (true[0] + true[2]) / 2, (true[1] + true[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, wide) * max(0.0, high)
    both = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (both - shared) if both > shared else 0.0


def _means(scores: list[Score]) -> dict[str, float]:
    means = np.array(scores, np.float64).mean(axis=0)
    return {"n": len(scores), **dict(zip(Score._fields, map(float, means), strict=True))}


def _print(rows: Mapping[str, Mapping[str, float]]) -> None:
    table = Table()
    heads = ("values", "n", "cells: centre in", "IoU", "snapped", "ink: centre in", "IoU")
    for head in heads:
        table.add_column(head, justify="left" if head == "values" else "right")
    for name, row in rows.items():
        shares = (f"{row[key]:.3f}" for key in Score._fields)
        table.add_row(name, str(int(row["n"])), *shares)
    Console().print(table)


if __name__ == "__main__":
    main()
