"""A Ray of our own leaves nothing: when it cannot start, and when the run that had it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.servers.cluster import members
from workers import local_ray
from workers.lane import LaneBroken

RUN = """
import sys, time
from workers import local_ray
with local_ray.running(100 * 2**20, lambda line: None) as head:
    print(head.process.pid, head.folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where folders of runs are made, by this test alone; short, for sockets."""
    folder = Path(f"/tmp/t{os.getpid()}")
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder  # type: ignore[misc]
    for left in folder.iterdir():
        subprocess.run(["rm", "-r", str(left)], check=True)
    folder.rmdir()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patience", "size", "said"),
    [(4.0, 100 * 2**20, "did not start on this machine within 4 s"), (300.0, 1, "3 tries")],
)
def test_a_start_that_fails_leaves_nothing(
    patience: float, size: int, said: str, parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_ray, "PATIENCE", patience)
    monkeypatch.setattr(local_ray, "_ANNOUNCE_SECONDS", 1.0)
    monkeypatch.setattr(local_ray.Head, "address", None)  # a Ray that never says where it is
    before, told = dict(os.environ), []
    others = set(psutil.Process().children(recursive=True))  # of other tests
    with pytest.raises(LaneBroken, match=said), local_ray.running(size, told.append):
        pass
    assert told and all(line.startswith("waiting for Ray to start on this machine") for line in told)
    assert not list(parent.iterdir())
    assert set(psutil.Process().children(recursive=True)) <= others
    assert dict(os.environ) == before


@pytest.mark.slow
def test_ray_waits_for_nobody_and_its_end_is_seen(parent: Path) -> None:
    """One that died as Ray started kept the driver waiting for ever."""
    with local_ray.running(100 * 2**20, lambda line: None) as head:
        assert not [
            process for process in members(head.process.pid) if process.name().startswith("ray::IDLE")
        ]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_a_killed_run_left_is_swept_by_the_next(parent: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    session, folder = run.stdout.readline().split()
    assert len(members(int(session))) > 4
    with local_ray._folder() as other:
        assert other != Path(folder) and Path(folder).exists()  # it is alive: nobody touches its folder
        assert len(members(int(session))) > 4
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    deadline = time.monotonic() + 60
    agents = {"DashboardAgent", "RuntimeEnvAgent"}  # Ray's raylet does not bind them to itself
    while time.monotonic() < deadline:
        left = {process.name().removeprefix("ray::")[:14] for process in members(int(session))}
        if left <= {name[:14] for name in agents}:
            break
        time.sleep(0.1)
    assert left <= {name[:14] for name in agents}  # its Ray dies with it, even so
    assert Path(folder).exists()
    with local_ray._folder():
        assert not Path(folder).exists()
        assert not members(int(session))


def test_orphans_are_ended_and_strangers_are_not(parent: Path) -> None:
    """A process of a killed run that has outlived it; and one whose session has by chance the same number."""
    folders = [parent / "vinbatch-orphan", parent / "vinbatch-stranger", parent / "vinbatch-unlocked"]
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    orphan = subprocess.Popen([*sleep, str(folders[0])], start_new_session=True)
    stranger = subprocess.Popen(sleep, start_new_session=True)
    try:
        for folder, process in zip(folders, (orphan, stranger, stranger), strict=True):
            folder.mkdir(0o700)
            (folder / "session").write_text(str(process.pid))
        for folder in folders[:2]:
            (folder / "lock").touch()
        with local_ray._folder():
            assert [folder.exists() for folder in folders] == [False, False, True]
        orphan.wait(30)
        assert stranger.poll() is None
    finally:
        for process in (orphan, stranger):
            process.kill()
            process.wait()


def test_a_long_temporary_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 70)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with local_ray._folder() as folder:
        sockets = folder / "ray" / f"session_2026-11-25_16-26-27_418274_{2**22}" / "sockets" / "plasma_store"
        assert len(os.fsencode(sockets)) <= 107
        assert folder.stat().st_mode & 0o077 == 0
