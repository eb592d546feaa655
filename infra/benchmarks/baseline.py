"""The demo model beside Tesseract, on the same held-out specimens, judged by the same measures.

    python -m infra.benchmarks.baseline --count 40 --json baseline.json

Fresh specimens of each kind are written as files, as `vinbatch specimens` does. Both readers get every file
through the product's renderer, both results are merged and scored by the product; the demo model goes the
product's whole way, in this process. Times are wall clock, one document after the other.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from infra.benchmarks import tesseract
from pipeline import evaluation, merge, render, run, sources, specimens
from pipeline.recipe import Recipe
from pipeline.records import Extraction, Failure
from pipeline.settings import RenderSettings, SourceSettings
from pipeline.settings import load as load_settings
from pipeline.vintern import load
from pipeline.vintern.engine import Engine
from pipeline.vintern.facts import model_facts
from schemas import registry
from schemas.spec import SchemaSpec

KINDS = {"id_card_front": "id_card@1", "id_card_back": "id_card@1", "receipt": "receipt@1"}
PAPERS: dict[str, dict[str, Any]] = {
    "clean": {"worn": False},
    "worn": {"worn": True},
    "other fonts": {"worn": False, "font_set": "held-out"},
    "values left out": {"worn": False, "blank": 0.2},
}


@dataclass(frozen=True, slots=True)
class Read:
    """A document's extraction, as `evaluate` takes it."""

    uri: str
    extraction: Extraction


@dataclass(frozen=True, slots=True)
class Row:
    """One reader on one set of papers; shares 0..1."""

    kind: str
    papers: str
    reader: str
    documents: int
    right: float | None  # printed values that were read right
    absent: float | None  # absent values that came out null
    cer: float | None
    exact: float | None  # documents without a single mistake
    seconds: float
    fields: dict[str, float | None]


def by_tesseract(folder: Path, files: Sequence[str], spec: SchemaSpec) -> list[Read]:
    """Every file through the renderer, Tesseract and the labels; one without a page is left out."""
    found = []
    for name in files:
        uri = str((folder / name).resolve())
        document = sources.fetch(uri, SourceSettings())
        images = render.pages(document, RenderSettings())
        pages = [
            tesseract.page_record(image.pixels, spec, image.page)
            for image in images
            if not isinstance(image, Failure)
        ]
        if pages:
            found.append(Read(uri, merge.document(pages, spec)))
    return found


class Model:
    """A checkpoint with its engine, reading documents one after the other by `pipeline.run.document`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.settings = load_settings()
        self.vintern = load(name, dtype=self.settings.engine.computed_in, device=self.settings.engine.device)
        self.engine = Engine(self.vintern, self.settings.engine)

    def read(self, folder: Path, files: Sequence[str], spec: SchemaSpec) -> list[Read]:
        """Every file; one that no page could be read of is left out."""
        recipe = Recipe.of(spec, self.settings, model_facts(self.engine, spec))
        found = []
        for name in files:
            uri = str((folder / name).resolve())
            outcome = run.document(uri, recipe, self.engine.generate).outcome
            if isinstance(outcome, Extraction):
                found.append(Read(uri, outcome))
        return found


def scored(
    reader: str, kind: str, papers: str, reads: list[Read], truth: evaluation.Truth, seconds: float
) -> Row:
    report = evaluation.evaluate(reads, truth)
    total = report.total
    absent = total.absent + total.hallucinated
    return Row(
        kind=kind,
        papers=papers,
        reader=reader,
        documents=report.documents,
        right=total.recall,
        absent=total.absent / absent if absent else None,
        cer=total.cer,
        exact=report.exact.share if report.exact else None,
        seconds=seconds,
        fields={field.leaf: field.recall for field in report.fields if field.printed},
    )


def measure(kinds: Sequence[str], count: int, seed: int, model: Model | None, home: Path) -> list[Row]:
    rows = []
    for kind in kinds:
        spec = registry.resolve(KINDS[kind])
        for papers, options in PAPERS.items():
            folder = home / f"{kind}-{papers.replace(' ', '-')}"
            lines = specimens.write(folder, count, [kind], seed, **options)
            truth = evaluation.load(folder / "truth.jsonl", spec)
            start = time.perf_counter()
            reads = by_tesseract(folder, [line["file"] for line in lines], spec)
            rows.append(scored("Tesseract", kind, papers, reads, truth, time.perf_counter() - start))
            if model is not None:
                start = time.perf_counter()
                reads = model.read(folder, [line["file"] for line in lines], spec)
                rows.append(scored(model.name, kind, papers, reads, truth, time.perf_counter() - start))
    return rows


def show(rows: Sequence[Row], console: Console) -> None:
    table = Table(
        "paper", "", "reader", "documents", "values right", "absent are null", "CER", "no mistake", "s"
    )
    for row in rows:
        shares = (row.right, row.absent, row.cer, row.exact)
        table.add_row(
            row.kind, row.papers, row.reader, str(row.documents), *map(_percent, shares), f"{row.seconds:.0f}"
        )
    console.print(table)
    readers = list(dict.fromkeys(row.reader for row in rows))
    for kind in dict.fromkeys(row.kind for row in rows):
        clean = [row for row in rows if row.kind == kind and row.papers == "clean"]
        fields = Table(f"{kind}, clean: values right", *readers)
        for leaf in clean[0].fields:
            fields.add_row(leaf, *(_percent(row.fields.get(leaf)) for row in clean))
        console.print(fields)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m infra.benchmarks.baseline", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--count", type=int, default=40, help="documents of each kind and paper")
    parser.add_argument("--kinds", default=",".join(KINDS), help="comma-separated")
    parser.add_argument("--seed", type=int, default=990_001, help="not one that was trained on")
    parser.add_argument(
        "--model", default="demo", help="demo, a directory or a hub id; none: Tesseract alone"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    given = parser.parse_args(arguments)
    kinds = given.kinds.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"unknown kinds {', '.join(sorted(unknown))}: choose from {', '.join(KINDS)}")
    with tempfile.TemporaryDirectory() as home:
        model = None if given.model == "none" else Model(given.model)
        rows = measure(kinds, given.count, given.seed, model, Path(home))
    show(rows, Console(width=130))
    if given.json:
        plain = [{name: getattr(row, name) for name in Row.__slots__} for row in rows]
        given.json.write_text(json.dumps({"seed": given.seed, "rows": plain}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
