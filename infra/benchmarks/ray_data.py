"""The same files and the same engine in Ray Data and in lanes: python -m infra.benchmarks.ray_data [--tiny]

Specimens of ID cards and the demo model; with --tiny slips of paper and a model of two layers, whose answers
take next to no time. Ray Data reads them by `map_batches` over a pool of one actor (workers.ray_data) into
Parquet; a job of one lane reads them into SQLite.

equal    whether both have the same record for each document
seconds  of each, from the command to the end, Ray's start with it; pages a second between the first page that
         the model was given and the last
driver   it is killed when half is read, and the same command is typed again: pages that the model was given a
         second time
actor    the process that has the model is killed when half is read, and nothing else is done
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline import specimens
from tests.e2e.conftest import CHECKOUT, SLIP, write_slips
from tests.vintern import checkpoints

_HOOKS = CHECKOUT / "tests" / "e2e" / "drills" / "hooks"  # they count the pages that a model is given
_LINES = {"OMP_NUM_THREADS": "1", "VINBATCH_ENGINE__THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
# In a process of its own, so that it can be killed.
_PIPELINE = """
import sys
import ray
from workers.ray_data import ReadDocuments

files, out, schema, model, batch = sys.argv[1:]
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
read = ray.data.read_binary_files(files, include_paths=True).map_batches(
    ReadDocuments,
    fn_constructor_kwargs={"schema": schema, "model": model},
    compute=ray.data.ActorPoolStrategy(size=1),
    batch_size=int(batch),
)
read.write_parquet(out)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=40)
    parser.add_argument("--batch", type=int, default=8, help="documents in a batch of Ray Data's")
    parser.add_argument("--tiny", action="store_true", help="a model that takes next to no time")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vb-ray-data-") as name:
        work = _slips(Path(name), options) if options.tiny else _cards(Path(name), options)
        data, lanes = RayData(work), Lanes(work)
        found: dict[str, Any] = {"ray_data": measured(data), "lanes": measured(lanes)}
        found["equal"] = data.records() == lanes.records()
        for way in (data, lanes):
            found[f"{way.name}_driver"] = killed(way, way.kill_all, again=True)
            found[f"{way.name}_actor"] = killed(way, way.kill_actor, again=False)
    print(json.dumps(found, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Work:
    """What both ways are given: `count` documents of a page each."""

    folder: Path
    files: Path
    schema: str
    model: str
    count: int
    batch: int


def _cards(folder: Path, options: argparse.Namespace) -> Work:
    files = folder / "in"
    specimens.write(files, options.documents, ["id_card"], 2026, formats=["png", "jpeg"])
    (files / "truth.jsonl").unlink()
    return Work(folder, files, "id_card@1", "demo", options.documents, options.batch)


def _slips(folder: Path, options: argparse.Namespace) -> Work:
    schema, model = folder / "slips.py", folder / "tiny"
    schema.write_text(SLIP, encoding="utf-8")
    checkpoints.write(model)
    files = write_slips(folder / "in", options.documents, 0, 1)
    return Work(folder, files, f"{schema}:Slip", str(model), options.documents, options.batch)


class Way:
    """A command that reads all documents; `read` is how often the model was given a page."""

    name = actor = ""

    def __init__(self, work: Work) -> None:
        self.work, self._number = work, 0

    def fresh(self) -> None:
        """Nothing is read yet."""
        self._number += 1
        self._out, self._calls = (
            self.work.folder / f"{self.name}-{self._number}.{what}" for what in ("out", "calls")
        )

    def read(self) -> int:
        with suppress(FileNotFoundError):
            return self._calls.read_bytes().count(b"\n")
        return 0

    def start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(map(str, (_HOOKS, CHECKOUT)))
        environment = {**os.environ, **_LINES, "PYTHONPATH": path, "COUNT_CALLS": str(self._calls)}
        # A lease is over soon, so that a killed run's documents need not be waited for.
        environment |= {"VINBATCH_LANE__LEASE_SECONDS": "10"}
        with (self.work.folder / "output").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *map(str, self.command())],
                cwd=self.work.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def command(self) -> list[Any]:
        raise NotImplementedError

    def kill_all(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def kill_actor(self, process: subprocess.Popen[bytes]) -> None:
        """The process that has the model; Ray's own belong to the family of the command."""
        for one in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if self.actor in " ".join(one.cmdline()):
                    one.kill()
                    return
        raise SystemExit(f"{self.name}: no process of {self.actor} was found")


class RayData(Way):
    """`map_batches` over a pool of one actor."""

    name, actor = "ray_data", "ray::MapWorker"

    def command(self) -> list[Any]:
        script, work = self.work.folder / "pipeline.py", self.work
        script.write_text(_PIPELINE)
        return [script, work.files, self._out, work.schema, work.model, work.batch]

    def records(self) -> dict[str, Any]:
        import pyarrow.parquet as pq

        rows = pq.read_table(self._out).to_pylist()
        return {Path(row["path"]).name: (row["state"], json.loads(row["record"])) for row in rows}


class Lanes(Way):
    """`vinbatch run` with one lane."""

    name, actor = "lanes", "ray::Replica"

    def command(self) -> list[Any]:
        work = self.work
        words = ["-m", "workers.cli", "run", work.files, "--schema", work.schema, "--model", work.model]
        return [*words, "--job", "b", "--store", f"sqlite:///{self._out}"]

    def records(self) -> dict[str, Any]:
        query = "SELECT uri, state, record FROM documents JOIN extractions ON document_id = documents.id"
        with closing(sqlite3.connect(self._out)) as connection:
            found = connection.execute(query).fetchall()
        return {Path(uri).name: (state, json.loads(record)) for uri, state, record in found}


def measured(way: Way) -> dict[str, float]:
    way.fresh()
    began = time.monotonic()
    process, first, last, seen = way.start(), 0.0, 0.0, 0
    while process.poll() is None:
        if (read := way.read()) > seen:
            first, last, seen = first or time.monotonic(), time.monotonic(), read
        time.sleep(0.02)
    _ended(way, process)
    seconds = time.monotonic() - began
    return {
        "seconds": round(seconds, 1),
        "documents_a_second": round(way.work.count / seconds, 2),
        "pages_a_second_between_first_and_last": round(seen / (last - first), 2) if last > first else 0.0,
    }


def killed(way: Way, kill: Callable[[subprocess.Popen[bytes]], None], *, again: bool) -> dict[str, Any]:
    """Kill somebody when half is read; with `again` the command is typed once more."""
    way.fresh()
    process = way.start()
    while process.poll() is None and way.read() < way.work.count // 2:
        time.sleep(0.02)
    kill(process)
    if again:
        process.wait()
        process = way.start()
    _ended(way, process)
    read, count = way.read(), way.work.count
    return {"read": read, "read_twice": read - count, "documents": len(way.records())}


def _ended(way: Way, process: subprocess.Popen[bytes]) -> None:
    if (code := process.wait()) not in (0, 3):
        raise SystemExit(f"{way.name} ended with {code}; its words are in the folder's file output")


if __name__ == "__main__":
    main()
