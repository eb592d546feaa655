"""8-bit weights beside bfloat16 on a CPU: the same engine, pages, grammar and number of tokens, in one run.

    python -m infra.benchmarks.int8                      # full size, random weights, 3 runs, some minutes
    python -m infra.benchmarks.int8 --size mid --pages 8
    python -m infra.benchmarks.int8 --checkpoint DIR     # of a checkpoint; what it reads is `vinbatch eval`'s

Weights are random, so what is read means nothing; every answer has as many tokens as its grammar asks for.
Runs are interleaved and the table has medians of ratios, by the clock and by CPU seconds: on a machine that
others use too, take `--threads 1` and read the latter. Memory is that of a process of its own (`resident`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from infra.benchmarks import random_checkpoint
from infra.benchmarks.engine import pages
from pipeline.records import Request
from pipeline.settings import EngineSettings
from pipeline.vintern import load, loops
from pipeline.vintern.engine import Engine

KINDS = ("bfloat16", "int8")
ROWS = (1, 8, 16)  # of a decode step


@dataclass(frozen=True)
class Spent:
    seconds: float
    cpu_seconds: float


def main() -> None:
    options = _options()
    loops.SHORTEST = 10**6  # random weights say the same thing again and again
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(options.checkpoint or scratch)
        if options.checkpoint is None:
            random_checkpoint.write(directory, options.size)
        found: dict[str, Any] = {"threads": torch.get_num_threads(), "torch": torch.__version__}
        if not options.no_memory:
            found["memory"] = {kind: _apart(directory, kind, options) for kind in KINDS}
        found["ratios"] = compare(directory, options)
    _print(found)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1), encoding="utf-8")


def opened(directory: Path, kind: str, batch: int) -> Engine:
    settings = EngineSettings.model_validate(
        {"weights": kind, "max_batch": batch, "max_waiting": batch, "retry_penalty": 1}
    )
    return Engine(load(directory, dtype=settings.computed_in, device="cpu"), settings)


def compare(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """bfloat16 over int8 of each measure, run by run."""
    engines = {kind: opened(directory, kind, max(ROWS)) for kind in KINDS}
    for engine in engines.values():
        list(engine.generate(pages(options, seed=99, count=1)))  # warm
    measures: dict[str, Callable[[Engine, int], Spent]] = {
        f"{options.pages} pages of {options.tiles} tiles": lambda engine, run: whole(engine, options, run),
        **{
            f"decode step of {rows} rows": lambda engine, run, rows=rows: step(engine, options, run, rows)
            for rows in ROWS
        },
    }
    return {name: _side_by_side(measure, engines, options.runs) for name, measure in measures.items()}


def whole(engine: Engine, options: argparse.Namespace, run: int) -> Spent:
    """From tiles to answers."""
    work = pages(options, seed=run)
    return _timed(lambda: list(engine.generate(work)))


def step(engine: Engine, options: argparse.Namespace, run: int, rows: int, steps: int = 20) -> Spent:
    """Of so many rows with a page of one tile behind each, the mean of some steps."""
    work = [
        Request(request.id, request.tiles[:1], request.question, None, steps + rows + 8)
        for request in pages(options, run, rows)
    ]
    for request in work:
        engine.submit(request)
    while len(engine._batch.running) < rows:
        engine.step()
    spent = _timed(lambda: [engine.step() for _ in range(steps)])
    while engine.in_flight:
        engine.step()
    return Spent(spent.seconds / steps, spent.cpu_seconds / steps)


def _apart(directory: Path, kind: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-m", "infra.benchmarks.resident", directory, kind]
    command += [f"--tiles={options.tiles}", f"--tokens={min(40, options.tokens)}"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _side_by_side(
    measure: Callable[[Engine, int], Spent], engines: dict[str, Engine], runs: int
) -> dict[str, float]:
    spent: dict[str, list[Spent]] = {kind: [] for kind in engines}
    for run in range(runs):
        for kind, engine in engines.items():
            spent[kind].append(measure(engine, run))
    found = {f"{kind} seconds": statistics.median(one.seconds for one in spent[kind]) for kind in engines}
    return found | {
        "ratio": _ratio([one.seconds for one in spent["bfloat16"]], [one.seconds for one in spent["int8"]]),
        "ratio, CPU": _ratio(
            [one.cpu_seconds for one in spent["bfloat16"]], [one.cpu_seconds for one in spent["int8"]]
        ),
    }


def _ratio(before: Sequence[float], after: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(before, after, strict=True))


def _timed(work: Callable[[], object]) -> Spent:
    began, began_cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - began, time.process_time() - began_cpu)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=random_checkpoint.SIZES, default="full")
    parser.add_argument("--checkpoint", help="one that is there already")
    parser.add_argument("--pages", type=int, default=2, help="of each run")
    parser.add_argument("--tiles", type=int, default=7, help="of a page; 7 is A4")
    parser.add_argument("--tokens", type=int, default=250, help="of an answer, at most")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--no-memory", action="store_true", help="leave out what takes processes of their own"
    )
    parser.add_argument("--json", help="write all figures there")
    return parser.parse_args()


def _print(found: dict[str, Any]) -> None:
    table = Table(title=f"8-bit weights beside bfloat16, {found['threads']} threads, torch {found['torch']}")
    for heading in ("", "bfloat16, s", "int8, s", "times faster", "by CPU seconds"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, row in found["ratios"].items():
        cells = [f"{row[f'{kind} seconds']:.3f}" for kind in KINDS]
        table.add_row(name, *cells, f"{row['ratio']:.2f}", f"{row['ratio, CPU']:.2f}")
    console = Console()
    console.print(table)
    for kind, held in found.get("memory", {}).items():
        console.print(f"{kind}: " + ", ".join(f"{name} {held[name] / 1e9:.2f} GB" for name in held))


if __name__ == "__main__":
    main()
