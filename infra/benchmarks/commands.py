"""What a short command costs: python -m infra.benchmarks.commands [--turns 5]

CPU seconds (user and system) of whole processes, each command in turn with `python -c pass` and
`import sqlalchemy`, on a small store in SQLite; the least of the turns, and as a multiple of SQLAlchemy's
import, which no query can do without.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline import store as stores
from schemas import registry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/rows.db"
        with stores.open(url) as store:
            spec = registry.resolve("invoice@1")
            store.jobs.ensure("june", spec, sources=["in"], settings={}, model="demo", checkpoint="c")
        commands = {
            "nothing": ["-c", "pass"],
            "import sqlalchemy": ["-c", "import sqlalchemy"],
            "--help": ["-m", "workers.cli", "--help"],
            "query": ["-m", "workers.cli", "query", "SELECT 1", "--store", url],
            "failures": ["-m", "workers.cli", "failures", "--job", "june", "--store", url],
            "status": ["-m", "workers.cli", "status", "--store", url],
        }
        rounds = [{name: cost(words) for name, words in commands.items()} for _ in range(turns)]
    least = {name: min(one[name] for one in rounds) for name in commands}
    base = least["import sqlalchemy"]
    figures = {name: {"CPU s": round(s, 3), "ratio": round(s / base, 2)} for name, s in least.items()}
    print(json.dumps(figures, indent=2))


def cost(words: list[str]) -> float:
    """CPU seconds of one process, which must succeed."""
    with Path(os.devnull).open("w") as nowhere:
        process = subprocess.Popen([sys.executable, *words], stdout=nowhere, stderr=nowhere)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
