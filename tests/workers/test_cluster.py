"""How many lanes a cluster holds."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.settings import LaneSettings
from workers.cluster import LanePlan, Node, must_hold, plan, suited

LAPTOP = [Node("a", 2, 0)]
TWO_GPU_HOSTS = [Node("head", 4, 0), Node("a", 32, 4), Node("b", 16, 2)]


@pytest.mark.parametrize(
    ("machines", "asked", "expected"),
    [
        (LAPTOP, {}, LanePlan(1, 2, 0, 2, 2, 1)),
        (LAPTOP, {"replicas": 3}, LanePlan(3, 0.66, 0, 1, pytest.approx(2 / 3), 3)),
        ([Node("a", 8, 0), Node("b", 4, 0)], {}, LanePlan(2, 2, 0, 4, 4, 6)),
        (TWO_GPU_HOSTS, {}, LanePlan(6, 8, 1, 8, 8, 6)),
        (TWO_GPU_HOSTS, {"replicas": 2}, LanePlan(2, 8, 1, 8, 8, 6)),
        (TWO_GPU_HOSTS, {"gpus_per_replica": 0.5}, LanePlan(12, 4, 0.5, 4, 4, 12)),
        (TWO_GPU_HOSTS, {"gpus_per_replica": 0}, LanePlan(3, 2, 0, 4, 4, 26)),
        ([Node("a", 32, 1)], {"gpus_per_replica": 0.1}, LanePlan(10, 3, 0.1, 3, pytest.approx(3.2), 10)),
    ],
)
def test_plan(machines: list[Node], asked: dict[str, float], expected: LanePlan) -> None:
    assert plan(machines, LaneSettings(), **asked) == expected


@pytest.mark.parametrize(
    ("machines", "asked", "said"),
    [
        (TWO_GPU_HOSTS, {"replicas": 7}, "room for 6"),
        (TWO_GPU_HOSTS, {"gpus_per_replica": 8}, "room for 0"),
        (LAPTOP, {"gpus_per_replica": 1}, "room for 0"),
        ([Node("a", 0, 0)], {}, "no machine"),
    ],
)
def test_what_does_not_fit_is_refused(machines: list[Node], asked: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        must_hold(machines, plan(machines, LaneSettings(), **asked))


@pytest.mark.parametrize(
    ("machines", "asked", "expected"),
    [
        ([Node("head", 0, 0)], {"replicas": 8, "gpus_per_replica": 1}, LanePlan(8, 1, 1, 1, 1, 0)),
        ([Node("head", 0, 0)], {}, LanePlan(1, 1, 0, 1, 1, 0)),  # whatever comes will be looked at
        ([Node("head", 0, 0), Node("a", 8, 1)], {"replicas": 8}, LanePlan(8, 8, 1, 8, 8, 1)),
        # Two lanes on one machine would be half as quick as two on two, which can be had.
        ([Node("head", 0, 0), Node("a", 8, 0)], {"replicas": 2}, LanePlan(2, 8, 0, 8, 8, 1)),
    ],
)
def test_a_cluster_that_grows_has_room_for_less(
    machines: list[Node], asked: dict[str, float], expected: LanePlan
) -> None:
    assert plan(machines, LaneSettings(), **asked, grows=True) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ({}, "abc"),
        ({"ray.io/market-type": "spot"}, "ab"),
        ({"ray.io/market-type": "!spot"}, "c"),
        ({"ray.io/accelerator-type": "in(L4, H100)"}, "ab"),
        ({"ray.io/accelerator-type": "!in(L4,A100)"}, "bc"),
        ({"ray.io/market-type": "spot", "ray.io/accelerator-type": "H100"}, "b"),
    ],
)
def test_lanes_stand_where_labels_say(selector: dict[str, str], found: str) -> None:
    spot = {"ray.io/market-type": "spot"}
    machines = [
        Node("a", 8, 1, spot | {"ray.io/accelerator-type": "L4"}),
        Node("b", 8, 1, spot | {"ray.io/accelerator-type": "H100"}),
        Node("c", 8, 0),
    ]
    assert "".join(machine.address for machine in suited(machines, selector)) == found
    with pytest.raises(UsageError, match=r"none of the cluster's 3 machines .*market-type=reserved"):
        suited(machines, {"ray.io/market-type": "reserved"})
    assert suited(machines, {"ray.io/market-type": "reserved"}, grows=True) == []
