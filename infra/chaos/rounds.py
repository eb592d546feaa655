"""One round: a small job, blows at random moments, and what is left compared with an undisturbed run."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from infra.chaos.victims import COSTS_A_LEASE, RAYS_OWN, Family, Servers, back_ends
from tests.e2e.drills.conftest import Drill

PATIENCE = 900.0  # seconds for one run of the command
_PAGE_SECONDS = 0.5  # about the longest that a page takes
_NOBODY_SECONDS = 10.0  # to wait for somebody of the kind that is to be struck
_STARTS = 5  # of the command in one round, when Ray does not come up on a busy machine
_LEAVING_SECONDS = 30.0  # for the processes of a run that is over
# The store gives a document up as the cause when five lanes in a row have vanished with it, and rightly.
_LEASES_LOST = 4

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Blow:
    """Who is struck, when so many pages are kept and some time has passed."""

    kind: str
    pages: int
    seconds: float
    whom: float  # of those there are, as a share of their number


@dataclass(frozen=True)
class Verdict:
    """What became of a round's documents, as compared with the undisturbed run: how many of each."""

    lost: int = 0
    doubled: int = 0
    differing: int = 0

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.differing)


def chosen(kinds: Sequence[str], pages: int, chance: random.Random) -> list[Blow]:
    """Each kind at most once a round: a page whose worker dies twice over it is failed, and rightly."""
    number = chance.randint(2, len(kinds))
    blows, leases = [], 0
    for kind in chance.sample(kinds, len(kinds)):
        leases += kind in COSTS_A_LEASE
        if len(blows) < number and not (kind in COSTS_A_LEASE and leases > _LEASES_LOST):
            at, wait = chance.randrange(pages * 3 // 4), chance.uniform(0, _PAGE_SECONDS)
            blows.append(Blow(kind, at, wait, chance.random()))
    return sorted(blows, key=lambda blow: blow.pages)


def judged(rows: Rows, calm: Rows) -> Verdict:
    """Compares what was read, document by document."""
    this, that = _by_document(rows), _by_document(calm)
    found: Counter[str] = Counter()
    for uri in this.keys() | that.keys():
        mine, theirs = this.get(uri, []), that.get(uri, [])
        if mine == theirs:
            continue
        if not mine or any(row["state"] in ("pending", "leased") for row in mine):
            found["lost"] += 1
        elif all(mine.count(row) >= theirs.count(row) for row in theirs) and len(mine) > len(theirs):
            found["doubled"] += 1
        else:
            found["differing"] += 1
    return Verdict(**found)


def _by_document(rows: Rows) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["uri"], []).append(row)
    return found


@dataclass
class Round:
    """One job in a store of its own."""

    drill: Drill
    family: Family
    servers: Servers
    calls: Path  # one line for each page that was given to a model
    struck: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)  # of those that were struck
    endings: Counter[int] = field(default_factory=Counter)  # codes after Ray's own were struck
    unstarted: int = 0  # runs of the command that ended before anything was read or struck
    left: Counter[str] = field(default_factory=Counter)  # processes that outlived their run
    rows: Rows = ()
    wrong: list[str] = field(default_factory=list)
    unbalanced: bool = False
    verdict: Verdict = Verdict()

    def work(self, blows: Iterable[Blow], calm: Rows | None) -> None:
        """Type the command until it ends by itself, strike meanwhile, then judge."""
        left = list(blows)
        try:
            while not self._ends_by_itself(left):
                pass
        except subprocess.TimeoutExpired:
            self.wrong.append(f"stood still for {PATIENCE:g} s")
        except AssertionError as error:
            self.wrong.append(str(error))
        finally:
            self._sweep()
        try:
            self.drill.balanced()
        except AssertionError as error:
            self.unbalanced = True
            self.wrong.append(str(error))
        try:
            self.rows = self.drill.what_was_read()
        except AssertionError as error:  # there is no job at all: all of its documents are lost
            self.wrong.append(str(error))
        self.verdict = judged(self.rows, calm) if calm is not None else Verdict()
        if self.verdict:
            self.wrong.append(f"{self.verdict}")

    @property
    def model_calls(self) -> int:
        return self.calls.read_bytes().count(b"\n") if self.calls.exists() else 0

    @property
    def pages(self) -> int:
        """That were given to a model at all."""
        ids = self.calls.read_text().split() if self.calls.exists() else []
        return len({tuple(each.rsplit("/", 2)[1:]) for each in ids})

    def _ends_by_itself(self, left: list[Blow]) -> bool:
        """One run of the command; False when what was struck ended it."""
        process = self.drill.start()
        fatal: list[str] = []
        calls, blows = self.model_calls, len(self.struck)
        try:
            deadline = time.monotonic() + PATIENCE
            while left and process.poll() is None and time.monotonic() < deadline:
                hit = self._strike(process, left[0])
                if hit and left[0].kind in ("driver", *RAYS_OWN):
                    fatal.append(left[0].kind)
                if hit or process.poll() is None:  # else it is for the next run
                    left.pop(0)
            out, err = process.communicate(timeout=max(1.0, deadline - time.monotonic()))
        finally:
            process.kill()
            process.wait()
        code = process.returncode
        if code and any(kind in RAYS_OWN for kind in fatal):
            self.endings[code] += 1
        if code and (calls, blows) == (self.model_calls, len(self.struck)) and self.unstarted < _STARTS:
            self.unstarted += 1
            return False
        if code and not fatal:
            raise AssertionError(f"ended with {code}: {(err or out).strip()[-2000:]}")
        return not code

    def _strike(self, driver: subprocess.Popen[str], blow: Blow) -> bool:
        """When it is time; whether there was somebody to strike."""
        while driver.poll() is None and self.drill.count("SELECT count(*) FROM pages") < blow.pages:
            time.sleep(0.1)
        with suppress(subprocess.TimeoutExpired):  # the job may end meanwhile
            driver.wait(blow.seconds)
        until = time.monotonic() + _NOBODY_SECONDS
        while driver.poll() is None and time.monotonic() < until:
            if self._hit(driver, blow):
                pages = self.drill.count("SELECT count(*) FROM pages")
                self.struck.append(f"{blow.kind} at page {pages}")
                self.kinds[blow.kind] += 1
                return True
            time.sleep(0.1)
        return False

    def _hit(self, driver: subprocess.Popen[str], blow: Blow) -> bool:
        postgres, ceph = self.servers.postgres, self.servers.ceph
        if blow.kind == "postgres" and postgres is not None:
            postgres.stop("immediate")
            postgres.start()
            return True
        if blow.kind == "s3 server" and ceph is not None:
            ceph.stop()
            ceph.start()
            return True
        if blow.kind == "back end":
            victims = back_ends(self.drill.store)
        elif blow.kind == "driver":
            victims = [psutil.Process(driver.pid)]
        else:
            victims = self.family.victims("scheduler" if blow.kind == "notice" else blow.kind)
        if not victims:
            return False
        victim = victims[int(blow.whom * len(victims))]
        with suppress(psutil.NoSuchProcess):
            victim.terminate() if blow.kind == "notice" else victim.kill()
            return True
        return False

    def _sweep(self) -> None:
        """Count and end what is left of the run some time after its end."""
        until = time.monotonic() + _LEAVING_SECONDS
        while (members := self.family.members()) and time.monotonic() < until:
            time.sleep(0.2)
        for member in members:
            with suppress(psutil.NoSuchProcess):
                self.left[" ".join(member.cmdline())[:60]] += 1
                member.kill()
