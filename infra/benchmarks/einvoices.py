"""How fast e-invoices as XML become rows: python -m infra.benchmarks.einvoices [--documents 1000]

Specimens' XML, each another document, from files to committed rows by `workers.direct`, as a run of XML alone
has it: documents a second of wall time, and of CPU time of this process and its decoding child together (a
core does so many, whatever else the machine does). --profile prints where the driver's time goes. Without
--store URL it is SQLite in a temporary folder.
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import json
import pstats
import resource
import tempfile
import threading
import time
from pathlib import Path

from pipeline import store as stores
from pipeline.recipe import Recipe
from pipeline.records import DocumentRef
from pipeline.settings import load
from pipeline.specimens import make
from pipeline.specimens.einvoice import Form, xml_of
from pipeline.store import Store
from schemas import registry
from schemas.registry import SchemaSpec
from workers.direct import Direct

_SPECIMENS = 50  # of which each is written in many forms: to make one takes longer than to read it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--lines", type=int, default=60, help="the most lines of an invoice")
    parser.add_argument("--store")
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    spec = registry.resolve("invoice@1")
    with tempfile.TemporaryDirectory() as folder:
        paths, lines = written(Path(folder), given.documents, given.lines)
        with stores.open(given.store or f"sqlite:///{folder}/rows.db") as store:
            figures = measured(store, spec, paths, profile=given.profile)
        size = sum(path.stat().st_size for path in paths)
    figures |= {"bytes each": size / len(paths), "lines each": lines / len(paths)}
    print(json.dumps({name: round(figure, 2) for name, figure in figures.items()}, indent=2))


def written(folder: Path, documents: int, most: int) -> tuple[list[Path], int]:
    """So many files of invoices of at most so many lines, and the number of lines of all of them."""
    made = (make("invoice", seed, blank=0).truth for seed in itertools.count())
    few = (truth for truth in made if len(truth["record"]["lines"]) <= most)
    truths = list(itertools.islice(few, min(documents, _SPECIMENS)))
    paths, lines = [], 0
    for seed in range(documents):
        truth = truths[seed % len(truths)]
        lines += len(truth["record"]["lines"])
        path = folder / f"{seed}.xml"
        own = {
            **truth,
            "record": {**truth["record"], "number": str(seed + 1)},
        }  # none shows another's invoice
        path.write_bytes(xml_of(own, Form.drawn(seed)))
        paths.append(path)
    return paths, lines


def measured(store: Store, spec: SchemaSpec, paths: list[Path], *, profile: bool) -> dict[str, float]:
    """All of them as one job."""
    name = f"einvoices-{time.time_ns()}"
    job = store.jobs.ensure(name, spec, sources=["specimens"], settings={}, model="none", checkpoint="none")
    store.ledger.add(job, [DocumentRef(str(path)) for path in paths])
    recipe = Recipe.of(spec, load(store=store.url), None)
    work = Direct(store, job, recipe, "benchmark", lambda: True, threading.Event())
    profiler = cProfile.Profile()
    child, own, began = _child(), time.process_time(), time.perf_counter()
    if profile:
        profiler.runcall(work.work)
        pstats.Stats(profiler).sort_stats("cumtime").print_stats(50)
    elif not work.work():
        raise SystemExit("a document needed the model")
    seconds, own, child = time.perf_counter() - began, time.process_time() - own, _child() - child
    balance = store.books.verify(job)
    count = balance.done + balance.review
    if count != len(paths):
        raise SystemExit(f"{count} of {len(paths)} documents were read: {balance}")
    return {
        "documents": count,
        "without a failed check": balance.done,
        "documents a second": count / seconds,
        "documents a CPU second": count / (own + child),
        "CPU ms each, driver": 1000 * own / count,
        "CPU ms each, decoding child": 1000 * child / count,
    }


def _child() -> float:
    """CPU seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
