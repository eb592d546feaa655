"""A Ray cluster over machines made of namespaces: a head without CPUs, and nodes with a GPU by name."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.servers.cluster import RAY, RayHead, node_environment, of_kind, wait_until_up
from tests.servers.hosts import Host, Network

_PORT, _JOBS_PORT = 6379, 8265
# Known beforehand, so that a busy machine's Ray has time to start (`workers/ray_start.py`). Each machine has
# them for itself.
_AGENTS = (
    "--dashboard-agent-grpc-port=8301", "--dashboard-agent-listen-port=8302",
    "--runtime-env-agent-port=8303", "--metrics-export-port=8304",
)  # fmt: skip
# A machine that is gone is taken for dead after some 12 seconds.
_QUICK_TO_MISS = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
}


@dataclass
class Machine:
    """A host that is, or was, a node of the cluster."""

    host: Host
    ray: subprocess.Popen[bytes]  # `ray start --block`, which a machine's own supervisor would start again

    def lanes(self) -> list[psutil.Process]:
        """The schedulers that live on it."""
        return of_kind(self.host.processes(), "Scheduler")

    def raylet(self) -> psutil.Process:
        [found] = [process for process in self.host.processes() if process.name() == "raylet"]
        return found

    def stop_ray(self) -> None:
        """SIGTERM to `ray start`, as when a machine is shut down; returns when it has ended."""
        for process in psutil.Process(self.ray.pid).children():
            process.terminate()
        self.ray.wait()


class HostCluster:
    """The head is there when this is made. All end with the network."""

    def __init__(self, network: Network, environment: Mapping[str, str], logs: Path) -> None:
        """`environment`: what all machines have, beside what a node needs. `logs`: a folder."""
        self._network, self._logs = network, logs
        self._environment = node_environment() | dict(environment) | _QUICK_TO_MISS
        self.host = network.host("head")
        which = ("--head", f"--port={_PORT}", "--dashboard-host=0.0.0.0", f"--dashboard-port={_JOBS_PORT}")
        process = self._ray(self.host, which, cpus=0, gpus=0)
        self.head = RayHead(
            f"{self.host.address}:{_PORT}", f"http://{self.host.address}:{_JOBS_PORT}", process.pid
        )
        wait_until_up(self.head.jobs, process)

    def join(self, name: str) -> Machine:
        """Another machine's Ray is started; it is a node as soon as `id_of` knows it."""
        host = self._network.host(name)
        return Machine(host, self._start_node(host))

    def join_again(self, machine: Machine) -> None:
        """Its Ray has ended, and is started again."""
        machine.ray = self._start_node(machine.host)

    def id_of(self, machine: Machine) -> str | None:
        """Of the living node on it, as Ray names it."""
        for node in self.head.nodes():
            if node["raylet"]["nodeManagerAddress"] == machine.host.address:
                return str(node["raylet"]["nodeId"])
        return None

    def inside(self, folder: Path) -> tuple[str, ...]:
        """What is put before a command to run it on the head's machine, in a folder."""
        return self.host.inside(folder)

    def give_notice(self, machine: Machine, seconds: int) -> None:
        """Tell the cluster that this node will be gone in so many seconds, as one hears of a spot machine."""
        command = (
            str(RAY), "drain-node", f"--address={self.head.address}", f"--node-id={self.id_of(machine)}",
            "--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=the machine is taken back",
            f"--deadline-remaining-seconds={seconds}",
        )  # fmt: skip
        done = subprocess.run(
            [*self.inside(self.host.own), *command], env=self._environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    def _start_node(self, host: Host) -> subprocess.Popen[bytes]:
        return self._ray(host, (f"--address={self.head.address}",), cpus=2, gpus=1)

    def _ray(self, host: Host, which: Sequence[str], *, cpus: int, gpus: int) -> subprocess.Popen[bytes]:
        command = (
            str(RAY), "start", "--block", "--disable-usage-stats", *_AGENTS, *which,
            f"--node-ip-address={host.address}", f"--temp-dir={host.own}",
            f"--num-cpus={cpus}", f"--num-gpus={gpus}",
            f"--object-store-memory={200 * 2**20}",
        )  # fmt: skip
        return host.start(command, self._environment, self._logs / f"ray-{host.name}.log")
