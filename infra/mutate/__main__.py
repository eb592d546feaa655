"""`python -m infra.mutate`"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from infra import mutate
from infra.mutate import running
from infra.mutate.changes import CHECKOUT, Mutant, mutants, possible
from infra.mutate.rooms import tests_of


def main() -> int:
    parser = argparse.ArgumentParser(
        description=mutate.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("where", help="a Python file, or a folder of them, as seen from the checkout")
    parser.add_argument("--count", type=int, default=30, help="changes to try [default: 30]")
    parser.add_argument("--all", action="store_true", help="every change")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tests", nargs="*", help="[default: those of the file's room]")
    parser.add_argument("--floor", type=float, default=0.9, help="share that must be noticed [default: 0.9]")
    asked = parser.parse_args()
    place = CHECKOUT / asked.where
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    if not place.exists() or not files:
        parser.error(f"there is no Python file at {asked.where}")
    every = [change for file in files for change in possible(file)]
    chosen = mutants(every, len(every) if asked.all else asked.count, asked.seed)
    running.load()
    with tempfile.TemporaryDirectory(prefix="vinbatch-mutate-") as folder:
        copied = Path(folder)
        running.copy_into(copied)
        rooms: dict[tuple[str, ...], running.Room] = {}
        passed: list[Mutant] = []
        for number, mutant in enumerate(chosen, 1):
            tests = tuple(asked.tests or tests_of(mutant.file))
            if tests not in rooms:
                rooms[tests] = running.Room(copied, tests)
            seen = rooms[tests].notices(mutant)
            mark = "noticed " if seen else "SURVIVED"
            where = f"{mutant.file}:{mutant.line}"
            print(f"{number:4}/{len(chosen)} {mark} {where}: {mutant.before}  →  {mutant.after}", flush=True)
            if not seen:
                passed.append(mutant)
    share = 1 - len(passed) / max(1, len(chosen))
    seen_ones = f"{len(chosen) - len(passed)} of {len(chosen)} changes were noticed ({share:.0%})"
    print(f"{seen_ones}; {len(every)} are possible")
    return 0 if share >= asked.floor else 1


if __name__ == "__main__":
    sys.exit(main())
