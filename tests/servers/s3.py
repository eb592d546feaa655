"""Two real S3 servers, started on first use: Ceph's RGW (access, races, pagination) and moto's (light)."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.servers.faults import FaultProxy

_PROGRAMS = ("ceph-mon", "ceph-osd", "ceph", "radosgw", "radosgw-admin", "monmaptool")


@dataclass(frozen=True)
class S3Server:
    """A running server and the keys of its owner; `other_*` belong to a user who may read nothing of it."""

    endpoint: str
    access_key: str
    secret_key: str
    other_access_key: str
    other_secret_key: str

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to work on this server (its endpoint is a setting)."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """A boto3 client of the owner."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 3}),
        )

    def bucket(self, objects: dict[str, bytes] | None = None) -> str:
        """A new bucket with these objects."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        client = self.client()
        client.create_bucket(Bucket=name)
        for key, data in (objects or {}).items():
            client.put_object(Bucket=name, Key=key, Body=data)
        return name


@pytest.fixture(scope="session")
def rgw_server() -> Iterator[S3Server]:
    """Ceph's RGW with one monitor and one in-memory OSD."""
    with _rgw() as server:
        yield server


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """moto's server: quick, but it accepts any secret and lets anybody read."""
    with _moto() as server:
        yield server


@pytest.fixture
def rgw(rgw_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """RGW, with this process's environment naming its owner's keys."""
    return _adopted(rgw_server, monkeypatch)


@pytest.fixture
def moto(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """moto, with this process's environment naming its keys."""
    return _adopted(moto_server, monkeypatch)


@pytest.fixture
def fault_proxy(moto: S3Server) -> Iterator[FaultProxy]:
    """A proxy before moto that can be told to fail; its `endpoint` takes moto's keys."""
    with FaultProxy(moto.port) as proxy:
        yield proxy


def _adopted(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server


@contextmanager
def _moto() -> Iterator[S3Server]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with tempfile.TemporaryFile() as log, _running(command, log):
        _wait_for_port(port, log)
        yield S3Server(f"http://127.0.0.1:{port}", "moto", "moto-secret", "other", "other-secret")


@contextmanager
def _rgw() -> Iterator[S3Server]:
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.fail(
            f"{', '.join(missing)} not found: `make test` installs radosgw, ceph-mon and ceph-osd on Debian"
        )
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rgw")))
        log = stack.enter_context((home / "log").open("w+b"))
        monitor, port = free_port(), free_port()
        fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        (home / "ceph.conf").write_text(_ceph_conf(home, fsid, monitor, port))
        for name in ("mon", "osd", "rgw", "run"):
            (home / name).mkdir()

        def do(*command: str) -> str:
            program, *rest = command
            done = subprocess.run(
                [program, "-c", str(home / "ceph.conf"), *rest] if program != "monmaptool" else command,
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
            return done.stdout

        def serve(*command: str) -> None:
            program, *rest = command
            stack.enter_context(_running([program, "-c", str(home / "ceph.conf"), "-f", *rest], log))

        do(
            "monmaptool",
            "--create",
            "--fsid",
            fsid,
            "--addv",
            "a",
            f"[v1:127.0.0.1:{monitor}]",
            str(home / "monmap"),
        )
        do("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(home / "monmap"))
        serve("ceph-mon", "-i", "a")
        _wait_for_port(monitor, log)
        do("ceph", "osd", "new", osd)
        do("ceph", "osd", "crush", "add", "osd.0", "1", "root=default", "host=here")
        do("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", osd)
        serve("ceph-osd", "-i", "0")
        serve("radosgw", "-n", "client.rgw")
        _wait_for_port(port, log)
        keys = {name: (f"{name}key", f"{name}secret{uuid.uuid4().hex}") for name in ("owner", "other")}
        for name, (access, secret) in keys.items():
            do("radosgw-admin", "user", "create", "--uid", name, "--display-name", name,
               "--access-key", access, "--secret-key", secret)  # fmt: skip
        yield S3Server(f"http://127.0.0.1:{port}", *keys["owner"], *keys["other"])


def _ceph_conf(home: Path, fsid: str, monitor: int, port: int) -> str:
    return f"""[global]
fsid = {fsid}
mon initial members = a
mon host = [v1:127.0.0.1:{monitor}]
auth cluster required = none
auth service required = none
auth client required = none
ms bind msgr2 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = {home}/run
admin socket = {home}/run/$name.asok
log file = {home}/$name.log
crash dir = {home}/crash
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
mon allow pool size one = true
mon pg warn min per osd = 0
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 2147483648
osd class update on start = false
osd crush update on start = false
paxos propose interval = 0.02
paxos min wait = 0.01
[mon]
mon data = {home}/mon
[osd]
osd data = {home}/osd
[client.rgw]
rgw data = {home}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw thread pool size = 16
"""


@contextmanager
def _running(command: list[str], log: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)  # nothing in these servers outlives the tests
        process.wait()


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_port(port: int, log: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    log.seek(0)
    raise RuntimeError(
        f"no server on port {port} after {seconds} s:\n{log.read()[-3000:].decode(errors='replace')}"
    )
