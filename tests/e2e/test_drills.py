"""Processes die in mid-job; afterwards the books balance and the rows are those of an undisturbed run."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.conftest import WHAT_WAS_READ, Command, finish, wait_for, write_slips
from tests.servers.cluster import RayHead
from tests.servers.faults import FaultProxy
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # `make drills` runs those marked drill

PICTURES, BOOKS, PAGES_EACH = 30, 4, 3
PAGES = PICTURES + BOOKS * PAGES_EACH


class Drill:
    """One job over the same documents, whose command is typed again and again."""

    def __init__(self, command: Command, arguments: tuple[object, ...], store: str) -> None:
        self.command = command
        self.store = store
        self._arguments = ("run", *arguments, "--job", "drill", "--store", store)
        # One page at a time, so that there is a middle of the job; leases that run out within the test.
        command.environment |= {
            "VINBATCH_ENGINE__MAX_BATCH": "1",
            "VINBATCH_LANE__PAGES_IN_FLIGHT": "6",
            "VINBATCH_LANE__LEASE_SECONDS": "15",
        }

    def start(self) -> subprocess.Popen[str]:
        return self.command.start(*self._arguments)

    def end(self, process: subprocess.Popen[str], code: int = 0) -> int:
        """Wait for it; returns how many pages it read."""
        out, _ = finish(process, code)
        found = re.search(r"(\d+) pages read", out)
        assert found is not None, out
        return int(found[1])

    def wait_until_in_the_middle(self, pages: int = 2) -> None:
        wait_for(lambda: self.count("SELECT count(*) FROM pages") >= pages)
        assert self.unfinished(), "it was over before anything could be done to it"

    def last_waiting(self) -> str:
        """The document that will be taken last: nobody has fetched it yet."""
        return self._ask("SELECT uri FROM documents WHERE state = 'pending' ORDER BY id DESC LIMIT 1") or ""

    def unfinished(self) -> int:
        return self.count("SELECT count(*) FROM documents WHERE state IN ('pending', 'leased')")

    def count(self, sql: str) -> int:
        return int(self._ask(sql) or 0)

    def _ask(self, sql: str) -> Any:
        """Asked of the database itself: the command would take too long to start."""
        try:
            if self.store.startswith("postgresql"):
                with psycopg.connect(self.store, connect_timeout=2) as connection:
                    row = connection.execute(sql).fetchone()  # type: ignore[arg-type]
            else:
                with closing(sqlite3.connect(self.store.removeprefix("sqlite:///"))) as connection:
                    row = connection.execute(sql).fetchone()
        except (sqlite3.OperationalError, psycopg.Error):  # not there yet
            return None
        return row[0] if row is not None else None

    def rows(self) -> list[dict[str, Any]]:
        assert "the books balance" in self.command(
            "status", "--job", "drill", "--store", self.store, "--verify"
        )
        found = self.command.rows(WHAT_WAS_READ.format(job="drill"), self.store)
        return [{**row, "uri": Path(row["uri"]).name} for row in found]  # wherever the document lies


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slips(tmp_path_factory.mktemp("drills") / "in", PICTURES, BOOKS, PAGES_EACH)


@pytest.fixture(scope="module")
def arguments(model: Path, slip: str, ray_head: RayHead) -> tuple[object, ...]:
    return ("--schema", slip, "--model", model, "--address", ray_head.address)


@pytest.fixture(scope="module")
def undisturbed(
    folder: Path, arguments: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    home = tmp_path_factory.mktemp("undisturbed")
    environment = {"OMP_NUM_THREADS": "1", "VINBATCH_ENGINE__THREADS": "1"}
    drill = Drill(Command(home, environment), (folder, *arguments), f"sqlite:///{home / 'rows.db'}")
    assert drill.end(drill.start()) == PAGES
    rows = drill.rows()
    assert len({row["uri"] for row in rows}) == PICTURES + BOOKS
    return rows


@pytest.fixture
def drill(vinbatch: Command, folder: Path, arguments: tuple[object, ...]) -> Drill:
    return Drill(vinbatch, (folder, *arguments), f"sqlite:///{vinbatch.folder / 'rows.db'}")


@pytest.mark.parametrize("victim", ["Reader", "Replica", pytest.param("Scheduler", marks=pytest.mark.drill)])
def test_a_process_of_the_lane_is_killed(
    victim: str, drill: Drill, ray_head: RayHead, undisturbed: list[dict[str, Any]]
) -> None:
    process = drill.start()
    for pages in (2, 8):
        drill.wait_until_in_the_middle(pages)
        [killed] = wait_for(lambda: ray_head.actors(victim))
        killed.kill()
        wait_for(lambda gone=killed: not gone.is_running() or gone.status() == "zombie")
    read = drill.end(process)
    assert drill.rows() == undisturbed
    # What was in the model's hands is read again; what was saved is not.
    assert read <= PAGES + 2 * 6


def test_the_driver_is_killed(drill: Drill, ray_head: RayHead, undisturbed: list[dict[str, Any]]) -> None:
    process = drill.start()
    drill.wait_until_in_the_middle()
    process.kill()
    process.communicate()
    wait_for(lambda: not ray_head.actors("Scheduler"))  # its lanes end with it
    saved = drill.count("SELECT count(*) FROM pages")
    assert drill.unfinished()
    assert drill.end(drill.start()) == PAGES - saved
    assert drill.rows() == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.drill)])
def test_an_interrupted_run_gives_back_and_the_same_command_goes_on(
    number: signal.Signals, drill: Drill, undisturbed: list[dict[str, Any]]
) -> None:
    process = drill.start()
    drill.wait_until_in_the_middle()
    process.send_signal(number)
    first = drill.end(process, code=130)
    assert drill.count("SELECT count(*) FROM documents WHERE state = 'leased'") == 0
    assert drill.unfinished()
    assert first + drill.end(drill.start()) == PAGES
    assert drill.rows() == undisturbed


def test_two_runs_at_once_share_the_work(drill: Drill, undisturbed: list[dict[str, Any]]) -> None:
    both = [drill.start(), drill.start()]
    read = [drill.end(process) for process in both]
    assert sum(read) == PAGES
    assert drill.rows() == undisturbed


@pytest.mark.drill
def test_postgres_is_stopped_and_started(
    vinbatch: Command, folder: Path, arguments: tuple[object, ...], undisturbed: list[dict[str, Any]]
) -> None:
    with PostgresServer() as server:
        drill = Drill(vinbatch, (folder, *arguments), server.create_database())
        process = drill.start()
        for stop in ("fast", "immediate"):
            drill.wait_until_in_the_middle()
            server.stop(stop)
            server.start()
        drill.end(process)
        assert drill.rows() == undisturbed


@pytest.fixture
def s3_drill(
    drill: Drill,
    vinbatch: Command,
    folder: Path,
    arguments: tuple[object, ...],
    moto: S3Server,
    fault_proxy: FaultProxy,
) -> Drill:
    """The same documents in a bucket, behind a server that can be told to fail."""
    bucket = moto.bucket({path.name: path.read_bytes() for path in folder.iterdir()})
    vinbatch.environment |= moto.environment | {"VINBATCH_SOURCE__TIMEOUT_SECONDS": "2"}
    place = (f"s3://{bucket}/", *arguments, "--s3-endpoint", fault_proxy.endpoint)
    return Drill(vinbatch, place, drill.store)


@pytest.mark.drill
def test_an_object_is_deleted_during_the_job(
    s3_drill: Drill, moto: S3Server, undisturbed: list[dict[str, Any]]
) -> None:
    process = s3_drill.start()
    s3_drill.wait_until_in_the_middle()
    name = _key(uri := s3_drill.last_waiting())
    moto.client().delete_object(Bucket=_bucket(uri), Key=name)
    s3_drill.end(process, code=3)
    rows = s3_drill.rows()
    [lost] = [row for row in rows if row["uri"] == name]
    assert (lost["state"], lost["reason"], lost["path"]) == ("quarantined", "object_missing", None)
    assert [row for row in rows if row["uri"] != name] == [row for row in undisturbed if row["uri"] != name]


def _bucket(uri: str) -> str:
    return uri.split("/")[2]


def _key(uri: str) -> str:
    return uri.partition(_bucket(uri) + "/")[2]
