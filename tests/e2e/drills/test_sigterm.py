"""A lane is told that its machine will soon be gone: it gives back, and its leases need not run out."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.e2e.drills.conftest import PAGES, Drill
from tests.servers.cluster import RayHead

pytestmark = pytest.mark.slow


@pytest.mark.drill
def test_a_lane_that_is_told_to_end_gives_back(
    drill: Drill,
    ray_head: RayHead,
    undisturbed: list[dict[str, Any]],
) -> None:
    drill.command.environment |= {"VINBATCH_LANE__GRACE_SECONDS": "8", "VINBATCH_LANE__LEASE_SECONDS": "3600"}
    process = drill.start()
    drill.wait_until_in_the_middle()
    lane = [found for kind in ("Reader", "Replica", "Scheduler") for found in ray_head.actors(kind)]
    for member in lane:
        member.send_signal(signal.SIGTERM)
    drill.wait_for(lambda: not drill.count("SELECT count(*) FROM documents WHERE state = 'leased'"))
    assert drill.unfinished()
    assert drill.end(process) <= PAGES + 6  # another lane went on
    assert drill.count("SELECT count(*) FROM documents WHERE losses > 0 OR attempts > 1") == 0
    assert drill.rows() == undisturbed
