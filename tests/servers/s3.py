"""Two real S3 servers, started on first use: Ceph's RGW (access, races, pagination) and moto's (light)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.servers.faults import FaultProxy
from tests.servers.starting import PATIENCE, STARTS, NotUp, Served, free_port, served

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
    with Ceph() as ceph:
        yield ceph.server


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
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with served("moto", command) as server:
        port = server.until_it_listens()
        found = S3Server(f"http://127.0.0.1:{port}", "moto", "moto-secret", "other", "other-secret")
        server.until("it answers a signed request", lambda: _answers(found))
        yield found


class Ceph:
    """RGW, one monitor, one in-memory OSD. `stop` and `start` are the gateway's, and keep the objects."""

    def __init__(self) -> None:
        missing = [name for name in _PROGRAMS if shutil.which(name) is None]
        if missing:
            raise NotUp(
                f"{', '.join(missing)} not found: on Debian `make test` installs radosgw, ceph-mon, ceph-osd"
            )
        self._port = 0  # the gateway's own choice when it starts first, and the same ever after
        self._keys = {name: (f"{name}key", f"{name}secret{uuid.uuid4().hex}") for name in ("owner", "other")}
        self._gateway: ExitStack | None = None

    def __enter__(self) -> Ceph:
        with ExitStack() as stack:
            for attempt in range(1, STARTS + 1):
                try:
                    self._home = stack.enter_context(_cluster())
                    break
                except NotUp:  # such as when somebody took the monitor's port before it did
                    if attempt == STARTS:
                        raise
            self._stack = stack.pop_all()
        try:
            self.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._stack.close()

    @property
    def server(self) -> S3Server:
        return S3Server(f"http://127.0.0.1:{self._port}", *self._keys["owner"], *self._keys["other"])

    def start(self) -> None:
        """Until the gateway answers a signed request of each of its users. Nothing happens when it runs."""
        if self._gateway is not None:
            return
        first = not self._port
        place = ("--rgw-frontends", f"beast endpoint=127.0.0.1:{self._port}")
        with ExitStack() as stack:
            command = _ceph(self._home, "radosgw", "-d", "-n", "client.rgw", *place)
            gateway = stack.enter_context(served("radosgw", command))
            self._port = gateway.until_it_listens()
            for name, (access, secret) in self._keys.items() if first else ():
                new = ("--uid", name, "--display-name", name, "--access-key", access, "--secret-key", secret)
                _do(_ceph(self._home, "radosgw-admin", "user", "create", *new))
            gateway.until("it answers a signed request", lambda: _answers(self.server))
            self._gateway = stack.pop_all()

    def stop(self) -> None:
        """Kill the gateway, as a crash does. Nothing happens when it is not running."""
        if self._gateway is not None:
            self._gateway.close()
            self._gateway = None


@contextmanager
def _cluster() -> Iterator[Path]:
    """A monitor and an OSD that a gateway can work on; the folder with their `ceph.conf`."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rgw")))
        for name in ("mon", "osd", "rgw", "run"):
            (home / name).mkdir()
        monitor_port, fsid, osd = free_port(), str(uuid.uuid4()), str(uuid.uuid4())
        (home / "ceph.conf").write_text(_ceph_conf(home, fsid, monitor_port))
        _do(["monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v1:127.0.0.1:{monitor_port}]",
             str(home / "monmap")])  # fmt: skip
        _do(_ceph(home, "ceph-mon", "--mkfs", "-i", "a", "--monmap", str(home / "monmap")))
        monitor = stack.enter_context(served("ceph-mon", _ceph(home, "ceph-mon", "-d", "-i", "a")))
        monitor.until_it_listens(monitor_port)
        wait_for_quorum(monitor, home)
        _do(_ceph(home, "ceph", "osd", "new", osd))
        _do(_ceph(home, "ceph", "osd", "crush", "add", "osd.0", "1", "root=default", "host=here"))
        _do(_ceph(home, "ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", osd))
        disk = stack.enter_context(served("ceph-osd", _ceph(home, "ceph-osd", "-d", "-i", "0")))
        disk.until("the monitor counts it as up", lambda: _osds_up(home) or None)
        yield home


def wait_for_quorum(monitor: Served, home: Path, seconds: float = PATIENCE) -> None:
    """Until the monitor answers commands, out of a quorum. It listens before that, and then refuses them
    with "EPERM: problem getting command descriptions"."""

    def has_one() -> bool | None:
        said = _asked(_ceph(home, "ceph", "--connect-timeout", "30", "quorum_status", "-f", "json"), seconds)
        return (said is not None and said["quorum_names"] == ["a"]) or None

    monitor.until("it answers out of a quorum", has_one, seconds)


def _osds_up(home: Path) -> int:
    said = _asked(_ceph(home, "ceph", "--connect-timeout", "30", "osd", "stat", "-f", "json"))
    return int(said["num_up_osds"]) if said is not None else 0


def _answers(server: S3Server) -> bool | None:
    """Whether it lists its owner's buckets; None while it does not."""
    try:
        server.client().list_buckets()
    except (BotoCoreError, ClientError):
        return None
    return True


def _ceph(home: Path, program: str, *arguments: str) -> list[str]:
    return [program, "-c", str(home / "ceph.conf"), *arguments]


def _do(command: list[str]) -> None:
    """Raises NotUp when it fails or does not end."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired as late:
        raise NotUp(f"{' '.join(command)} did not end within {late.timeout:g} s") from None
    if done.returncode:
        raise NotUp(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")


def _asked(command: list[str], seconds: float = PATIENCE) -> Any:
    """Its answer, or None while it has none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
        return json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None


def _ceph_conf(home: Path, fsid: str, monitor: int) -> str:
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
rgw thread pool size = 16
"""
