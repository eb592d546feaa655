"""A real Ray head with its job server, started on first use and shared by all tests of a session.

Its token is the one that this module puts into the environment.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from workers import ray_start

_UP_SECONDS = 300.0
CHECKOUT = Path(__file__).resolve().parents[2]
RAY = Path(sys.executable).with_name("ray")
# The token of whoever types the commands; clusters of the tests, and of `infra.chaos`, ask for it. A test's
# own Ray has another meanwhile. This module is imported in `ray start` too, which has both already.
os.environ.setdefault("RAY_AUTH_MODE", "token")
TOKEN = os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@dataclass(frozen=True)
class RayHead:
    """A running head. `address` is for `--address`, `jobs` for `ray job submit`."""

    address: str
    jobs: str
    pid: int

    def actors(self, kind: str) -> list[psutil.Process]:
        """The living processes of an actor class ("Replica"), oldest first."""
        return actors(self.pid, kind)

    def nodes(self) -> list[dict[str, Any]]:
        """The living nodes, the head among them, as its dashboard knows them."""
        found = _ask(f"{self.jobs}/nodes?view=summary")["data"]["summary"]
        return [node for node in found if node["raylet"]["state"] == "ALIVE"]


@dataclass(frozen=True)
class SecondNode:
    """A node that is not the head, as the process that started it."""

    pid: int

    def vanish(self) -> None:
        """SIGKILL of its raylet and of all processes that belong to it, as when a machine is gone."""
        starter = psutil.Process(self.pid)
        for process in [starter, *starter.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def actors(ancestor: int, kind: str) -> list[psutil.Process]:
    """Actor processes below a process."""
    return of_kind(psutil.Process(ancestor).children(recursive=True), kind)


def of_kind(processes: Iterable[psutil.Process], kind: str) -> list[psutil.Process]:
    """Those of an actor class: Ray names them ray::Replica, ray::Scheduler.work and the like."""
    found = []
    for process in processes:
        try:
            title = process.cmdline()[0] if process.cmdline() else ""
        except psutil.Error:
            continue
        if title.partition("::")[2].partition(".")[0] == kind:
            found.append(process)
    return sorted(found, key=lambda process: process.create_time())


@pytest.fixture(scope="session")
def ray_head() -> Iterator[RayHead]:
    """One head for the whole session; jobs that join it leave nothing behind but their logs."""
    with ExitStack() as stack:
        for last in (False, False, True):
            try:
                yield stack.enter_context(started_head(cpus=8))
                return
            except _NotUp:  # a busy machine: Ray's own patience with its processes is short
                if last:
                    raise


class _NotUp(RuntimeError):
    """The head did not come up."""


@contextmanager
def second_node() -> Iterator[tuple[RayHead, SecondNode]]:
    """A cluster of a head and another node, with room for one lane each."""
    with started_head(cpus=2) as head, joining_node(head, "127.0.0.3", cpus=2) as second:
        _wait_for_nodes(head, 2)
        yield head, second


@contextmanager
def joining_node(head: RayHead, address: str, *, cpus: int, gpus: int = 0) -> Iterator[SecondNode]:
    """A node that joins a head; the block begins when it has been started, not when it is there."""
    with tempfile.TemporaryDirectory(prefix="ray") as directory, tempfile.TemporaryFile("w+") as log:
        agents = [free_port() for _ in range(4)]
        command = [
            str(RAY), "start", "--block", "--disable-usage-stats", f"--address={head.address}",
            f"--node-ip-address={address}", f"--dashboard-agent-grpc-port={agents[0]}",
            f"--dashboard-agent-listen-port={agents[1]}", f"--runtime-env-agent-port={agents[2]}",
            f"--metrics-export-port={agents[3]}", f"--temp-dir={directory}", f"--num-cpus={cpus}",
            f"--num-gpus={gpus}", f"--object-store-memory={200 * 2**20}",
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=node_environment(), cwd=directory
        )
        try:
            yield SecondNode(process.pid)
        finally:
            _end(process)


@contextmanager
def started_head(
    cpus: int,
    *,
    guarded: bool = True,
    port: int | None = None,
    autoscaling: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RayHead]:
    """A head of its own; one that is not guarded asks for no token. `autoscaling`: the autoscaler's file."""
    directory = tempfile.mkdtemp(prefix="ray")  # short: sockets lie in it
    dashboard, *agents = (free_port() for _ in range(5))
    port = port or free_port()
    command = [
        str(RAY), "start", "--head", "--block", "--disable-usage-stats",
        "--node-ip-address=127.0.0.2", f"--port={port}",
        "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
        f"--dashboard-agent-grpc-port={agents[0]}", f"--dashboard-agent-listen-port={agents[1]}",
        f"--runtime-env-agent-port={agents[2]}", f"--metrics-export-port={agents[3]}",
        f"--temp-dir={directory}", f"--num-cpus={cpus}", f"--object-store-memory={400 * 2**20}",
        *([f"--autoscaling-config={autoscaling}"] if autoscaling else []),
    ]  # fmt: skip
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env=node_environment(guarded) | dict(environment or {}),
            cwd=directory,
        )
        try:
            jobs = f"http://127.0.0.1:{dashboard}"
            try:
                wait_until_up(jobs, process)
            except _NotUp as error:
                log.seek(0)
                raise _NotUp(f"{error}\n{log.read()[-3000:]}") from None
            yield RayHead(f"127.0.0.2:{port}", jobs, process.pid)
        finally:
            _end(process)
            shutil.rmtree(directory, ignore_errors=True)


def node_environment(guarded: bool = True) -> dict[str, str]:
    """What lanes would have on a machine of their own: S3 keys that moto takes, one thread a process."""
    return os.environ | {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token" if guarded else "disabled",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_START_HOOK": "tests.servers.cluster.wait_longer",
        "PYTHONPATH": str(CHECKOUT),
        "OMP_NUM_THREADS": "1",
        "AWS_ACCESS_KEY_ID": "moto",
        "AWS_SECRET_ACCESS_KEY": "moto-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def wait_longer(parameters: object, _head: bool) -> None:
    """Runs in the process of `ray start`, as in that of a run's own Ray."""
    ray_start.be_patient(parameters, _UP_SECONDS)


def _wait_for_nodes(head: RayHead, number: int) -> None:
    deadline = time.monotonic() + _UP_SECONDS
    while len(head.nodes()) < number:
        if time.monotonic() > deadline:
            raise _NotUp(f"the Ray at {head.address} has no {number} nodes after {_UP_SECONDS} s")
        time.sleep(0.2)


def wait_until_up(jobs: str, process: subprocess.Popen[bytes]) -> None:
    """Until the job server answers and its node is alive."""
    seconds, missing = _UP_SECONDS, "no answer"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _NotUp(f"ray start ended with {process.returncode}")
        try:
            _ask(f"{jobs}/api/jobs/")
            found = _ask(f"{jobs}/nodes?view=summary")["data"]["summary"]
            alive = sum(node["raylet"]["state"] == "ALIVE" for node in found)
            if alive and alive == len(found):
                return
            missing = f"{alive} living nodes"
        except (urllib.error.URLError, OSError, KeyError) as error:
            missing = f"the job server says {error}"
        time.sleep(0.2)
    raise _NotUp(f"the Ray at {jobs} is not up after {seconds} s: {missing}")


def _ask(url: str) -> Any:
    # A head that is not guarded does not mind the token.
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def members(session: int) -> list[psutil.Process]:
    """The living processes of a process session."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """The head with all that it started, and nothing else on the machine."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for member in psutil.wait_procs(family, timeout=5)[1]:
        member.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
