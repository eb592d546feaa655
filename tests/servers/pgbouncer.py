"""A real pgbouncer, Debian's, in transaction mode before the tests' PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.postgres import PostgresServer, _free_port

_NOBODY = 65534  # pgbouncer refuses to run as root
_SETTINGS = """\
[databases]
* = host=127.0.0.1 port={server} user=vinbatch

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
logfile = {folder}/log
pidfile = {folder}/pid
"""


class Pgbouncer:
    """Few sessions of the server's for many clients: what one leaves in a session, another one would find."""

    def __init__(self, server: PostgresServer, sessions: int = 2) -> None:
        found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if found is None:
            raise RuntimeError("pgbouncer is not installed; `make test` installs it")
        self._folder = Path(tempfile.mkdtemp(prefix="pgb"))
        self.port = _free_port()
        settings = self._folder / "pgbouncer.ini"
        settings.write_text(
            _SETTINGS.format(server=server.port, port=self.port, sessions=sessions, folder=self._folder)
        )
        who = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        if who:
            os.chown(self._folder, _NOBODY, _NOBODY)
        self._process = subprocess.Popen(
            [found, "-q", settings],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **who,
        )
        self._wait()

    def url(self, database: str) -> str:
        return f"postgresql://vinbatch@127.0.0.1:{self.port}/{database}"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        for _ in range(600):
            if self._process.poll() is not None:
                log = self._folder / "log"
                said = log.read_text(errors="replace")[-2000:] if log.exists() else ""
                raise RuntimeError(f"pgbouncer ended with {self._process.returncode}\n{said}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("pgbouncer did not answer for a minute")


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: PostgresServer) -> Iterator[Pgbouncer]:
    bouncer = Pgbouncer(postgres_server)
    yield bouncer
    bouncer.close()
