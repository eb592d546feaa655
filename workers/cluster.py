"""The Ray cluster of a job: started here or joined, and how many lanes it holds."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipeline.errors import UsageError
from pipeline.settings import LaneSettings
from workers import local_ray, sizing
from workers.connection import admission, connected, environment
from workers.guard import Gone, Silence, guarded
from workers.lane import LaneBroken

_SPARE_BYTES = 128 * 2**20  # of the object store, beside what lanes hold
_LOCAL = "local"
_NODE_GROUP = "ray.io/node-group"  # Ray makes this label of RAY_NODE_TYPE_NAME


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of the cluster, with all that it has (not only what is free)."""

    address: str
    cpus: float
    gpus: float
    labels: Mapping[str, str] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class LanePlan:
    """How many lanes, and what each reserves in one placement group; `threads` are for its engine."""

    lanes: int  # that were asked for, else one a GPU or a machine
    cpus: float
    gpus: float
    threads: int
    cores: float  # of its machine, the lane's share
    room: int  # lanes of this size that the machines hold

    @property
    def bundle(self) -> dict[str, float]:
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})


@contextmanager
def joined(
    address: str | None, store_bytes: int, notify: Callable[[str], None]
) -> Iterator[Callable[[], None]]:
    """Inside this block Ray is connected: to `address`, to the cluster of a submitted job (RAY_ADDRESS), or
    to a Ray of our own that ends with the block. Yields a check, which raises LaneBroken when that is gone.

    `store_bytes` is what a Ray of our own holds of objects that pass between its processes; `notify` gets
    what a person should know: what is waited for, and that a cluster asks for no token. Raises LaneBroken
    when Ray cannot be started here, is not at `address`, or refuses the token. Afterwards the environment of
    this process is as it was.
    """
    address = address or os.environ.get("RAY_ADDRESS") or _LOCAL
    if address == _LOCAL:
        with local_ray.running(store_bytes + _SPARE_BYTES, notify) as head:
            yield lambda: _check(head.gone)
    else:
        with environment(admission(address, notify)), connected(address):
            silence = Silence(_head_address(address))
            with guarded(silence, notify):
                yield lambda: _check(silence)


def bytes_of_lanes(lanes: int, settings: LaneSettings) -> int:
    """What so many lanes on this machine hold, or one for each of its GPUs."""
    return max(lanes, sizing.gpus_here()) * sizing.lane_bytes_here(settings)


def is_joined(address: str | None) -> bool:
    """Whether `joined` goes to a cluster of others."""
    return (address or os.environ.get("RAY_ADDRESS") or _LOCAL) != _LOCAL


def _check(gone: Gone) -> None:
    why = gone()
    if why is not None:
        raise LaneBroken(why)


def _head_address(address: str) -> str:
    """HOST:PORT of what this process is connected to: a server for Ray clients, else the head itself."""
    import ray

    _, client, server = address.partition("://")
    if client:
        return server
    return str(ray.get_runtime_context().gcs_address)


def nodes() -> list[Node]:
    """The machines of the connected cluster that live and have not been told to go."""
    import ray

    leaving = draining()
    return [
        Node(
            address=node["NodeManagerAddress"],
            cpus=float(node["Resources"].get("CPU", 0)),
            gpus=float(node["Resources"].get("GPU", 0)),
            labels=dict(node["Labels"]),
            id=node["NodeID"],
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"] and node["NodeID"] not in leaving
    ]


def draining() -> frozenset[str]:
    """The ids of machines that were told to go, such as spot machines that are taken back."""
    from ray._private.state import state

    if _by_client():  # which has no such question
        return frozenset()
    accessor: Any = state
    return frozenset(accessor.get_draining_nodes())


def _by_client() -> bool:
    """Whether this process speaks to the cluster through a server for Ray clients."""
    from ray.util.client import ray

    client: Any = ray
    return bool(client.is_connected())


def identity() -> str:
    """Of the connected cluster: the same for all who join it, and for no other."""
    import ray

    if _by_client():
        return "through a server for clients"
    return str(ray.get_runtime_context().get_session_name())


def grows(machines: Sequence[Node]) -> bool:
    """Whether an autoscaler may add machines: those of KubeRay and of Ray's launcher name groups of them."""
    return any(_NODE_GROUP in machine.labels for machine in machines)


def suited(machines: Sequence[Node], selector: Mapping[str, str], *, grows: bool = False) -> list[Node]:
    """Those with the labels that `selector` asks for: `x`, `!x`, `in(x,y)` or `!in(x,y)`, as in Ray.

    Raises UsageError where there is none, unless the cluster grows.
    """
    found = [machine for machine in machines if all(map(partial(_suits, machine), selector.items()))]
    if selector and not found and not grows:
        asked = ", ".join(f"{label}={value}" for label, value in selector.items())
        raise UsageError(
            f"none of the cluster's {len(machines)} machines has the labels of lane.label_selector ({asked})"
        )
    return found


def _suits(machine: Node, asked: tuple[str, str]) -> bool:
    label, text = asked
    value = text.removeprefix("!")
    values = value[3:-1].split(",") if value.startswith("in(") else [value]
    found = machine.labels.get(label) in [one.strip() for one in values]
    return found != text.startswith("!")


def plan(
    machines: Sequence[Node],
    lane: LaneSettings,
    replicas: int | None = None,
    gpus_per_replica: float | None = None,
    *,
    grows: bool = False,
) -> LanePlan:
    """Lanes for these machines: one a GPU, or one a machine where there is no GPU.

    `replicas` sets the number instead; `gpus_per_replica` may be a fraction, and 0 keeps the model on the
    CPU. Several lanes share a machine without GPUs only where the cluster does not grow. While no machine
    holds any, a lane is planned with the least that one needs.
    """
    gpus = sum(machine.gpus for machine in machines)
    each = (1.0 if gpus else 0.0) if gpus_per_replica is None else gpus_per_replica
    slots = [int(machine.gpus / each + 1e-9) if each else int(machine.cpus >= 1) for machine in machines]
    lanes = max(1, sum(slots)) if replicas is None else replicas
    if not any(slots):
        return LanePlan(lanes, 1, each, 1, 1, 0)
    # A lane wants a core for its replica and one for each reader, and makes do with its share of the smallest
    # machine that must hold some.
    hosts = [(machine.cpus, slot) for machine, slot in zip(machines, slots, strict=True) if slot]
    crowd = 1 if grows else -(-lanes // len(hosts))  # of CPU lanes on a machine; of GPU lanes there are slots
    portion = min(cpus / (slot if each else crowd) for cpus, slot in hosts)
    readers = sizing.sizes(lane, gpu=each > 0, cores=portion).readers
    alone = grows and not each
    cpus = math.floor(100 * (portion if alone else min(portion, 1 + readers))) / 100
    room = sum(slots) if each or alone else sum(int(its / cpus + 1e-9) for its, _ in hosts)
    return LanePlan(lanes, cpus, each, max(1, int(portion)), portion, room)


def must_hold(machines: Sequence[Node], plan: LanePlan) -> None:
    """Raises UsageError when a cluster that does not grow cannot hold what was asked."""
    if plan.room >= plan.lanes:
        return
    if not plan.gpus:
        raise UsageError("the cluster has no machine with a free CPU")
    raise UsageError(
        f"{plan.lanes} replicas of {plan.gpus:g} GPU asked for, the cluster has room for {plan.room} "
        f"({sum(machine.gpus for machine in machines):g} GPUs on {len(machines)} machines); lower "
        "--replicas or --gpus-per-replica, or set lane.machine_seconds where machines are still to come"
    )
