"""`python -m infra.chaos` in its smallest form, and the eyes with which it judges."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest

from infra.chaos.rounds import Verdict, chosen, judged
from infra.chaos.victims import COSTS_A_LEASE, OF_POSTGRES, OF_S3, OF_THE_RUN, Family, kind_of
from tests.e2e.conftest import CHECKOUT, finish

CALM = [
    {"uri": uri, "state": "done", "path": path, "value": f"{uri} {path}"}
    for uri in ("a", "b", "c")
    for path in ("number", "kind")
]
KINDS = (*OF_THE_RUN, *OF_POSTGRES, *OF_S3)


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        (CALM, Verdict()),
        (CALM[2:], Verdict(lost=1)),
        ([{**row, "state": "leased"} if row["uri"] == "b" else row for row in CALM], Verdict(lost=1)),
        ([*CALM, *CALM[:2]], Verdict(doubled=1)),
        ([*CALM, CALM[5]], Verdict(doubled=1)),
        ([*CALM, {**CALM[0], "uri": "nobody listed this"}], Verdict(doubled=1)),
        (CALM[1:], Verdict(differing=1)),
        ([{**CALM[0], "value": "another"}, *CALM[1:]], Verdict(differing=1)),
        ([{**row, "state": "quarantined"} for row in CALM[:2]] + CALM[4:], Verdict(lost=1, differing=1)),
    ],
)
def test_what_is_lost_doubled_or_different_is_seen(rows: list[dict[str, Any]], verdict: Verdict) -> None:
    assert judged(rows, CALM) == verdict


def test_the_seed_chooses_and_no_document_is_struck_more_often_than_it_may_be() -> None:
    met: set[str] = set()
    for seed in range(200):
        blows = chosen(KINDS, 48, random.Random(seed))
        assert blows == chosen(KINDS, 48, random.Random(seed))
        kinds = [blow.kind for blow in blows]
        assert 2 <= len(kinds) == len(set(kinds)) and sum(kind in COSTS_A_LEASE for kind in kinds) <= 4
        met |= set(kinds)
    assert met == set(KINDS)


def test_a_run_is_known_by_its_mark_and_its_orphans_too() -> None:
    family, other = Family(), Family()
    program = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', {!r}], env={{}}); {}"
    sleeps = "import time; time.sleep(600)"
    environment = {**family.environment}
    with subprocess.Popen([sys.executable, "-c", program.format(sleeps, sleeps)], env=environment) as process:
        while len(members := family.members()) < 2:
            time.sleep(0.05)
        assert psutil.Process(process.pid) in members and not other.members()
        assert [kind_of(member) for member in members] == [None, None]
        for member in members:
            member.kill()
    assert family.members() == []


@pytest.mark.slow
@pytest.mark.drill
def test_a_few_kills_cost_nothing() -> None:
    where = ("--store", "postgres", "--source", "s3")
    # As in a shell of one's own, where no token is set.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.chaos", "--kills", "3", "--seed", "4", *where], env=environment,
        cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    out, _ = finish(process, seconds=1700)
    assert "lost 0 · doubled 0 · differing 0 · unbalanced 0 · rounds with anything wrong 0" in out
    kills = re.search(r"^(\d+) kills in", out, re.M)
    assert kills is not None and int(kills[1]) >= 3, out
