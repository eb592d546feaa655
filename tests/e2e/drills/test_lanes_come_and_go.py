"""Machines join and leave while jobs run, and jobs share them: lanes follow, and nothing is lost."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Command, finish, wait_for, write_slips
from tests.e2e.drills.conftest import PAGES, Drill
from tests.servers.cluster import joining_node, started_head
from tests.servers.growing import growing_head

pytestmark = [pytest.mark.slow, pytest.mark.drill]


def test_a_cluster_grows_from_nothing_for_a_job_and_shrinks_again(
    vinbatch: Command,
    folder: Path,
    model: Path,
    slip: str,
    postgres_url: str,
    undisturbed: list[dict[str, Any]],
) -> None:
    """The head has no CPU: nothing stands there but the driver."""
    with growing_head(machines=2) as head:
        arguments = (folder, "--schema", slip, "--model", model, "--address", head.address)
        drill = Drill(vinbatch, arguments, postgres_url)
        out, err = finish(drill.start("--replicas", 2, "--gpus-per-replica", 1))
        assert f"{PAGES} pages read" in out
        assert re.search(
            r"waiting for a machine with 1 CPU and 1 GPU, the cluster is asked for 2: \d+ of", err
        )
        assert drill.count("SELECT count(DISTINCT worker) FROM documents") == 2
        assert drill.rows() == undisturbed
        wait_for(lambda: len(head.nodes()) == 1)


def test_machines_join_and_leave_in_the_middle(
    vinbatch: Command,
    folder: Path,
    model: Path,
    slip: str,
    postgres_url: str,
    undisturbed: list[dict[str, Any]],
) -> None:
    """The run begins without any; two join, one vanishes, the other one does the rest."""
    vinbatch.environment["VINBATCH_LANE__MACHINE_SECONDS"] = "600"
    with ExitStack() as stack:
        head = stack.enter_context(started_head(cpus=0))
        arguments = (folder, "--schema", slip, "--model", model, "--address", head.address)
        drill = Drill(vinbatch, arguments, postgres_url)
        process = drill.start("--gpus-per-replica", 1)
        first = stack.enter_context(joining_node(head, "127.0.0.3", cpus=2, gpus=1))
        stack.enter_context(joining_node(head, "127.0.0.4", cpus=2, gpus=1))
        workers = "SELECT count(DISTINCT worker) FROM documents WHERE state = 'leased'"
        drill.wait_for(lambda: drill.count(workers) == 2)
        first.vanish()
        drill.end(process)
        assert drill.rows() == undisturbed


def test_a_job_yields_to_one_of_higher_priority_is_cancelled_and_taken_up_again(
    vinbatch: Command, model: Path, slip: str
) -> None:
    """There is room for one lane."""
    many = write_slips(vinbatch.folder / "in", pictures=120)
    with started_head(cpus=2) as head:
        arguments = ("--schema", slip, "--model", model, "--address", head.address)
        drill = Drill(vinbatch, (many, *arguments), f"sqlite:///{vinbatch.folder / 'rows.db'}")
        process = drill.start()
        drill.wait_until_in_the_middle()
        urgent = ("--job", "urgent", "--priority", 1, "--store", drill.store)
        vinbatch("run", many / "slip-119.png", *arguments, *urgent)
        vinbatch("cancel", "drill", "--store", drill.store)
        out, err = finish(process, code=130)
        assert "no lane is left for this job by urgent" in err and "the job was cancelled" in out
        assert drill.unfinished()
        assert drill.count("SELECT count(*) FROM documents WHERE state = 'leased'") == 0
        _, err = finish(drill.start())
        assert "job drill was cancelled; it is taken up again" in err
        drill.balanced()
        assert not drill.unfinished()
        assert drill.count("SELECT count(*) FROM documents WHERE losses > 0 OR attempts > 1") == 0
