"""Does the engine ever wait? A job's pages a second beside those of the engine alone, on the same pages.

    python -m infra.benchmarks.feeding [--size mid] [--pages 24] [--runs 3] [--threads 1]

alone    all pages are prepared beforehand, in memory; one engine answers them in this process
job      `vinbatch run` over the files, on a Ray and a SQLite file of its own: from the first lease to the
         last document, so without the start of Ray and of the model
prepare  one reader's work alone, in this process: fetch, draw, cut

`--size` makes a random checkpoint (its answers mean nothing), `--model` takes one that is there. The runs
alternate, and the figures are medians. Where the job is below 85% of the engine, the last line says what it
waited for.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

from infra.benchmarks import random_checkpoint
from pipeline import render, run, sources, specimens
from pipeline.recipe import Recipe
from pipeline.records import Failure, Request
from pipeline.settings import Settings
from pipeline.settings import load as load_settings
from pipeline.vintern import load
from pipeline.vintern.engine import Engine
from pipeline.vintern.facts import model_facts
from schemas import registry

ENOUGH = 0.85  # of the engine's own pages a second


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a checkpoint's directory, or demo")
    parser.add_argument("--size", choices=random_checkpoint.SIZES, default="mid")
    parser.add_argument("--kind", default="id_card")
    parser.add_argument("--pages", type=int, default=24)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of the engine, in both")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vinbatch-feeding-") as name:
        folder = Path(name)
        specimens.write(folder / "in", options.pages, [options.kind], 2026, formats=["png", "jpeg"])
        (folder / "in" / "truth.jsonl").unlink()
        model = options.model
        if model is None:
            model = str(folder / "model")
            random_checkpoint.write(Path(model), options.size)
        found = measure(folder, model, options)
    print(
        f"engine alone {found['alone']:.2f} pages/s, job {found['job']:.2f}, "
        f"one reader {found['prepare']:.2f}: the job has {found['share']:.0%} of the engine"
    )
    if found["share"] < ENOUGH:
        slow = found["prepare"] < found["alone"]
        print("the engine waited for pages: add readers" if slow else "the processes shared too few cores")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measure(folder: Path, model: str, options: argparse.Namespace) -> dict[str, float]:
    os.environ["VINBATCH_ENGINE__THREADS"] = str(options.threads)
    settings = load_settings()
    vintern = load(model, dtype=settings.engine.computed_in, device=settings.engine.device)
    engine = Engine(vintern, settings.engine)
    spec = registry.resolve(f"{options.kind}@1")
    recipe = Recipe.of(spec, settings, model_facts(engine, spec))
    rates: dict[str, list[float]] = {"prepare": [], "alone": [], "job": []}
    for number in range(options.runs):
        began = time.perf_counter()
        work = list(_requests(folder / "in", recipe, settings))
        rates["prepare"].append(len(work) / (time.perf_counter() - began))
        began = time.perf_counter()
        answers = list(engine.generate(work))
        rates["alone"].append(len(answers) / (time.perf_counter() - began))
        rates["job"].append(_job(folder, model, options.kind, number))
    shares = [job / alone for job, alone in zip(rates["job"], rates["alone"], strict=True)]
    return {name: statistics.median(found) for name, found in rates.items()} | {
        "share": statistics.median(shares)
    }


def _requests(folder: Path, recipe: Recipe, settings: Settings) -> Iterator[Request]:
    for path in sorted(folder.iterdir()):
        document = sources.fetch(str(path), settings.source)
        for image in render.pages(document, settings.render):
            page = image if isinstance(image, Failure) else run.prepare(image, recipe)
            if isinstance(page, Failure):
                raise SystemExit(f"{path}: {page.message}")
            yield run.request(page, recipe, f"{path.name} {page.page}")


def _job(folder: Path, model: str, kind: str, number: int) -> float:
    """Pages a second, from the first lease to the last document."""
    database = folder / f"{number}.db"
    command = [sys.executable, "-m", "workers.cli", "run", str(folder / "in"), "--schema", f"{kind}@1"]
    command += ["--model", model, "--job", "measured", "--store", f"sqlite:///{database}"]
    leased = None
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        while process.poll() is None:
            if leased is None and _any_leased(database):
                leased = time.time()
            time.sleep(0.05)
    if process.returncode not in (0, 3) or leased is None:
        raise SystemExit((folder / "log").read_text())
    with closing(sqlite3.connect(database)) as connection:
        pages, last = connection.execute(
            "SELECT (SELECT count(*) FROM pages), max(finished_at) FROM documents"
        ).fetchone()
    return float(pages / (datetime.fromisoformat(f"{last}+00:00").timestamp() - leased))


def _any_leased(database: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=0.2)) as connection:
            state = "SELECT count(*) FROM documents WHERE state NOT IN ('pending')"
            return bool(connection.execute(state).fetchone()[0])
    except sqlite3.OperationalError:  # not there, or its tables are being made
        return False


if __name__ == "__main__":
    main()
