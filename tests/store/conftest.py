"""Each test runs on SQLite and on PostgreSQL, on a store of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from pipeline import store as stores
from pipeline.store import Store
from tests import typed as command
from tests.servers.postgres import PostgresServer
from tests.store.samples import Clock

Typed = Callable[..., str]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "empty.db"
    stores.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def postgres_store(postgres_server: PostgresServer) -> str:
    url = postgres_server.create_database()
    stores.open(url).close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        shutil.copy(template, tmp_path / "store.db")
        return f"sqlite:///{tmp_path / 'store.db'}"
    address: str = request.getfixturevalue("postgres_store")
    with psycopg.connect(address, autocommit=True) as connection:
        views = connection.execute("SELECT viewname FROM pg_views WHERE schemaname = 'public'").fetchall()
        for (name,) in views:
            connection.execute(f'DROP VIEW IF EXISTS "{name}" CASCADE')
        connection.execute("TRUNCATE jobs, calibrations, audit CASCADE")
    return address


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    """An empty store whose time is the test's clock."""
    with stores.open(url, clock=clock) as opened:
        yield opened


@pytest.fixture
def typed(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Typed:
    """`vinbatch` with these words on the test's store; what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VINBATCH_STORE", url)

    return partial(command.typed, monkeypatch, capfd)
