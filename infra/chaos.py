"""Kills processes of running jobs at random, for as long as one likes, and compares what is left of them.

    python -m infra.chaos --minutes 10 [--seed 7] [--store postgres]

Each round is a small job on a Ray of its own. Some of its processes (a reader, the replica, the scheduler,
the driver) are killed with SIGKILL at random moments, the scheduler may be told to end by SIGTERM, and
PostgreSQL may crash and start again. When the driver was the victim, the same command is typed again. Then
the books must balance, and the rows must be those of an undisturbed run. The seed decides who is struck and
how long is waited; the machine decides what it is doing then.

Leaves with 1 when anything differed. Needs what `make test` installs.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.e2e.conftest import SLIP, Command, write_slips
from tests.e2e.drills.conftest import Drill
from tests.servers.cluster import actors
from tests.servers.postgres import PostgresServer
from tests.vintern import checkpoints

# Each at most once a round: a page whose worker dies twice over it is quarantined, and rightly.
BLOWS = ("reader", "replica", "scheduler", "driver", "notice")
PICTURES, BOOKS, PAGES_EACH = 24, 4, 3
PAGES = PICTURES + BOOKS * PAGES_EACH
PAGE_SECONDS = 0.5  # about the longest that a page takes
PATIENCE = 300.0  # seconds for one run of the command


@dataclass
class Round:
    """One job in a database of its own, and what became of it."""

    drill: Drill
    server: PostgresServer | None = None
    struck: list[str] = field(default_factory=list)
    read: int = 0  # pages, as far as is known: a scheduler that is killed takes its last count with it
    _saved_before: int = 0  # this run of the command
    rows: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def work(self, blows: Sequence[str], chance: random.Random) -> None:
        """Type the command until it ends by itself; meanwhile strike, one blow after the other."""
        moments = sorted(chance.randrange(PAGES * 3 // 4) for _ in blows)
        left = list(zip(blows, moments, strict=True))
        try:
            while self._killed(left, chance):
                pass
            self.rows = self.drill.rows()
        except AssertionError as error:  # what the command said, and that was not to be
            self.wrong.append(str(error))
        except subprocess.TimeoutExpired:
            self.wrong.append(f"stood still for {PATIENCE:g} s")

    def _killed(self, left: list[tuple[str, int]], chance: random.Random) -> bool:
        """One run of the command; whether its driver was the victim."""
        saved = self._saved()
        self.read += saved - self._saved_before  # by the run before, if it was killed
        self._saved_before = saved
        process = self.drill.start()
        try:
            deadline = time.monotonic() + PATIENCE
            while left and process.poll() is None and time.monotonic() < deadline:
                if self._strike(process, *left[0], chance):
                    left.pop(0)
            out, err = process.communicate(timeout=max(1.0, deadline - time.monotonic()))
        finally:
            process.kill()
            process.wait()
        found = re.search(r"(\d+) pages read", out)
        killed = process.returncode == -9
        if not killed and (process.returncode != 0 or found is None):
            raise AssertionError(f"ended with {process.returncode}: {(err or out).strip()}")
        self.read += int(found[1]) if found is not None else 0
        return killed

    def _strike(self, driver: subprocess.Popen[str], blow: str, pages: int, chance: random.Random) -> bool:
        """Some time after so many pages are kept; whether there was somebody to strike."""
        if not _victims(driver, blow) or self._saved() < pages:
            time.sleep(0.05)
            return False
        with suppress(subprocess.TimeoutExpired):  # the job may end meanwhile
            driver.wait(chance.uniform(0, PAGE_SECONDS))
        victims, at = _victims(driver, blow), self._saved()
        if not victims:
            return False
        try:
            if blow == "postgres" and self.server is not None:
                self.server.stop("immediate")
                self.server.start()
            elif blow == "notice":
                chance.choice(victims).terminate()
            else:
                chance.choice(victims).kill()
        except psutil.NoSuchProcess:
            return False
        self.struck.append(f"{blow} at page {at}")
        return True

    def _saved(self) -> int:
        return self.drill.count("SELECT count(*) FROM pages")


def _victims(driver: subprocess.Popen[str], blow: str) -> list[psutil.Process]:
    """The living processes that the blow may strike; PostgreSQL is struck while there is a lane."""
    if driver.poll() is not None:
        return []
    kind = {"reader": "Reader", "replica": "Replica"}.get(blow, "Scheduler")
    try:
        return [psutil.Process(driver.pid)] if blow == "driver" else actors(driver.pid, kind)
    except psutil.NoSuchProcess:
        return []


def _rounds(minutes: float, seed: int, home: Path, server: PostgresServer | None) -> int:
    """All rounds, told one by one and in sum; the exit code."""
    (home / "slips.py").write_text(SLIP, encoding="utf-8")
    checkpoints.write(home / "tiny")
    documents = write_slips(home / "in", PICTURES, BOOKS, PAGES_EACH)
    job = (documents, "--schema", f"{home / 'slips.py'}:Slip", "--model", home / "tiny")
    environment = {
        "OMP_NUM_THREADS": "1",
        "VINBATCH_ENGINE__THREADS": "1",
        "VINBATCH_LANE__GRACE_SECONDS": "4",
        "VINBATCH_LANE__ATTEMPTS": "10",
    }

    def started(store: str) -> Round:
        return Round(Drill(Command(home, dict(environment)), job, store), server)

    calm = started(f"sqlite:///{home / 'calm.db'}")
    calm.work((), random.Random())
    if calm.wrong:
        print(f"the undisturbed run failed: {calm.wrong[0]}")
        return 1
    print(f"seed {seed} · {PICTURES + BOOKS} documents, {PAGES} pages a round", flush=True)
    blows = BLOWS if server is None else (*BLOWS, "postgres")
    end = time.monotonic() + 60 * minutes
    past: list[Round] = []
    differed = 0
    while time.monotonic() < end or not past:
        number = len(past) + 1
        chance = random.Random(f"{seed}/{number}")
        this = started(f"sqlite:///{home / f'{number}.db'}" if server is None else server.create_database())
        past.append(this)
        this.work(chance.sample(blows, chance.randint(2, len(blows))), chance)
        if not this.wrong and this.rows != calm.rows:
            this.wrong.append("its rows are not those of the undisturbed run")
        differed += bool(this.wrong)
        print(
            f"round {number}: {', '.join(this.struck) or 'nothing: it was over before'} · read "
            f"{this.read} of {PAGES} pages by its own count · "
            + ("; ".join(this.wrong) or "the books balance, the rows are equal"),
            flush=True,
        )
    struck, read = sum(len(this.struck) for this in past), sum(this.read for this in past)
    print(
        f"{len(past)} rounds, {struck} blows, {read} of {len(past) * PAGES} pages read by their own count: "
        + (
            f"{differed} rounds DIFFERED"
            if differed
            else "all balanced, with the rows of the undisturbed run"
        )
    )
    return 1 if differed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="no round is begun after this time")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="to choose as in that run")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    options = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        server = stack.enter_context(PostgresServer()) if options.store == "postgres" else None
        return _rounds(options.minutes, options.seed, home, server)


if __name__ == "__main__":
    raise SystemExit(main())
