"""What all drills share: one job over the same documents, and the rows that it gives undisturbed."""

from __future__ import annotations

import random
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.conftest import WHAT_WAS_READ, Command, finish, wait_for, write_slips
from tests.servers.cluster import RayHead

PICTURES, BOOKS, PAGES_EACH = 30, 4, 3
PAGES = PICTURES + BOOKS * PAGES_EACH
_PAGE_SECONDS = 0.5  # about the longest that a page takes


class Drill:
    """One job over the same documents, whose command is typed again and again."""

    def __init__(self, command: Command, arguments: tuple[object, ...], store: str) -> None:
        self.command = command
        self.store = store
        self._arguments = ("run", *arguments, "--job", "drill", "--store", store)
        # One page at a time, so that there is a middle of the job; leases that run out within the test.
        command.environment |= {
            "VINBATCH_ENGINE__MAX_BATCH": "1",
            "VINBATCH_LANE__PAGES_IN_FLIGHT": "6",
            "VINBATCH_LANE__LEASE_SECONDS": "15",
        }

    def start(self, *more: object) -> subprocess.Popen[str]:
        self._process = self.command.start(*self._arguments, *more)
        return self._process

    def end(self, process: subprocess.Popen[str], code: int = 0) -> int:
        """Wait for it; returns how many pages it read."""
        out, _ = finish(process, code)
        found = re.search(r"(\d+) pages read", out)
        assert found is not None, out
        return int(found[1])

    def wait_until_in_the_middle(self, pages: int = 2) -> None:
        """Until so many pages are kept, and then a random moment: no two runs of a drill are alike."""
        self.wait_for(lambda: self.count("SELECT count(*) FROM pages") >= pages)
        time.sleep(random.uniform(0, _PAGE_SECONDS))
        assert self.unfinished(), "it was over before anything could be done to it"

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """Until `condition` is true while the command runs; fails at once when it has ended."""

        def met() -> Any:
            ended = self._process.poll() is not None
            if not (found := condition()) and ended:
                raise AssertionError(f"ended with {self._process.returncode}\n{self._process.communicate()}")
            return found

        return wait_for(met)

    def last_waiting(self) -> str:
        """The document that will be taken last: nobody has fetched it yet."""
        return self._ask("SELECT uri FROM documents WHERE state = 'pending' ORDER BY id DESC LIMIT 1") or ""

    def unfinished(self) -> int:
        return self.count("SELECT count(*) FROM documents WHERE state IN ('pending', 'leased')")

    def count(self, sql: str) -> int:
        return int(self._ask(sql) or 0)

    def _ask(self, sql: str) -> Any:
        """Asked of the database itself: the command would take too long to start."""
        try:
            if self.store.startswith("postgresql"):
                with psycopg.connect(self.store, connect_timeout=2) as connection:
                    row = connection.execute(sql).fetchone()  # type: ignore[arg-type]
            else:
                with closing(sqlite3.connect(self.store.removeprefix("sqlite:///"))) as connection:
                    row = connection.execute(sql).fetchone()
        except (sqlite3.OperationalError, psycopg.Error):  # not there yet
            return None
        return row[0] if row is not None else None

    def rows(self) -> list[dict[str, Any]]:
        self.balanced()
        return self.what_was_read()

    def balanced(self) -> None:
        """Fails unless the command says that the books balance."""
        said = self.command("status", "--job", "drill", "--store", self.store, "--verify")
        assert "the books balance" in said, said

    def what_was_read(self) -> list[dict[str, Any]]:
        found = self.command.rows(WHAT_WAS_READ.format(job="drill"), self.store)
        return [{**row, "uri": Path(row["uri"]).name} for row in found]  # wherever the document lies


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slips(tmp_path_factory.mktemp("drills") / "in", PICTURES, BOOKS, PAGES_EACH)


@pytest.fixture(scope="session")
def arguments(model: Path, slip: str, ray_head: RayHead) -> tuple[object, ...]:
    return ("--schema", slip, "--model", model, "--address", ray_head.address)


@pytest.fixture(scope="session")
def undisturbed(
    folder: Path, arguments: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    home = tmp_path_factory.mktemp("undisturbed")
    environment = {"OMP_NUM_THREADS": "1", "VINBATCH_ENGINE__THREADS": "1"}
    drill = Drill(Command(home, environment), (folder, *arguments), f"sqlite:///{home / 'rows.db'}")
    assert drill.end(drill.start()) == PAGES
    rows = drill.rows()
    assert len({row["uri"] for row in rows}) == PICTURES + BOOKS
    return rows


@pytest.fixture
def drill(vinbatch: Command, folder: Path, arguments: tuple[object, ...]) -> Drill:
    return Drill(vinbatch, (folder, *arguments), f"sqlite:///{vinbatch.folder / 'rows.db'}")
