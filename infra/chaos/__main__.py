"""Kills what a running job stands on, at random, for as long as one likes, and compares what is left.

    python -m infra.chaos --minutes 10 [--seed 7] [--store postgres] [--source s3]
    python -m infra.chaos --kills 300 --store postgres --source s3
    python -m infra.chaos --kills 10 --size 10      what kills cost a longer job

Each round is a small job on a Ray of its own. Any of its processes may be killed (SIGKILL) at a random
moment: driver, scheduler, reader, the reader's decoding child, replica, and Ray's own (gcs, raylet, agents,
dashboard, log monitor, autoscaler, idle workers). A scheduler may be told to end by SIGTERM; PostgreSQL may
crash and start again, or lose one of its back ends; the S3 server may crash and start again. When the driver
or its Ray was the victim, the same command is typed again. Then the books must balance, and the rows must be
those of an undisturbed run. The seed decides who is struck, after how many pages, and how long is waited
then; the machine decides what it is doing in that moment.

Leaves with 1 when a document was lost, doubled or differs, when books do not balance or when a run does not
end as it should. Needs what `make test` installs.
"""

from __future__ import annotations

import argparse
import math
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from infra.chaos.rounds import Round, Rows, chosen
from infra.chaos.victims import OF_THE_RUN, Family, Servers
from tests.e2e.conftest import CHECKOUT, SLIP, Command, write_slips
from tests.e2e.drills.conftest import Drill
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import Ceph
from tests.vintern import checkpoints

PICTURES, BOOKS, PAGES_EACH = 24, 8, 3
_HOOKS = CHECKOUT / "tests" / "e2e" / "drills" / "hooks"


@dataclass(frozen=True)
class Stage:
    """What all rounds share: documents, model, schema, servers."""

    home: Path
    servers: Servers
    source: tuple[object, ...]
    environment: Mapping[str, str]
    size: int  # of a round's job: so many times as many documents as in the smallest

    @property
    def documents(self) -> int:
        return (PICTURES + BOOKS) * self.size

    @property
    def pages(self) -> int:
        return (PICTURES + BOOKS * PAGES_EACH) * self.size

    def round(self, name: str) -> Round:
        """A job in a new store."""
        family, calls = Family(), self.home / f"{name}.calls"
        environment = {**self.environment, **family.environment, "COUNT_CALLS": str(calls)}
        postgres = self.servers.postgres
        store = f"sqlite:///{self.home / f'{name}.db'}" if postgres is None else postgres.create_database()
        job = (*self.source, "--schema", f"{self.home / 'slips.py'}:Slip", "--model", self.home / "tiny")
        return Round(Drill(Command(self.home, environment), job, store), family, self.servers, calls)


def staged(home: Path, servers: Servers, size: int = 1) -> Stage:
    (home / "slips.py").write_text(SLIP, encoding="utf-8")
    checkpoints.write(home / "tiny")
    folder = write_slips(home / "in", PICTURES * size, BOOKS * size, PAGES_EACH)
    environment = {
        "PYTHONPATH": str(_HOOKS),
        "OMP_NUM_THREADS": "1",
        "VINBATCH_ENGINE__THREADS": "1",
        "VINBATCH_LANE__GRACE_SECONDS": "4",
        "VINBATCH_LANE__ATTEMPTS": "10",
    }
    if servers.ceph is None:
        return Stage(home, servers, (folder,), environment, size)
    server = servers.ceph.server
    bucket = server.bucket({path.name: path.read_bytes() for path in folder.iterdir()})
    source = (f"s3://{bucket}/", "--s3-endpoint", server.endpoint)
    return Stage(home, servers, source, environment | server.environment, size)


def rounds(stage: Stage, minutes: float, kills: float, seed: int) -> int:
    """All rounds, told one by one and in sum; the exit code."""
    calm = stage.round("calm")
    calm.work((), None)
    if calm.wrong or calm.model_calls != stage.pages:
        print(f"the undisturbed run failed: {calm.wrong or f'{calm.model_calls} model calls'}")
        return 1
    print(f"seed {seed} · {stage.documents} documents, {stage.pages} pages a round", flush=True)
    kinds = (*OF_THE_RUN, *stage.servers.kinds)
    past: list[Round] = []
    end = time.monotonic() + 60 * minutes
    while not past or (time.monotonic() < end and _struck(past) < kills):
        past.append(_one(stage, kinds, f"{seed}/{len(past) + 1}", calm.rows, len(past) + 1))
    print("\n".join(report(past)), flush=True)
    return 1 if any(each.wrong for each in past) else 0


def _one(stage: Stage, kinds: tuple[str, ...], seed: str, calm: Rows, number: int) -> Round:
    this = stage.round(str(number))
    this.work(chosen(kinds, stage.pages, random.Random(seed)), calm)
    print(
        f"round {number}: {', '.join(this.struck) or 'nothing: it was over before'} · "
        f"{this.model_calls} model calls for {this.pages} pages · "
        + ("; ".join(this.wrong) or "the books balance, the rows are equal"),
        flush=True,
    )
    return this


def _struck(past: Iterable[Round]) -> int:
    return sum(len(each.struck) for each in past)


def report(past: list[Round]) -> list[str]:
    """What all rounds came to, line by line."""
    kinds, endings, left = Counter[str](), Counter[int](), Counter[str]()
    for each in past:
        kinds, endings, left = kinds + each.kinds, endings + each.endings, left + each.left
    calls, pages = sum(each.model_calls for each in past), sum(each.pages for each in past)
    return [
        f"{_struck(past)} kills in {len(past)} rounds: {_told(kinds)}",
        f"lost {sum(each.verdict.lost for each in past)} · "
        f"doubled {sum(each.verdict.doubled for each in past)} · "
        f"differing {sum(each.verdict.differing for each in past)} · "
        f"unbalanced {sum(each.unbalanced for each in past)} · "
        f"rounds with anything wrong {sum(bool(each.wrong) for each in past)}",
        f"{calls} model calls for {pages} pages: {calls / max(1, pages):.3f} a page, "
        f"{calls - pages} pages read again",
        f"runs that ended before anything was read or struck: {sum(each.unstarted for each in past)}",
        f"exit codes after Ray's own were killed: {_told(endings) or 'all 0'}",
        f"processes left {'some time' if left else ''} after the end of a run: {_told(left) or 'none'}",
    ]


def _told(counted: Counter[str] | Counter[int]) -> str:
    return ", ".join(f"{what} {number}×" for what, number in counted.most_common())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, help="no round is begun after this time (10 without --kills)"
    )
    parser.add_argument("--kills", type=int, help="no round is begun after so many kills")
    parser.add_argument("--size", type=int, default=1, help="so many times as many documents a round as 32")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="to choose as in that run")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--source", choices=("folder", "s3"), default="folder")
    options = parser.parse_args()
    kills = options.kills if options.kills is not None else math.inf
    minutes = options.minutes if options.minutes is not None else 10.0 if kills == math.inf else math.inf
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the servers end too
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        postgres = stack.enter_context(PostgresServer()) if options.store == "postgres" else None
        ceph = stack.enter_context(Ceph()) if options.source == "s3" else None
        return rounds(staged(home, Servers(postgres, ceph), options.size), minutes, kills, options.seed)


if __name__ == "__main__":
    raise SystemExit(main())
