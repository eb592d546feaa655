"""A Ray of our own on this machine: started, guarded by a token, and ended with all that belongs to it.

It is `ray start` in a child process, so that its environment is not ours, a start that takes too long can be
ended as a whole, and what it starts shares one process session by which it is found again. Nothing of it
listens beyond the loopback interface, and whoever connects must know a token that this run has made up.

The folder of a run is locked as long as the run lives (the kernel lets go of the lock when the process is
gone). A later run takes away the folders that nobody holds, and ends what is left of their processes.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from workers.connection import connected, environment
from workers.guard import guarded
from workers.lane import LaneBroken

CHECKOUT = Path(__file__).resolve().parents[1]
PATIENCE = 300.0  # seconds: at a load of ten processes a core, Ray needed 80
# A worker that is killed before it has registered is missed by its raylet only when this time is over, and
# what waits for it waits so long. At a load of ten processes a core a worker needed 5 s.
_WORKER_PATIENCE = 90.0  # seconds
_STARTS = 3  # of a Ray that ends by itself while it starts
_ANNOUNCE_SECONDS = 5.0
_END_SECONDS = 10.0  # that Ray has to end by itself
_PREFIX = "vinbatch-"
_LONGEST_FOLDER = 36  # bytes: Ray adds up to 70 for its sockets, and Linux takes 107
_SESSION, _LOCK = "session", "lock"  # files in a run's folder: the id of the process session; the lock


class _Ended(Exception):
    """Ray's processes ended while they were starting; the message is the last that they said."""


@dataclass(slots=True)
class Head:
    """Ray's first process. `address` is for `ray.init`; `raylet` is known once Ray has started."""

    process: subprocess.Popen[bytes]
    folder: Path
    raylet: psutil.Process | None = None

    @property
    def address(self) -> str | None:
        """None while Ray is starting."""
        with suppress(OSError):  # not there yet
            return (self.folder / "ray" / "ray_current_cluster").read_text().strip() or None
        return None

    @property
    def ended(self) -> bool:
        """`ray start --block` ends when any of Ray's own processes does, unless that ended as if told to: so
        does a raylet whose agent died.
        """
        if self.process.poll() is not None:
            return True
        with suppress(psutil.NoSuchProcess):
            return self.raylet is not None and self.raylet.status() == psutil.STATUS_ZOMBIE
        return True

    def last_words(self) -> str:
        lines = (self.folder / "start.log").read_text(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else f"exit code {self.process.poll()}"

    def gone(self) -> str | None:
        """Why Ray is gone, if it is: its own processes do not come back."""
        return f"Ray's own processes ended on this machine: {self.last_words()}" if self.ended else None

    def end(self) -> None:
        """Ray's processes and whatever they started, at once and completely."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_SECONDS)
        _kill_session(self.process.pid, self.folder)
        self.process.wait()

    def clear(self) -> None:
        """All of it, with its folder."""
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def running(object_store_bytes: int, notify: Callable[[str], None]) -> Iterator[Head]:
    """Inside this block a Ray of our own runs and this process is connected to it.

    `notify` gets a line every few seconds while Ray starts. Raises LaneBroken when it does not.
    """
    token = secrets.token_hex(32)
    with _folder() as folder, ExitStack() as stack:
        with _announced(notify):
            start = _Start(folder, _for_head(token), object_store_bytes)
            stack.callback(start.end)
            # While Ray starts, this process imports it: each takes seconds.
            stack.enter_context(environment(_for_driver(token)))
            head = start.finished()
            with _loopback():
                stack.enter_context(connected(head.address or ""))
        stack.enter_context(guarded(head.gone, notify, head.clear))
        yield head


class _Start:
    """A start of Ray, under way. One that fails by itself is tried again."""

    def __init__(self, folder: Path, variables: Mapping[str, str], object_store_bytes: int) -> None:
        self._spawn = partial(_spawn, folder, variables, object_store_bytes)
        self._deadline = time.monotonic() + PATIENCE
        self._head = self._spawn()

    def finished(self) -> Head:
        """Raises LaneBroken when Ray does not come up."""
        for attempt in range(1, _STARTS + 1):
            try:
                _await(self._head, self._deadline)
                return self._head
            except _Ended as error:
                self.end()
                if attempt == _STARTS:
                    raise LaneBroken(
                        f"no Ray could be started on this machine ({_STARTS} tries): {error}"
                    ) from None
                self._head = self._spawn()
        raise AssertionError("a last attempt returns or raises")

    def end(self) -> None:
        self._head.end()


def _spawn(folder: Path, variables: Mapping[str, str], object_store_bytes: int) -> Head:
    shutil.rmtree(folder / "ray", ignore_errors=True)  # of an attempt before
    # Chosen here, so that the raylet need not wait for its agents to name them: see workers/ray_start.py.
    grpc, http, metrics, environments = _free_ports(4)
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port=0",
        f"--dashboard-agent-grpc-port={grpc}", f"--dashboard-agent-listen-port={http}",
        f"--metrics-export-port={metrics}", f"--runtime-env-agent-port={environments}",
        "--include-dashboard=false", "--no-monitor", "--include-log-monitor=false", "--disable-usage-stats",
        f"--temp-dir={folder / 'ray'}", f"--object-store-memory={object_store_bytes}",
    ]  # fmt: skip
    with (folder / "start.log").open("ab") as log:
        process = subprocess.Popen(
            command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    (folder / _SESSION).write_text(str(process.pid))
    return Head(process, folder)


def _free_ports(number: int) -> list[int]:
    """Of the loopback interface. Where somebody is quicker, Ray ends and is started again."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _await(head: Head, deadline: float) -> None:
    """Until Ray says where it is. Raises _Ended, and LaneBroken after the deadline."""
    while head.address is None:
        if head.ended:
            raise _Ended(head.last_words())
        if time.monotonic() > deadline:
            raise LaneBroken(
                f"Ray did not start on this machine within {PATIENCE:g} s; "
                "try again when the machine is less busy"
            )
        time.sleep(0.1)
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(head.process.pid).children()
        head.raylet = next((process for process in started if process.name() == "raylet"), None)


@contextmanager
def _loopback() -> Iterator[None]:
    """Where Ray takes 127.0.0.1 as it is.

    It puts the machine's outer address in its place unless it is told, when it is imported, that it never has
    more than one machine; and it may have been imported before.
    """
    from ray._private import ray_constants

    clusters = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clusters


@contextmanager
def _announced(notify: Callable[[str], None]) -> Iterator[None]:
    over = threading.Event()
    began = time.monotonic()

    def work() -> None:
        while not over.wait(_ANNOUNCE_SECONDS):
            notify(f"waiting for Ray to start on this machine: {time.monotonic() - began:.0f} s")

    thread = threading.Thread(target=work, name="announcing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _for_driver(token: str) -> dict[str, str | None]:
    """What this process must know to talk to a Ray of our own."""
    seconds = f"{PATIENCE:.0f}"
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_AUTH_TOKEN_PATH": None,
        "RAY_ADDRESS": None,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_gcs_server_request_timeout_seconds": seconds,
        "RAY_py_gcs_connect_timeout_s": seconds,
    }


def _for_head(token: str) -> dict[str, str]:
    """The environment of Ray's processes, and so of the actors."""
    seconds = f"{PATIENCE:.0f}"
    paths = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    ours = _for_driver(token) | {
        # Actors import these packages. A runtime environment would do too, but the workers that Ray starts
        # ahead of time have none, and would stand idle beside those that do.
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # one machine alone: everything listens on loopback only
        "RAY_START_HOOK": "workers.ray_start.prepare",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # nobody waits for what a run has left
        "RAY_gcs_server_port_wait_time_s": seconds,
        "RAY_agent_register_timeout_ms": f"{1000 * PATIENCE:.0f}",
        "RAY_worker_register_timeout_seconds": f"{_WORKER_PATIENCE:.0f}",
        # Else the first driver waits for workers started ahead of time, and for ever when one of them dies.
        "RAY_prestart_worker_first_driver": "0",
        "VINBATCH_RAY_PARENT": str(os.getpid()),
        "VINBATCH_RAY_PATIENCE": seconds,
    }
    merged: dict[str, str | None] = {**os.environ, **ours}
    return {name: value for name, value in merged.items() if value is not None}


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that only this user can enter, locked while this process lives; removed at the end.

    Ray opens its own folder inside to everybody, so it gets one below.
    """
    parent = Path(tempfile.gettempdir())
    if len(os.fsencode(parent)) + len(_PREFIX) + 9 > _LONGEST_FOLDER:
        parent = Path("/tmp")  # the only short one there is
    _sweep(parent)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        lock = _locked(folder / _LOCK, os.O_CREAT)
        if lock is not None and (folder / _LOCK).exists():
            break  # no other run took the folder for one that is left
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked(path: Path, flags: int = 0) -> int | None:
    """A descriptor that holds the lock; None when somebody else does, or there is none."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | flags, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep(parent: Path) -> None:
    """Take away what killed runs of this user have left. A folder without a lock is none of ours."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            lock = _locked(folder / _LOCK)
            if lock is None:
                continue
            with suppress(OSError, ValueError):
                _kill_session(int((folder / _SESSION).read_text()), folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _kill_session(session: int, folder: Path) -> None:
    """SIGKILL to every process of Ray's session, by its id; Linux gives none away while it has members.

    A session that somebody else has by now is not Ray's: none of its processes names the folder.
    """
    while members := [process for process in psutil.process_iter() if _is_member(process, session)]:
        if not any(_is_rays(process, folder) for process in members):
            return
        for process in members:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(members, timeout=1)


def _is_member(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False


def _is_rays(process: psutil.Process, folder: Path) -> bool:
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return str(folder) in words or words.startswith("ray::")
