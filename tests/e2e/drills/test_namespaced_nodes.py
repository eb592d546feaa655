"""Nodes on machines of their own (`tests/servers/hosts.py`) join a cluster and leave it in every way.

The head has no CPU, the documents are in S3, the store is PostgreSQL; each machine reaches them over its
cable. How many pages a lane reads is held down by what its downloads are made to wait for, so that the job is
not over before all has happened to it.
"""

from __future__ import annotations

import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.settings import LaneSettings
from tests.e2e.conftest import CHECKOUT, VINBATCH, Command, finish, wait_for, write_slips
from tests.e2e.drills.conftest import Drill
from tests.servers.faults import FaultProxy
from tests.servers.hosts import Network
from tests.servers.postgres import PostgresServer
from tests.servers.ray_on_hosts import HostCluster, Machine
from tests.servers.s3 import S3Server
from tests.servers.statements import Statements

pytestmark = [pytest.mark.slow, pytest.mark.drill]

PICTURES, BOOKS, PAGES_EACH = 180, 4, 3
PAGES = PICTURES + BOOKS * PAGES_EACH
HELD = 6  # pages that a lane has in hand at most, as `Drill` sets it
SLOWLY = 15.0  # seconds that a download waits on a machine that is to make its share last


@dataclass(frozen=True)
class Stage:
    """The cluster, and the servers that all machines reach."""

    cluster: HostCluster
    postgres: PostgresServer
    statements: Statements
    objects: FaultProxy
    calls: Path  # one line for each page that was given to a model
    arguments: tuple[object, ...]
    environment: dict[str, str]

    def job(self, folder: Path) -> Drill:
        """All documents, in a new store; typed on the head's machine."""
        program = (*self.cluster.inside(folder), str(VINBATCH))
        command = Command(folder, dict(self.environment), program)
        return Drill(command, self.arguments, self.postgres.create_database())

    def tokens(self, machine: Machine) -> set[str]:
        """Of all leases that its lanes ever had."""
        claims = (one for one in self.statements.of(machine.host.address) if one.claims)
        return {token for one in claims for token in one.tokens}

    def held(self, drill: Drill, machine: Machine) -> int:
        """Documents that are leased to its lane now."""
        mine = ",".join(f"'{token}'" for token in self.tokens(machine)) or "NULL"
        return drill.count(
            f"SELECT count(*) FROM documents WHERE state = 'leased' AND lease_token IN ({mine})"
        )

    def works(self, drill: Drill, machine: Machine) -> None:
        """At full speed from now on; returns when it has kept pages and holds documents, in some moment."""
        self.objects.delays.pop(machine.host.address, None)
        now = time.time()

        def kept() -> bool:
            pages = sum(one.keeps_pages for one in self.statements.of(machine.host.address, now))
            return pages > 1 and self.held(drill, machine) > 1

        drill.wait_for(kept)
        time.sleep(random.uniform(0, 0.5))

    def slow_down(self, machine: Machine) -> None:
        self.objects.delays[machine.host.address] = SLOWLY


@pytest.fixture
def stage(tmp_path: Path, network: Network, rgw_server: S3Server, model: Path, slip: str) -> Iterator[Stage]:
    folder = write_slips(tmp_path / "in", PICTURES, BOOKS, PAGES_EACH)
    bucket = rgw_server.bucket({path.name: path.read_bytes() for path in folder.iterdir()})
    calls = tmp_path / "calls"
    calls.touch()
    keys = rgw_server.environment | {"OMP_NUM_THREADS": "1", "VINBATCH_ENGINE__THREADS": "1"}
    hooks = {"PYTHONPATH": f"{CHECKOUT / 'tests/e2e/drills/hooks'}:{CHECKOUT}", "COUNT_CALLS": str(calls)}
    with (
        PostgresServer(address=network.gateway, admitted=str(network.subnet), statements=True) as postgres,
        FaultProxy(rgw_server.port, network.gateway) as objects,
    ):
        cluster = HostCluster(network, keys | hooks, tmp_path)
        arguments = (
            f"s3://{bucket}/", "--s3-endpoint", objects.endpoint, "--schema", slip, "--model", model,
            "--address", cluster.head.address, "--gpus-per-replica", 1,
        )  # fmt: skip
        statements = Statements(postgres.statements_log)
        yield Stage(cluster, postgres, statements, objects, calls, arguments, keys)


@dataclass(frozen=True)
class Joined:
    """Seconds from the start of a machine's Ray, each to the first of its kind."""

    node: float  # the cluster knows it
    lane: float  # its lane's scheduler asks the store
    claim: float  # the model is loaded
    page: float  # a page is kept

    def __str__(self) -> str:
        return (
            f"a node after {self.node:.1f} s; its lane's process {self.lane - self.node:.1f} s later, ready "
            f"after {self.claim - self.node:.1f} s, the first page after {self.page - self.node:.1f} s"
        )


def is_node(cluster: HostCluster, machine: Machine) -> bool:
    time.sleep(0.2)  # each look costs the head's dashboard something
    return cluster.id_of(machine) is not None


def joined(stage: Stage, drill: Drill, start: Callable[[], Machine]) -> tuple[Machine, Joined]:
    """A machine whose Ray was started, when its lane has kept a page."""
    began = time.time()
    machine = start()
    wait_for(lambda: is_node(stage.cluster, machine))
    node = time.time()

    def first(kind: str) -> float | None:
        found = stage.statements.of(machine.host.address, began)
        return next((one.at for one in found if kind == "" or getattr(one, kind)), None)

    drill.wait_for(lambda: first("keeps_pages"))
    lane, claim, page = (first(kind) or 0.0 for kind in ("", "claims", "keeps_pages"))
    return machine, Joined(*(at - began for at in (node, lane, claim, page)))


def billed(out: str) -> str:
    """As the command counts it, second looks at a page among the calls."""
    found = re.search(r"[\d.]+ model calls a page", out)
    assert found is not None, out
    return found[0]


def test_nodes_join_and_leave_in_every_way_and_nothing_is_lost(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = stage.cluster

    def say(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{time.strftime('%H:%M:%S')} {text}")
            sys.stdout.flush()

    # A job that begins when the head is all there is, and is then left alone.
    (tmp_path / "calm").mkdir()
    calm = stage.job(tmp_path / "calm")
    calm.command.environment["VINBATCH_LANE__MACHINE_SECONDS"] = "1800"
    process = calm.start()
    calm.wait_for(lambda: calm.count("SELECT count(*) FROM runs WHERE wanted > 0"))
    a, times = joined(stage, calm, lambda: cluster.join("a"))
    say(f"a joins a head alone: {times}")
    out, err = finish(process)
    assert "waiting for a machine with 1 CPU and 1 GPU" in err
    assert f"{PAGES} pages read" in out
    calls = stage.calls.read_text().split()
    assert len(calls) == PAGES
    say(f"left alone: {PAGES} pages, {len(calls)} model calls; the command says: {billed(out)}")
    undisturbed = calm.rows()

    (tmp_path / "drill").mkdir()
    drill = stage.job(tmp_path / "drill")
    stage.slow_down(a)
    process = drill.start()
    drill.wait_for(lambda: stage.held(drill, a))

    b, times = joined(stage, drill, lambda: cluster.join("b"))
    say(f"b joins: {times}")

    stage.works(drill, a)
    stage.slow_down(b)
    noticed = time.time()
    cluster.give_notice(a, seconds=120)
    drill.wait_for(lambda: not a.lanes())
    say(f"a is told to go: its lane has ended after {time.time() - noticed:.1f} s, the command's among them")
    assert not stage.held(drill, a)
    assert drill.count("SELECT count(*) FROM documents WHERE losses > 0 OR attempts > 1") == 0
    a.stop_ray()
    a.host.lose_power()

    c, times = joined(stage, drill, lambda: cluster.join("c"))
    say(f"c joins: {times}")
    stage.slow_down(c)
    stage.works(drill, b)
    held = stage.held(drill, b)
    b.host.lose_power()
    gone = time.time()
    drill.wait_for(lambda: not stage.held(drill, b))
    say(f"b loses power with {held} documents: taken back after {time.time() - gone:.1f} s")
    assert drill.count("SELECT count(*) FROM documents WHERE losses > 0")

    d, times = joined(stage, drill, lambda: cluster.join("d"))
    say(f"d joins: {times}")
    stage.works(drill, d)
    d.host.cut_off()
    cut, held = time.time(), stage.held(drill, d)
    old = stage.tokens(d)
    drill.wait_for(lambda: not is_node(cluster, d))
    say(f"d is cut off with {held} documents: taken for dead after {time.time() - cut:.1f} s")
    drill.wait_for(lambda: not stage.held(drill, d))
    assert d.lanes(), "its lane has ended before it could be late"
    # When its raylet hears that it was taken for dead, it ends all that is on it: the lane is to be first.
    raylet = d.raylet()
    raylet.suspend()
    d.host.reconnect()
    back = time.time()

    def late() -> list[str]:
        offers = stage.statements.of(d.host.address, back)
        return [token for one in offers if one.keeps_pages for token in one.tokens & old]

    drill.wait_for(late)
    raylet.resume()
    say(
        f"d is back after {back - cut:.1f} s; {time.time() - back:.1f} s later it offers pages under leases "
        f"that are over: {len(late())} statements"
    )
    wait_for(lambda: not d.host.processes())
    say(f"nothing of its Ray is left {time.time() - back:.1f} s later")

    def again() -> Machine:
        cluster.join_again(d)
        return d

    _, times = joined(stage, drill, again)
    say(f"d joins again: {times}")

    stage.works(drill, c)
    held, losses = stage.held(drill, c), drill.count("SELECT sum(losses) FROM documents")
    told = time.time()
    c.stop_ray()
    drill.wait_for(lambda: not stage.held(drill, c))
    losses = drill.count("SELECT sum(losses) FROM documents") - losses
    say(f"c gets SIGTERM with {held} documents: free after {time.time() - told:.1f} s, {losses} losses")

    stage.objects.delays.clear()
    out, _ = finish(process)
    asked = Counter(tuple(id.split("/")[1:]) for id in stage.calls.read_text().split()[len(calls) :])
    total = sum(asked.values())
    say(
        f"{PAGES} pages, {total} model calls, {total / PAGES:.3f} a page, at most {max(asked.values())} for "
        f"one; the command says: {billed(out)}\n"
    )
    assert drill.rows() == undisturbed
    assert len(asked) == PAGES
    assert total <= PAGES + 4 * HELD  # what b, c and d had in hand, and what d took on when it was back


ASKS = """
import sys, time
from pipeline.errors import Transient
from pipeline.store.database import Database

database = Database(sys.argv[1])
while True:
    try:
        database.read_clock()
        print("answered", flush=True)
    except Transient:
        print("away", flush=True)
        break
    time.sleep(0.2)
"""


def test_a_store_that_was_cut_off_is_known_to_be_away_while_leases_last(
    network: Network, tmp_path: Path
) -> None:
    """Linux itself would go on for a quarter of an hour with what was sent and is not acknowledged."""
    with PostgresServer(address=network.gateway, admitted=str(network.subnet)) as postgres:
        host, log = network.host("a"), tmp_path / "said"
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        host.start([sys.executable, "-c", ASKS, postgres.url()], environment, log)
        wait_for(lambda: "answered" in log.read_text())
        host.cut_off()
        wait_for(lambda: "away" in log.read_text(), seconds=LaneSettings().lease_seconds)
