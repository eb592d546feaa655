"""Start of a job to its first row, and what each process of it takes.

    python -m infra.benchmarks.job [--model demo] [--kind id_card] [--count 6] [--json PATH]

Runs `vinbatch run` on a local Ray over fresh specimens into a new SQLite file, and watches from outside: the
ledger for rows, the process tree for memory (largest resident set seen; the sum of unshared memory says what
the job adds to a machine) and CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline import specimens

_NAMES = (  # what is in a command line → how it is called here
    ("ray::Scheduler", "scheduler"),
    ("ray::Replica", "replica"),
    ("ray::Reader", "reader"),
    ("ray::IDLE", "idle Ray worker"),
    ("pipeline.sandbox", "sandbox"),
    ("gcs_server", "Ray: gcs"),
    ("raylet/raylet", "Ray: raylet"),
    ("workers.cli", "driver"),
    ("ray", "Ray: agents and monitors"),
)


@dataclass
class Seen:
    """The most that was seen of one process."""

    resident: int = 0
    unshared: int = 0
    cpu_seconds: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--kind", default="id_card")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vinbatch-job-") as name:
        folder = Path(name)
        specimens.write(folder / "in", options.count, [options.kind], 2026)
        (folder / "in" / "truth.jsonl").unlink()
        result = measure(folder, options.model, options.kind)
    print(_table(result))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(folder: Path, model: str, kind: str) -> dict[str, object]:
    database = folder / "rows.db"
    command = [sys.executable, "-m", "workers.cli", "run", str(folder / "in"), "--schema", f"{kind}@1"]
    command += ["--model", model, "--job", "measured", "--store", f"sqlite:///{database}"]
    marks: dict[str, float] = {}
    seen: dict[int, tuple[str, Seen]] = {}
    most_unshared = 0
    started = time.monotonic()
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        while process.poll() is None:
            _mark(marks, database, time.monotonic() - started)
            most_unshared = max(most_unshared, _look(process.pid, seen))
            time.sleep(0.1)
    marks["process ended"] = time.monotonic() - started
    if process.returncode not in (0, 3):
        raise SystemExit((folder / "log").read_text())
    by_name: dict[str, list[Seen]] = {}
    for name, one in seen.values():
        by_name.setdefault(name, []).append(one)
    return {
        "seconds": {name: round(at, 2) for name, at in marks.items()},
        "load_average": psutil.getloadavg()[0],
        "unshared_mb_at_most": round(most_unshared / 1e6),
        "cpu_seconds": round(sum(one.cpu_seconds for _, one in seen.values()), 1),
        "processes": {
            name: {
                "count": len(group),
                "resident_mb": round(max(one.resident for one in group) / 1e6),
                "unshared_mb": round(max(one.unshared for one in group) / 1e6),
                "cpu_seconds": round(sum(one.cpu_seconds for one in group), 1),
            }
            for name, group in sorted(by_name.items(), key=lambda item: -max(o.resident for o in item[1]))
        },
    }


def _mark(marks: dict[str, float], database: Path, now: float) -> None:
    """The first moment at which the ledger shows each of these."""
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=0.2)) as connection:
            listed, leased, left, rows = connection.execute(
                "SELECT count(*), count(CASE WHEN state = 'leased' THEN 1 END), "
                "count(CASE WHEN state IN ('pending', 'leased') THEN 1 END), "
                "(SELECT count(*) FROM extractions) FROM documents"
            ).fetchone()
    except sqlite3.OperationalError:  # the tables are being made
        return
    for name, reached in (
        ("first document listed", listed),
        ("first document claimed", leased or left < listed),
        ("first document finished", left < listed),
        ("first row of values", rows),
        ("last document finished", listed and not left),
    ):
        if reached:
            marks.setdefault(name, now)


def _look(root: int, seen: dict[int, tuple[str, Seen]]) -> int:
    """Note each process of the job; returns the unshared memory of all together, bytes."""
    total = 0
    try:
        family = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in family:
        try:
            command = " ".join(process.cmdline())
            memory, times = process.memory_full_info(), process.cpu_times()
        except psutil.Error:
            continue
        before, one = seen.get(process.pid, ("other", Seen()))
        # A Ray worker gets its name with its actor, and has none when it ends.
        name = next((name for part, name in _NAMES if part in command), before)
        seen[process.pid] = (name, one)
        one.resident = max(one.resident, memory.rss)
        one.unshared = max(one.unshared, memory.uss)
        one.cpu_seconds = times.user + times.system
        total += memory.uss
    return total


def _table(result: dict[str, object]) -> str:
    lines = ["seconds after the command was typed"]
    lines += [f"  {name:<24}{at:>8.1f}" for name, at in result["seconds"].items()]  # type: ignore[attr-defined]
    lines += [f"{'process':<28}{'count':>6}{'resident MB':>13}{'unshared MB':>13}{'CPU s':>8}"]
    for name, figures in result["processes"].items():  # type: ignore[attr-defined]
        lines.append(
            f"{name:<28}{figures['count']:>6}{figures['resident_mb']:>13}{figures['unshared_mb']:>13}"
            f"{figures['cpu_seconds']:>8}"
        )
    lines.append(
        f"together at most {result['unshared_mb_at_most']} MB unshared, {result['cpu_seconds']} CPU seconds; "
        f"load average of the machine {result['load_average']:.1f}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
