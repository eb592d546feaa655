"""The Ray cluster of a job: started here or joined, and what room it has for lanes."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.settings import LaneSettings
from workers.lane import LaneBroken

CHECKOUT = Path(__file__).resolve().parents[1]
_LOCAL_ADDRESS = "127.0.0.2"  # Ray replaces 127.0.0.1 by the machine's outer address without a word
_STARTS = 3  # of a Ray of our own
_SPARE_BYTES = 128 * 2**20  # of the object store, beside what lanes hold


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of the cluster, with all that it has (not only what is free)."""

    address: str
    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class LanePlan:
    """How many lanes, and what each reserves in one placement group; `threads` are for its engine."""

    lanes: int
    cpus: float
    gpus: float
    threads: int

    @property
    def bundle(self) -> dict[str, float]:
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})


@contextmanager
def joined(address: str | None, lanes: int, settings: LaneSettings) -> Iterator[None]:
    """Inside this block Ray is connected: to `address`, to the cluster of a submitted job (RAY_ADDRESS), or
    to a Ray of our own that ends with the block.

    Raises UsageError when there is no cluster at `address`, LaneBroken when no Ray can be started here.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else Ray writes a token into the user's home
    import ray

    logging.getLogger("ray").setLevel(logging.CRITICAL)  # dead workers are told by the lane that lost them
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    directory = tempfile.mkdtemp(prefix="vinbatch-") if address == "local" else None  # short: for sockets
    try:
        with _own_signals():
            if directory is None:
                _join(address)
            else:
                _start(directory, lanes * settings.bytes_in_flight + _SPARE_BYTES)
        yield
    finally:
        ray.shutdown()
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray puts handlers of its own in place, which end the process; afterwards those of before are back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _join(address: str) -> None:
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise UsageError(f"no Ray cluster answers at {address}: {_first_line(error)}") from error


def _start(directory: str, object_store_bytes: int) -> None:
    """A Ray on this machine alone; tried again where a busy machine is too slow for Ray's own patience."""
    import ray

    # Its workers inherit this. A runtime environment would do too, but the workers that Ray starts ahead of
    # time have none, and would stand idle beside those that do.
    paths = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))

    for attempt in range(1, _STARTS + 1):
        try:
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=object_store_bytes,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                _node_ip_address=_LOCAL_ADDRESS,
                _temp_dir=directory,
            )
            return
        except Exception as error:  # Ray raises no narrower one
            ray.shutdown()
            if attempt == _STARTS:
                raise LaneBroken(f"no Ray could be started on this machine: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def nodes() -> list[Node]:
    """The living machines of the connected cluster."""
    import ray

    return [
        Node(
            address=node["NodeManagerAddress"],
            cpus=float(node["Resources"].get("CPU", 0)),
            gpus=float(node["Resources"].get("GPU", 0)),
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]


def plan(
    machines: Sequence[Node],
    readers: int,
    replicas: int | None = None,
    gpus_per_replica: float | None = None,
) -> LanePlan:
    """Lanes for these machines: one a GPU, or one a machine where there is no GPU.

    `replicas` sets the number instead; `gpus_per_replica` may be a fraction, and 0 keeps the model on the
    CPU. Raises UsageError when the machines cannot hold what was asked.
    """
    gpus = sum(machine.gpus for machine in machines)
    share = (1.0 if gpus else 0.0) if gpus_per_replica is None else gpus_per_replica
    if share:
        slots = [int(machine.gpus / share + 1e-9) for machine in machines]
        lanes = sum(slots) if replicas is None else replicas
        if lanes > sum(slots) or not lanes:
            raise UsageError(
                f"{replicas or 1} replicas of {share:g} GPU asked for, the cluster has room for {sum(slots)} "
                f"({gpus:g} GPUs on {len(machines)} machines); lower --replicas or --gpus-per-replica"
            )
    else:
        slots = [1 if machine.cpus >= 1 else 0 for machine in machines]
        lanes = sum(slots) if replicas is None else replicas
        if not any(slots):
            raise UsageError("the cluster has no machine with a free CPU")
    # A lane wants a core for its replica and one for each reader, and makes do with its share of the smallest
    # machine that must hold some.
    hosts = [(machine.cpus, slot) for machine, slot in zip(machines, slots, strict=True) if slot]
    crowd = -(-lanes // len(hosts))  # of CPU lanes on one machine; of GPU lanes there are as many as slots
    portion = min(cpus / (slot if share else crowd) for cpus, slot in hosts)
    return LanePlan(lanes, math.floor(100 * min(portion, 1 + readers)) / 100, share, max(1, int(portion)))
