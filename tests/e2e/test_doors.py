"""Who can get in while a run is there: its sockets, token and folder; and the token of a joined cluster."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import Command, finish, wait_for, write_slips
from tests.servers.cluster import TOKEN, RayHead, actors, members, started_head
from workers import local_ray
from workers.connection import admission
from workers.lane import LaneBroken

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
# Every process of a run that listens, and how many sockets it has. All are bound to loopback: on a machine
# that others use, these know the run's token, and Ray's metrics (figures and names of actors) may be read.
LISTENERS = {
    "driver": 1,
    "gcs_server": 1,
    "raylet": 2,  # node manager, object manager
    "DashboardAgent": 3,  # gRPC, HTTP, metrics
    "RuntimeEnvAgent": 1,
    "dashboard.py": 1,  # metrics; absent where another run has the port
    "IDLE": 1, "Scheduler": 1, "Reader": 1, "Replica": 1, "Canary": 1,
}  # fmt: skip
ATTACK = """
import sys
import grpc
from ray.core.generated import gcs_service_pb2 as messages, gcs_service_pb2_grpc as services

address, token = sys.argv[1:]
metadata = [("authorization", f"Bearer {token}")] if token else []
stub = services.InternalKVGcsServiceStub(grpc.insecure_channel(address))
for name, request in (
    ("InternalKVKeys", messages.InternalKVKeysRequest(namespace=b"fun", prefix=b"")),
    ("InternalKVPut", messages.InternalKVPutRequest(namespace=b"fun", key=b"x", value=b"y", overwrite=True)),
):
    try:
        getattr(stub, name)(request, timeout=60, metadata=metadata)
        print(name, "OK")
    except grpc.RpcError as error:
        print(name, error.code().name)
"""


@dataclass(frozen=True)
class OwnRay:
    address: str
    token: str
    head: local_ray.Head

    def attack(self, token: str, *inside: str) -> list[str]:
        """What the key-value store answers to one who reads and replaces in it; `inside` which namespace."""
        done = subprocess.run(
            [*inside, sys.executable, "-c", ATTACK, self.address, token],
            capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        return done.stdout.split()[1::2]

    def listeners(self) -> list[tuple[str, str, int]]:
        """Of this process, which is the driver, and of its Ray; other children belong to other tests."""
        ray = psutil.Process(self.head.process.pid)
        return listening("driver", [psutil.Process()]) + listening("", [ray, *ray.children(recursive=True)])


@pytest.fixture(scope="module")
def own_ray() -> Iterator[OwnRay]:
    import ray

    before = dict(os.environ)
    told: list[str] = []
    with local_ray.running(200 * 2**20, told.append) as head:
        canary: Any = ray.remote(num_cpus=0)(type("Canary", (), {"sing": lambda self: os.getpid()}))
        bird = canary.remote()
        assert ray.get(bird.sing.remote()) != os.getpid()
        assert head.address is not None
        yield OwnRay(head.address, os.environ["RAY_AUTH_TOKEN"], head)
    assert dict(os.environ) == before
    assert not head.folder.exists() and not members(head.process.pid)


def listening(called: str, processes: list[psutil.Process]) -> list[tuple[str, str, int]]:
    """Name, address and port of every listening socket; a process is `called` that, or by its own name."""
    found = []
    for process in processes:
        try:
            words = process.cmdline()
            name = called or process.name()
            name = next((Path(word).name for word in words if word.endswith("dashboard.py")), name)
            name = (
                words[0].partition("::")[2].partition(".")[0].strip()
                if words[0].startswith("ray::")
                else name
            )
            sockets = process.net_connections("inet")
        except (psutil.Error, IndexError):
            continue
        found += [(name, s.laddr.ip, s.laddr.port) for s in sockets if s.status == psutil.CONN_LISTEN]
    return found


def judge(found: list[tuple[str, str, int]]) -> None:
    assert {address for _, address, _ in found} <= LOOPBACK, found
    unknown = {name for name, *_ in found} - set(LISTENERS)
    assert not unknown, found
    processes: dict[str, int] = {}
    for name, *_ in found:
        processes[name] = processes.get(name, 0) + 1
    single = {name for name in LISTENERS if name not in ("IDLE", "Reader")}
    assert not {name for name in single & set(processes) if processes[name] > LISTENERS[name]}, found


def test_every_listening_socket_is_known_and_on_loopback(own_ray: OwnRay) -> None:
    found = own_ray.listeners()
    judge(found)
    assert {name for name, *_ in found} >= {"driver", "gcs_server", "raylet", "DashboardAgent", "Canary"}


def test_the_token_of_the_run_is_asked_for(own_ray: OwnRay) -> None:
    assert own_ray.attack("") == ["UNAUTHENTICATED"] * 2
    assert own_ray.attack("0" * 64) == ["UNAUTHENTICATED"] * 2
    assert own_ray.attack(own_ray.token) == ["OK"] * 2


def test_http_asks_for_it_too(own_ray: OwnRay) -> None:
    """Jobs could be submitted to Ray's agent, and runtime environments, which are commands, to the other."""
    refused = {}
    for name, address, port in own_ray.listeners():
        path = {
            "DashboardAgent": "/api/job_agent/jobs/",
            "RuntimeEnvAgent": "/get_or_create_runtime_env",
        }.get(name)
        if path is None or address.startswith("::"):  # gRPC
            continue
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=b"{}", method="POST")
        try:
            urllib.request.urlopen(request, timeout=60).close()
        except urllib.error.HTTPError as error:
            refused[name, port] = error.code
    assert sorted(refused.values())[:1] == [401] and set(refused.values()) <= {401, 404, 405}, refused
    assert {name for (name, _), code in refused.items() if code == 401} == {
        "DashboardAgent",
        "RuntimeEnvAgent",
    }


@pytest.fixture
def other_host() -> Iterator[tuple[tuple[str, ...], str]]:
    """A network namespace that is linked to this one: how to run something there, and our address."""
    name, outer, inner = f"door{os.getpid()}", f"vo{os.getpid()}"[:15], f"vi{os.getpid()}"[:15]
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip` to make a network namespace with")
    third = os.getpid() % 250
    steps = [
        f"netns add {name}", f"link add {outer} type veth peer name {inner} netns {name}",
        f"addr add 10.213.{third}.1/30 dev {outer}", f"link set {outer} up",
        f"-n {name} addr add 10.213.{third}.2/30 dev {inner}", f"-n {name} link set {inner} up",
    ]  # fmt: skip
    try:
        for step in steps:
            done = subprocess.run(["ip", *step.split()], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"this machine does not let a network namespace be made: {done.stderr.strip()}")
        yield ("ip", "netns", "exec", name), f"10.213.{third}.1"
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
        subprocess.run(["ip", "link", "del", outer], capture_output=True)


CONNECT = """
import socket, sys
for port in sys.argv[2:]:
    try:
        socket.create_connection((sys.argv[1], int(port)), 10).close()
        print("open")
    except OSError as error:
        print(type(error).__name__)
"""


def test_from_another_machine_there_is_no_door(
    own_ray: OwnRay, other_host: tuple[tuple[str, ...], str]
) -> None:
    inside, address = other_host
    with socket.create_server(("0.0.0.0", 0)) as control:  # so we know that the way is open
        open_port = control.getsockname()[1]
        ports = [open_port, *(port for name, _, port in own_ray.listeners() if port != open_port)]
        done = subprocess.run(
            [*inside, sys.executable, "-c", CONNECT, address, *map(str, ports)],
            capture_output=True, text=True, timeout=240,
        )  # fmt: skip
    assert done.stdout.split() == ["open", *["ConnectionRefusedError"] * (len(ports) - 1)], done.stderr


def test_nobody_else_enters_its_folder(own_ray: OwnRay) -> None:
    folder = own_ray.head.folder
    assert folder.stat().st_mode & 0o077 == 0
    assert any(path.stat().st_mode & 0o004 for path in folder.rglob("logs"))  # Ray opens its own to all
    for path in filter(Path.is_file, folder.rglob("*")):
        with suppress(FileNotFoundError):  # Ray has just taken it away
            assert own_ray.token not in path.read_text(errors="replace"), path
    for process in members(own_ray.head.process.pid):
        with suppress(psutil.Error):  # it has just ended
            assert own_ray.token not in " ".join(process.cmdline())
    assert not (Path.home() / ".ray" / "auth_token").exists() or os.environ["RAY_AUTH_TOKEN"] == own_ray.token


def test_a_run_that_loses_ray_ends_with_4_and_leaves_nothing(
    vinbatch: Command, model: Path, slip: str
) -> None:
    write_slips(vinbatch.folder / "in", pictures=40)
    process = vinbatch.start("run", "in", "--schema", slip, "--model", model, "--store", "sqlite:///a.db")
    wait_for(lambda: actors(process.pid, "Replica"), seconds=400)
    run = psutil.Process(process.pid)
    judge(listening("driver", [run]) + listening("", run.children(recursive=True)))
    [head] = [child for child in run.children() if "start" in child.cmdline()]
    [raylet] = [child for child in head.children() if child.name() == "raylet"]
    raylet.kill()
    _, err = finish(process, code=4)
    assert "Ray's own processes ended" in err
    assert not members(head.pid)


def test_a_cluster_without_authentication_gets_one_warning() -> None:
    told: list[str] = []
    with started_head(cpus=1, guarded=False) as head, pytest.MonkeyPatch.context() as patch:
        with pytest.raises(LaneBroken, match="asks for no token, and RAY_AUTH_MODE=token is set here"):
            admission(head.address, told.append)
        patch.delenv("RAY_AUTH_MODE")
        assert admission(head.address, told.append) == {"RAY_AUTH_MODE": "disabled"}
    [line] = told
    assert line.startswith(f"warning: the Ray cluster at {head.address} asks for no token")


def complaints(err: str) -> list[str]:
    """The lines that say why a command ended, without those of its log."""
    return [line for line in err.splitlines() if line.startswith("vinbatch: ")]


def test_the_users_own_token_opens_a_guarded_cluster(
    ray_head: RayHead, vinbatch: Command, model: Path, slip: str, tmp_path: Path
) -> None:
    write_slips(vinbatch.folder / "in", pictures=1)
    command = ("run", "in", "--schema", slip, "--model", model, "--store", "sqlite:///a.db")
    vinbatch.environment |= {"RAY_AUTH_TOKEN": "0" * 64, "RAY_AUTH_MODE": ""}
    err = vinbatch.fails(*command, "--address", ray_head.address, code=4)
    assert len(complaints(err)) == 1 and "refuses the token" in complaints(err)[0]
    vinbatch.environment |= {"RAY_AUTH_TOKEN": "", "HOME": str(tmp_path)}
    err = vinbatch.fails(*command, "--address", ray_head.address, code=4)
    assert len(complaints(err)) == 1 and "asks for a token and there is none here" in complaints(err)[0]
    (tmp_path / "token").write_text(TOKEN)
    vinbatch.environment |= {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    assert "1 documents" in vinbatch(*command, "--address", ray_head.address)
