"""Machines join and leave while jobs run, and jobs share them: lanes follow, and nothing is lost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Command, finish, wait_for
from tests.e2e.drills.conftest import PAGES, Drill
from tests.servers.cluster import RayHead
from tests.servers.growing import growing_head

pytestmark = [pytest.mark.slow, pytest.mark.drill]


def drill_on(head: RayHead, vinbatch: Command, folder: Path, model: Path, slip: str, url: str) -> Drill:
    arguments = (folder, "--schema", slip, "--model", model, "--address", head.address)
    return Drill(vinbatch, arguments, url)


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
        drill = drill_on(head, vinbatch, folder, model, slip, postgres_url)
        process = drill.start("--replicas", 2, "--gpus-per-replica", 1)
        out, err = finish(process)
        assert re.search(rf"{PAGES} pages read", out)
        assert re.search(
            r"waiting for a machine with 1 CPU and 1 GPU, the cluster is asked for 2: \d+ of", err
        )
        assert drill.rows() == undisturbed
        wait_for(lambda: len(head.nodes()) == 1)
