"""The servers of the tests come up on a busy machine, or say what they were waited for."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers import postgres, s3, starting
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import Ceph
from tests.servers.starting import NotUp, served

# It begins to listen two seconds after its start, as a program does that a busy machine is long in loading.
SLOW = """
import socket, time
time.sleep(2)
with socket.create_server(("127.0.0.1", 0)):
    time.sleep(600)
"""


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


@pytest.mark.medium
def test_a_slow_server_is_waited_for() -> None:
    with served("slow", python(SLOW)) as server:
        socket.create_connection(("127.0.0.1", server.until_it_listens())).close()


@pytest.mark.medium
def test_a_server_that_never_comes_is_told_with_its_log() -> None:
    program = "import time; print('looking for my disk', flush=True); time.sleep(600)"
    with served("lazy", python(program)) as server, pytest.raises(NotUp) as caught:
        server.until("it has found its disk", lambda: None, seconds=1)
    assert str(caught.value).startswith("lazy was not ready after 1 s; waited until it has found its disk.")


def test_a_server_that_ends_is_not_waited_for_any_longer() -> None:
    with served("dead", python("raise SystemExit('no disk')")) as server, pytest.raises(NotUp) as caught:
        server.until_it_listens()
    assert "dead ended with 1; waited until it listens. Its log ends:\nno disk" in str(caught.value)


@pytest.mark.medium
def test_a_port_is_not_believed_when_somebody_else_listens_there() -> None:
    with taken_port() as port, served("slow", python(SLOW)) as server, pytest.raises(NotUp):
        server.until("it listens", lambda: port in starting._ports(server.process.pid) or None, seconds=4)


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


@pytest.fixture
def lost_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The first free port that is found is lost to another process before it is used; the tries so far."""
    tries: list[int] = []
    with taken_port() as taken:

        def found() -> int:
            tries.append(taken if not tries else starting.free_port())
            return tries[-1]

        monkeypatch.setattr(postgres, "free_port", found)
        monkeypatch.setattr(s3, "free_port", found)
        yield tries


@pytest.mark.slow
def test_postgres_goes_elsewhere_when_its_port_is_lost(lost_once: list[int]) -> None:
    with PostgresServer() as server:
        assert server.port == lost_once[1] and len(lost_once) == 2
        server.execute("SELECT 1")


@pytest.mark.slow
def test_ceph_goes_elsewhere_when_its_port_is_lost(lost_once: list[int]) -> None:
    with Ceph() as ceph:
        assert len(lost_once) == 2
        assert ceph.server.bucket({"a": b"1"})


@pytest.mark.slow
def test_the_gateway_keeps_its_objects_over_a_crash() -> None:
    with Ceph() as ceph:
        bucket = ceph.server.bucket({"a": b"1"})
        ceph.stop()
        with pytest.raises(s3.BotoCoreError):
            ceph.server.client().list_buckets()
        ceph.start()
        assert ceph.server.client().get_object(Bucket=bucket, Key="a")["Body"].read() == b"1"


@pytest.mark.slow
def test_a_monitor_that_listens_is_not_yet_one_with_a_quorum(tmp_path: Path) -> None:
    """One of two monitors, whose other half never comes: it takes connections and can answer nothing."""
    for name in ("mon", "run"):
        (tmp_path / name).mkdir()
    port, other, fsid = starting.free_port(), starting.free_port(), str(uuid.uuid4())
    conf = s3._ceph_conf(tmp_path, fsid, port).replace("initial members = a", "initial members = a b")
    (tmp_path / "ceph.conf").write_text(conf)
    both = [("a", port), ("b", other)]
    addresses = [part for name, at in both for part in ("--addv", name, f"[v1:127.0.0.1:{at}]")]
    s3._do(["monmaptool", "--create", "--fsid", fsid, *addresses, str(tmp_path / "monmap")])
    s3._do(s3._ceph(tmp_path, "ceph-mon", "--mkfs", "-i", "a", "--monmap", str(tmp_path / "monmap")))
    quiet = ("--debug_rocksdb", "0/0")  # its statistics may be the last that the log says
    with served("ceph-mon", s3._ceph(tmp_path, "ceph-mon", "-d", "-i", "a", *quiet)) as monitor:
        monitor.until_it_listens(port)
        with pytest.raises(NotUp, match=r"until it answers out of a quorum\. Its log ends:\n(.|\n)*mon\.a"):
            s3.wait_for_quorum(monitor, tmp_path, seconds=5)


@pytest.mark.slow
def test_ceph_comes_up_when_its_monitor_stands_still_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a busy machine has it: the monitor is stopped as soon as it listens, for three seconds."""
    with ExitStack() as stack:

        def stopped(monitor: starting.Served, home: Path) -> None:
            pid = monitor.process.pid
            os.kill(pid, signal.SIGSTOP)
            timer = threading.Timer(3, os.kill, (pid, signal.SIGCONT))
            timer.start()
            stack.callback(timer.join)
            wait(monitor, home)

        wait = s3.wait_for_quorum
        monkeypatch.setattr(s3, "wait_for_quorum", stopped)
        with Ceph() as ceph:
            assert ceph.server.bucket({"a": b"1"})


def test_what_a_program_says_when_it_fails_is_told() -> None:
    with pytest.raises(NotUp, match=r"false ended with 1"):
        s3._do(["false"])


@pytest.mark.medium
@settings(max_examples=2)
@given(st.integers())
def test_an_example_may_take_its_time(number: int) -> None:
    time.sleep(0.3)  # hypothesis' own bound is 0.2
