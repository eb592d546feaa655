"""Who may be struck in a round: the processes of the run, by what they are, and the servers it works on."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil
import psycopg

from tests.servers.postgres import PostgresServer
from tests.servers.s3 import Ceph

# The run's own processes, by a word of the title or of the command line that Linux shows.
_TITLES = {
    "reader": "ray::Reader",
    "replica": "ray::Replica",
    "scheduler": "ray::Scheduler",
    "drawer": "pipeline.sandbox",  # the child in which a reader decodes untrusted files
    "idle worker": "ray::IDLE",
    "dashboard agent": "ray::DashboardAgent",
    "runtime env agent": "ray::RuntimeEnvAgent",
    "gcs": "gcs_server",
    "raylet": "raylet/raylet",
    "dashboard": "dashboard/dashboard.py",
    "log monitor": "log_monitor.py",
    "autoscaler": "autoscaler/_private/monitor.py",
}
# With these the whole Ray of the run ends, or may: the command is typed again, as when the driver is killed.
# The last three only where `ray start --block` holds them together.
RAYS_OWN = (
    "gcs", "raylet", "dashboard agent", "runtime env agent", "dashboard", "log monitor", "autoscaler",
)  # fmt: skip
# The lane that holds documents is gone without giving them back.
COSTS_A_LEASE = ("scheduler", "driver", "notice", *RAYS_OWN)
OF_THE_RUN = (*_TITLES, "driver", "notice")  # notice: SIGTERM to a scheduler
OF_POSTGRES = ("postgres", "back end")  # the whole server crashes; one of its processes is killed
OF_S3 = ("s3 server",)

_MARK = "CHAOS_ROUND"
_BACK_ENDS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY pid
"""


@dataclass(frozen=True)
class Servers:
    """What the job works on beside its own processes, where there is such a server."""

    postgres: PostgresServer | None = None
    ceph: Ceph | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        return (OF_POSTGRES if self.postgres else ()) + (OF_S3 if self.ceph else ())


@dataclass(frozen=True)
class Family:
    """The processes of one round. They inherit a mark in their environment, so that orphans are found too."""

    mark: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def environment(self) -> Mapping[str, str]:
        return {_MARK: self.mark}

    def members(self) -> list[psutil.Process]:
        """All that live, with what they started: a decoding child has an environment of its own."""
        everybody = {process.pid: process for process in psutil.process_iter() if process.pid != os.getpid()}
        marked = {pid for pid, process in everybody.items() if self._is_marked(process)}
        parents = {pid: _parent(process) for pid, process in everybody.items()}
        grown = True
        while grown:
            children = {pid for pid, parent in parents.items() if parent in marked} - marked
            marked |= children
            grown = bool(children)
        return [everybody[pid] for pid in sorted(marked) if _lives(everybody[pid])]

    def victims(self, kind: str) -> list[psutil.Process]:
        """Those of a kind, oldest first."""
        return [process for process in self.members() if kind_of(process) == kind]

    def _is_marked(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(_MARK) == self.mark
        except psutil.Error:
            return False


def kind_of(process: psutil.Process) -> str | None:
    """What a process of the run is; None for the driver, and for what has no name here."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return None
    return next((kind for kind, word in _TITLES.items() if word in line), None)


def back_ends(url: str) -> list[psutil.Process]:
    """The processes in which PostgreSQL serves a database now."""
    found = []
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            pids = [pid for (pid,) in connection.execute(_BACK_ENDS)]
    except psycopg.Error:
        return []
    for pid in pids:
        try:
            found.append(psutil.Process(pid))
        except psutil.NoSuchProcess:
            continue
    return found


def _parent(process: psutil.Process) -> int:
    try:
        return int(process.ppid())
    except psutil.Error:
        return 0


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
