"""The same files and the same model in Ray Data and in lanes: python -m infra.benchmarks.ray_data

Specimens of ID cards and the demo model. Ray Data reads them by `map_batches` over a pool of one actor
(workers.ray_data.ReadDocuments) into Parquet; a job of one lane into SQLite, and from there into Parquet.

equal       whether both have the same record for each document
seconds     of each, from the command to the end, Ray's start with it; pages a second between the first
            document that was read and the last
killed      the driver is killed when half is read, and started again: documents that are read a second time
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
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from pipeline import specimens

_CHECKOUT = Path(__file__).resolve().parents[2]
_LINES = {"OMP_NUM_THREADS": "1", "VINBATCH_ENGINE__THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
# In a process of its own, so that it can be killed. One line in `log` for each document that is read.
_PIPELINE = """
import sys, time
import ray
from workers.ray_data import ReadDocuments

files, out, log, batch = sys.argv[1:]

class Logged(ReadDocuments):
    def _row(self, data):
        row = super()._row(data)
        with open(log, "a") as lines:
            lines.write(f"{time.time()}\\n")
        return row

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
read = ray.data.read_binary_files(files, include_paths=True).map_batches(
    Logged,
    fn_constructor_kwargs={"schema": "id_card@1", "model": "demo"},
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
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vb-ray-data-") as name:
        folder = Path(name)
        files = folder / "in"
        specimens.write(files, options.documents, ["id_card"], 2026, formats=["png", "jpeg"])
        (files / "truth.jsonl").unlink()
        data, lanes = RayData(folder, files, options.batch), Lanes(folder, files)
        found: dict[str, Any] = {"ray_data": measured(data, options), "lanes": measured(lanes, options)}
        found["equal"] = data.records() == lanes.records()
        for way in (data, lanes):
            found[f"{way.name}_read_twice_after_a_kill"] = killed(way, options.documents)
    print(json.dumps(found, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


class RayData:
    """`map_batches` over a pool of one actor."""

    name = "ray_data"

    def __init__(self, folder: Path, files: Path, batch: int) -> None:
        self._folder, self._files, self._batch, self._number = folder, files, batch, 0
        self._script = folder / "pipeline.py"
        self._script.write_text(_PIPELINE)

    def fresh(self) -> None:
        """Nothing is read yet."""
        self._number += 1
        self._out, self._log = (self._folder / f"{what}-{self._number}" for what in ("parquet", "log"))

    def start(self) -> subprocess.Popen[bytes]:
        given = [self._files, self._out, self._log, self._batch]
        return _started([self._script, *given], self._folder)

    def read(self) -> list[float]:
        """When each document was read, every time that it was."""
        with suppress(FileNotFoundError):
            return [float(line) for line in self._log.read_text().splitlines()]
        return []

    def records(self) -> dict[str, Any]:
        import pyarrow.parquet as pq

        rows = pq.read_table(self._out).to_pylist()
        return {Path(row["path"]).name: (row["state"], json.loads(row["record"])) for row in rows}


class Lanes:
    """`vinbatch run` with one lane."""

    name = "lanes"

    def __init__(self, folder: Path, files: Path) -> None:
        self._folder, self._files, self._number = folder, files, 0

    def fresh(self) -> None:
        self._number += 1
        self._database = self._folder / f"{self._number}.db"

    def start(self) -> subprocess.Popen[bytes]:
        command = ["-m", "workers.cli", "run", self._files, "--schema", "id_card@1", "--model", "demo"]
        # A lease is over soon, so that the killed run's documents need not be waited for.
        more = {"VINBATCH_LANE__LEASE_SECONDS": "10"}
        return _started([*command, "--job", "b", "--store", self._database], self._folder, more)

    def read(self) -> list[float]:
        """When each page was kept; one that was read twice was answered by the model twice."""
        query = "SELECT strftime('%s', read_at) + 0.0 FROM pages ORDER BY 1"
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(self._database)) as connection:
            return [at for (at,) in connection.execute(query)]
        return []

    def records(self) -> dict[str, Any]:
        query = "SELECT uri, state, record FROM documents JOIN extractions ON document_id = documents.id"
        with closing(sqlite3.connect(self._database)) as connection:
            found = connection.execute(query).fetchall()
        return {Path(uri).name: (state, json.loads(record)) for uri, state, record in found}


def measured(way: RayData | Lanes, options: argparse.Namespace) -> dict[str, float]:
    way.fresh()
    began = time.monotonic()
    process = way.start()
    code = process.wait()
    seconds = time.monotonic() - began
    if code not in (0, 3):
        raise SystemExit(f"{way.name} ended with {code}")
    read = way.read()
    between = max(read) - min(read)
    return {
        "seconds": round(seconds, 1),
        "documents_a_second": round(options.documents / seconds, 2),
        "pages_read_a_second_between_first_and_last": round(len(read) / between, 2) if between else 0.0,
    }


def killed(way: RayData | Lanes, documents: int) -> dict[str, int]:
    """Kill it when half is read, run it to its end, and count what was read again."""
    way.fresh()
    process = way.start()
    while process.poll() is None and len(way.read()) < documents // 2:
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = len(way.read())
    process = way.start()
    if (code := process.wait()) not in (0, 3):
        raise SystemExit(f"{way.name} ended with {code} when it went on")
    # Of lanes a page is one row however often it was read: what went on was asked of the model only then.
    after = len(way.read())
    again = after - documents if way.name == "ray_data" else None
    return {"kept_or_read_before": before, "after": after} | ({} if again is None else {"read_twice": again})


def _started(arguments: list[Any], folder: Path, more: dict[str, str] | None = None) -> Any:
    environment = {**os.environ, **_LINES, **(more or {}), "PYTHONPATH": str(_CHECKOUT)}
    with (folder / "output").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


if __name__ == "__main__":
    main()
