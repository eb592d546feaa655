"""A job whose machines are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Command, finish, write_slips
from tests.servers.cluster import RayHead


@pytest.mark.slow
def test_machines_are_awaited_no_longer_than_the_setting_says(
    vinbatch: Command, model: Path, slip: str, ray_head: RayHead
) -> None:
    write_slips(vinbatch.folder / "in", pictures=1)
    run = ("run", "in", "--schema", slip, "--model", model, "--address", ray_head.address)
    assert "2 replicas of 1 GPU asked for, the cluster has room for 0" in vinbatch.fails(
        *run, "--replicas", 2, "--gpus-per-replica", 1
    )
    vinbatch.environment["VINBATCH_LANE__MACHINE_SECONDS"] = "6"
    out, err = finish(vinbatch.start(*run, "--replicas", 2, "--gpus-per-replica", 1), code=4)
    assert "waiting for a machine with 1 CPU and 1 GPU, the cluster is asked for 2: 0 of 6 s" in err
    assert err.endswith(
        "vinbatch: the cluster has had no machine with 1 CPU and 1 GPU free for a lane for 6 s "
        "(lane.machine_seconds); the same command goes on where this one stopped\n"
    )
    assert out == ""
