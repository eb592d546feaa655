"""From doubt to learning: `python -m infra.benchmarks.corrected [--documents 100] [flags of vinbatch tune]`.

A job reads delivery notes, a paper that the demo model has never seen; a reviewer, who knows the truth,
corrects all of them and accepts each; `dataset export --job`, `tune`, and both models read notes that neither
has seen. Prints F1 of both on these, with what reviewing and learning came to. Old papers are mixed in as
`benchmarks.tuning` does.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.benchmarks import delivery
from infra.benchmarks.tuning import command, old_sets
from pipeline import store as stores
from pipeline.records import Decision, Extraction
from pipeline.store import Store
from schemas import registry

_JOB = "notes"
_SCHEMA = ("--schema", delivery.SCHEMA, "--any-schema")


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--documents", type=int, default=100, help="that are read and corrected")
    options.add_argument("--fresh", type=int, default=60, help="that both models read then")
    options.add_argument(
        "--old", type=int, default=600, help="pages of each old paper, an eighth of them held out"
    )
    options.add_argument("--out", type=Path, help="a new folder in which all stays")
    given, more = options.parse_known_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(measured(folder, given, more), ensure_ascii=False, indent=1))


def measured(folder: Path, given: argparse.Namespace, more: list[str]) -> dict[str, Any]:
    """`more` goes to `vinbatch tune` as it is."""
    delivery.write(folder / "in", given.documents, seed=31)
    delivery.write(folder / "fresh", given.fresh, seed=32)
    store = f"sqlite:///{folder / 'notes.db'}"
    command("run", str(folder / "in"), *_SCHEMA, "--model", "demo", "--job", _JOB, "--store", store)
    with stores.open(store) as opened:
        decisions = corrected(opened, folder / "in")
    command("dataset", "export", "--job", _JOB, "--store", store, "--out", str(folder / "set"))
    replay = [word for path in old_sets(folder, given.old) for word in ("--replay", path)]
    began = time.time()
    told = command(
        "tune", str(folder / "set"), "--model", "demo", "--out", str(folder / "run"), *replay, "--json", *more
    )
    return {
        "decisions a document": round(decisions / given.documents, 1),
        "seconds of tuning": round(time.time() - began),
        "load": round(os.getloadavg()[0], 1),
        "tuned": json.loads(told),
        "F1 before": _scored(folder, "demo"),
        "F1 after": _scored(folder, str(folder / "run" / "model")),
    }


def corrected(store: Store, folder: Path) -> int:
    """Every document of the job as its truth has it, and accepted; the number of decisions."""
    lines = (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    truth = {row.pop("file"): row for row in map(json.loads, lines)}
    job, spec = store.jobs.find(_JOB), registry.resolve(delivery.SCHEMA)
    count = 0
    for one in list(store.results.extractions(job)):
        made = [*_rulings(one.extraction, truth[Path(one.uri).name]), Decision(None, "accept", "reviewer")]
        store.decisions.add(job, one.uri, made, spec=spec)
        count += len(made)
    return count


def _rulings(read: Extraction, truth: Mapping[str, str | None]) -> Iterator[Decision]:
    """What a reviewer says of the fields that are not as the paper has them."""
    printed = {field.path: field.raw for field in read.fields}
    count = len({path.partition("]")[0] for path in truth if path.startswith("lines[")})
    if count != next(field.value for field in read.fields if field.path == "lines"):
        yield Decision("lines", "correct", "reviewer", value=count)
    for path, text in truth.items():
        if path != "schema" and text != printed.get(path):
            ruling = "not_on_page" if text is None else "correct"
            yield Decision(path, ruling, "reviewer", raw=text)


def _scored(folder: Path, model: str) -> float:
    """F1 of the fields of the fresh notes."""
    out = folder / f"{Path(model).parent.name or model}.json"
    fresh = str(folder / "fresh")
    command("eval", fresh, "--truth", fresh, *_SCHEMA, "--model", model, "--json", str(out))
    return float(json.loads(out.read_text(encoding="utf-8"))["total"]["f1"])


if __name__ == "__main__":
    main()
