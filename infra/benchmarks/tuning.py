"""Does the demo model learn a paper that it has never seen? `python -m infra.benchmarks.tuning`.

Draws delivery notes and old papers, and goes the way that a user goes: specimens, `dataset export`, `tune`.
Prints F1 before and after on held-out notes and on the old papers, seconds a step, and the load of the
machine. With --out the folders stay, and the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from infra.benchmarks import delivery

OLD = {"id_card": "id_card_front,id_card_back", "receipt": "receipt"}


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--pages", type=int, default=200, help="delivery notes to learn from, about")
    options.add_argument("--heldout", type=int, default=60, help="and held out")
    options.add_argument(
        "--old", type=int, default=600, help="pages of each old paper, an eighth of them held out"
    )
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--workers", type=int, default=1, help="each with --threads")
    options.add_argument("--out", type=Path)
    options.add_argument("--without-replay", action="store_true")
    given, more = options.parse_known_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(measure(folder, given, more), ensure_ascii=False, indent=1))


def measure(folder: Path, given: argparse.Namespace, more: list[str]) -> dict[str, Any]:
    """`more` goes to `vinbatch tune` as it is."""
    load = os.getloadavg()[0]
    replay = (
        []
        if given.without_replay
        else [word for path in old_sets(folder, given.old) for word in ("--replay", path)]
    )
    new = _new(folder, given.pages, given.heldout)
    began, used = time.time(), _cpu()
    told = command(
        "tune", str(new), "--model", "demo", "--out", str(folder / "run"), *replay, "--json",
        "--workers", str(given.workers), *more, threads=given.threads,
    )  # fmt: skip
    made: dict[str, Any] = json.loads(told)
    spent, used = time.time() - began, _cpu() - used
    # Workers are processes of Ray, whose time is not counted to the command's.
    cpu = {"cpu_seconds_with_seeing_and_scoring": round(used)} if given.workers == 1 else {}
    return {
        **made,
        "seconds_a_step": round(made["seconds"] / made["steps"], 3),
        "seconds_with_seeing_and_scoring": round(spent),
        **cpu,
        "workers": given.workers,
        "threads": given.threads,
        "load_before_and_after": [round(load, 1), round(os.getloadavg()[0], 1)],
    }


def _cpu() -> float:
    """Seconds of processors that the commands have taken: on a busy machine they say more than the clock."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _new(folder: Path, pages: int, heldout: int) -> Path:
    papers, out = folder / "notes", folder / "notes-set"
    if not out.exists():
        delivery.write(papers, pages + heldout, seed=1)
        share = str(heldout / (pages + heldout))
        command(
            "dataset",
            "export",
            str(papers),
            "--schema",
            delivery.SCHEMA,
            "--out",
            str(out),
            "--heldout",
            share,
        )
    return out


def old_sets(folder: Path, count: int) -> list[str]:
    """A set for each old paper: worn and clean ones, with values left out here and there."""
    found = []
    for number, (schema, kinds) in enumerate(OLD.items()):
        papers, out = folder / schema, folder / f"{schema}-set"
        if not out.exists():
            command(
                "specimens", "--out", str(papers), "--count", str(count), "--kind", kinds, "--format", "png",
                "--seed", str(900 + number), "--clean", "--blank", "0.05",
            )  # fmt: skip
            command(
                "dataset",
                "export",
                str(papers),
                "--schema",
                f"{schema}@1",
                "--out",
                str(out),
                "--heldout",
                "0.125",
            )
        found.append(str(out))
    return found


def command(*words: str, threads: int | None = None) -> str:
    """What `vinbatch` with these words says. Raises CalledProcessError for an exit code other than 0."""
    environment = dict(os.environ)
    if threads is not None:
        # Threads that wait do not spin: the machine may have other work.
        environment |= {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
        environment |= {"VINBATCH_ENGINE__THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", *words],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        check=True,
    )
    return done.stdout


if __name__ == "__main__":
    main()
