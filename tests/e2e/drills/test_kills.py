"""Processes die in mid-job; afterwards the books balance and the rows are those of an undisturbed run."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import Command, finish, wait_for
from tests.e2e.drills.conftest import PAGES, Drill
from tests.servers.cluster import RayHead, second_node, started_head
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.slow  # `make drills` runs those marked drill


@pytest.mark.parametrize(
    "victim",
    [
        pytest.param("Reader", marks=pytest.mark.drill),
        "Replica",
        pytest.param("Scheduler", marks=pytest.mark.drill),
    ],
)
def test_a_process_of_the_lane_is_killed_twice(
    victim: str, drill: Drill, ray_head: RayHead, undisturbed: list[dict[str, Any]]
) -> None:
    process = drill.start()
    for pages in (2, 8):
        drill.wait_until_in_the_middle(pages)
        [killed] = drill.wait_for(lambda: ray_head.actors(victim))
        killed.kill()
        wait_for(lambda gone=killed: not gone.is_running() or gone.status() == "zombie")
    read = drill.end(process)
    assert drill.rows() == undisturbed
    # What was in the model's hands is read again; what was saved is not.
    assert read <= PAGES + 2 * 6


@pytest.mark.drill
def test_a_replica_that_stands_still_is_replaced_and_gone_at_the_end(
    drill: Drill, ray_head: RayHead, undisturbed: list[dict[str, Any]]
) -> None:
    drill.command.environment["VINBATCH_LANE__STALL_SECONDS"] = "10"
    process = drill.start()
    drill.wait_until_in_the_middle()
    [stopped] = drill.wait_for(lambda: ray_head.actors("Replica"))
    stopped.suspend()
    drill.end(process)
    assert drill.rows() == undisturbed
    wait_for(lambda: not stopped.is_running() or stopped.status() == psutil.STATUS_ZOMBIE, seconds=60)


@pytest.mark.drill
def test_the_driver_is_killed_twice(
    drill: Drill, ray_head: RayHead, undisturbed: list[dict[str, Any]]
) -> None:
    for pages in (2, 5):  # the books come first, so that some of a book's pages are saved
        process = drill.start()
        drill.wait_until_in_the_middle(pages)
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


@pytest.mark.drill
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
        for pages, stop in ((2, "fast"), (12, "immediate")):
            drill.wait_until_in_the_middle(pages)
            server.stop(stop)
            time.sleep(2)
            server.start()
        drill.end(process)
        assert drill.rows() == undisturbed


@pytest.mark.drill
def test_a_whole_node_vanishes(
    vinbatch: Command,
    folder: Path,
    model: Path,
    slip: str,
    postgres_url: str,
    undisturbed: list[dict[str, Any]],
) -> None:
    """There is no machine for its lane any more: the one that is left does all, and the run ends."""
    with second_node() as (head, second):
        cluster = ("--schema", slip, "--model", model, "--address", head.address)
        drill = Drill(vinbatch, (folder, *cluster), postgres_url)
        process = drill.start()
        workers = "SELECT count(DISTINCT worker) FROM documents WHERE state = 'leased'"
        drill.wait_for(lambda: drill.count(workers) == 2)
        second.vanish()
        drill.end(process)
        assert drill.count("SELECT count(*) FROM documents WHERE losses > 0")  # taken over
        assert drill.rows() == undisturbed


@pytest.mark.drill
def test_the_head_of_a_joined_cluster_vanishes(
    vinbatch: Command,
    folder: Path,
    model: Path,
    slip: str,
    postgres_url: str,
    arguments: tuple[object, ...],
    undisturbed: list[dict[str, Any]],
) -> None:
    """The run says so and ends with 4; the same command on another cluster goes on."""
    with started_head(cpus=2) as head:
        cluster = ("--schema", slip, "--model", model, "--address", head.address)
        drill = Drill(vinbatch, (folder, *cluster), postgres_url)
        process = drill.start()
        drill.wait_until_in_the_middle()
        for one in [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]:
            one.kill()
        _, err = finish(process, code=4)
        assert f"the Ray cluster at {head.address} has not answered" in err
    again = Drill(vinbatch, (folder, *arguments), postgres_url)
    again.end(again.start())
    assert again.rows() == undisturbed
