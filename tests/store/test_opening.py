"""Opening a store: URLs, what is wrong with them in one line, migrations that make exactly the tables."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event

from pipeline import store as stores
from pipeline.errors import Reason, Transient, Unavailable, UsageError
from pipeline.records import Decision, Failure
from pipeline.store import migrate, tables
from pipeline.store.database import Database
from tests.servers.postgres import PostgresServer
from tests.store import samples


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "not a database URL"),
        ("postgresql:/u:s3cret", "not a database URL"),
        ("/tmp", "the store /tmp is a folder; name a file in it, as /tmp/vinbatch.db"),
        ("postgresql://u:s3cret@host:port/db", "not a database URL"),
        ("mysql://u:s3cret@host/db", "mysql://u:***@host/db is of a kind that is not known"),
        ("postgresql+asyncpg://u:s3cret@host/db", "of a kind that is not known"),
        ("postgresql://u:s3cret@host", "names no database"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite://relative.db", "three slashes"),
        ("sqlite:////no/such/folder/a.db", "there is no folder /no/such/folder"),
        ("postgresql://u:s3cret@127.0.0.1:1/db", "Connection refused"),
        ("postgresql://u@127.0.0.1:1/db?password=s3cret", "Connection refused"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_line_without_password(url: str, told: str) -> None:
    with pytest.raises(Unavailable if told == "Connection refused" else UsageError) as caught:
        stores.open(url)
    assert told in caught.value.message
    assert "\n" not in caught.value.message and "s3cret" not in caught.value.message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_bare_path_is_a_file_of_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("rows of may.db", f"{tmp_path}/rows of may.db"):
        assert stores.shown(path) == path
        with stores.open(path) as store:
            assert store.url == f"sqlite:///{tmp_path}/rows of may.db"


@pytest.mark.medium
def test_passwords_are_never_shown(postgres_server: PostgresServer) -> None:
    assert (
        stores.shown("postgresql://u:s3cret@h/d?sslpassword=s3cret")
        == "postgresql://u:***@h/d?sslpassword=***"
    )
    assert stores.shown("nonsense:s3cret") == "(not a database URL)"
    url = postgres_server.url("no_such_database").replace("vinbatch@", "vinbatch:s3cret@")
    with pytest.raises(Unavailable, match='database "no_such_database" does not exist') as caught:
        stores.open(url)
    assert "s3cret" not in caught.value.message
    with stores.open(postgres_server.create_database().replace("vinbatch@", "vinbatch:s3cret@")) as store:
        assert "s3cret" not in f"{store!r} {store.url}" and "***" in store.url


@pytest.mark.medium
def test_create_false_wants_a_store_that_is_there(tmp_path: Path, postgres_url: str) -> None:
    with pytest.raises(UsageError, match=r"there is no store at sqlite:.*`vinbatch run` makes it"):
        stores.open(f"sqlite:///{tmp_path / 'a.db'}", create=False)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match=r"there is no store at postgresql:.* yet"):
        stores.open(postgres_url, create=False)
    stores.open(postgres_url).close()
    stores.open(postgres_url.replace("postgresql://", "postgres://"), create=False).close()


def test_a_relative_path_is_the_same_file_in_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with stores.open("sqlite:///a b%é.db") as store:
        assert Database("sqlite:///a b%é.db").path == tmp_path / "a b%é.db"
        monkeypatch.chdir("/")
        import pickle

        pickle.loads(pickle.dumps(store)).close()
        with store.query("SELECT count(*) FROM jobs") as rows:
            assert list(rows) == [(0,)]


def test_what_is_no_store_is_told(tmp_path: Path, postgres_server: PostgresServer) -> None:
    (tmp_path / "text.db").write_text(
        "This is not a database, though it is long enough to be taken for one. " * 20
    )
    with pytest.raises(Unavailable, match="the file is no SQLite database"):
        stores.open(f"sqlite:///{tmp_path / 'text.db'}")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE documents (id int)")
    with pytest.raises(UsageError, match=r"tables of something else \(documents\)"):
        stores.open(f"sqlite:///{tmp_path / 'other.db'}")
    latin = postgres_server.create_database("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(UsageError, match="encoded in LATIN1"):
        stores.open(latin)


def test_tables_of_a_newer_vinbatch_are_left_alone(url: str) -> None:
    with stores.open(url) as store, store._db.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    try:
        with pytest.raises(UsageError, match=r"written by a newer Vinbatch \(tables 9999\)"):
            stores.open(url)
    finally:
        with closing(Database(url)) as database, database.write() as connection:
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{tables.REVISION}'")


@pytest.mark.medium
def test_a_migration_that_fails_leaves_nothing(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import command

    upgrade = command.upgrade

    def fails(*arguments: object) -> None:
        upgrade(*arguments)  # type: ignore[arg-type]
        raise UsageError("the power went")

    for url in (f"sqlite:///{tmp_path / 'a.db'}", postgres_url):
        with monkeypatch.context() as patched:
            patched.setattr(command, "upgrade", fails)
            with pytest.raises(UsageError, match="the power went"):
                stores.open(url)
        stores.open(url).close()


def test_a_server_that_is_too_old_is_told(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "_OLDEST_POSTGRES", 990000)
    with pytest.raises(UsageError, match=r"runs on PostgreSQL \d\d; 13 or newer is needed$"):
        stores.open(postgres_url)


@pytest.mark.medium
def test_the_migrations_make_exactly_the_tables(url: str, postgres_url: str, tmp_path: Path) -> None:
    with closing(Database(url)) as database, database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    made = postgres_url if url.startswith("postgresql") else f"sqlite:///{tmp_path / 'made.db'}"
    engine = create_engine(Database(made).url)
    tables.metadata.create_all(engine)
    engine.dispose()
    assert _described(url) == _described(made)


def _described(url: str) -> set[tuple[object, ...]]:
    """Tables, columns, constraints and indexes as the database itself describes them."""
    if url.startswith("sqlite"):
        with sqlite3.connect(Database(url).path) as connection:
            sql = "SELECT name, coalesce(sql, '') FROM sqlite_master WHERE tbl_name NOT LIKE 'alembic%'"
            # The order of a table's columns and constraints is of no importance; a column that a migration
            # has added stands in the line of the one before.
            return {
                (
                    name,
                    *sorted(
                        part.strip(" \t,()")
                        for part in re.split(r"\n|, (?=\w+ (?:TEXT|INTEGER|FLOAT|BIGINT|BOOLEAN))", made)
                    ),
                )
                for name, made in connection.execute(sql)
            }
    described: set[tuple[object, ...]] = set()
    with psycopg.connect(url) as connection:
        for sql in (
            "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name"
            " FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name <> 'alembic_version'",
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace AND conname NOT LIKE 'alembic%'",
            "SELECT indexname, indexdef FROM pg_indexes"
            " WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
        ):
            described |= set(connection.execute(sql).fetchall())
    return described


def test_the_revision_is_the_newest_migration() -> None:
    folder = Path(stores.__file__).parent / "migrations"
    assert ScriptDirectory(folder).get_heads() == [tables.REVISION]


@pytest.mark.medium
def test_claims_do_not_look_at_the_whole_job(store: stores.Store) -> None:
    """By the databases' own plans, so that a million documents cost as little as a thousand."""
    job = samples.job(store)
    store.ledger.add(job, samples.refs(*map(str, range(3000))))
    store.ledger.claim(job, "w", 10, 60)
    with store._db.write() as connection:
        connection.exec_driver_sql("ANALYZE")
    seen: list[tuple[str, object]] = []

    from sqlalchemy import event

    def remember(connection: object, cursor: object, sql: str, parameters: object, *_: object) -> None:
        if sql.strip().startswith(("UPDATE documents", "WITH chosen", "SELECT")):
            seen.append((sql.strip(), parameters))

    def trace(raw: sqlite3.Connection, *_: object) -> None:
        raw.set_trace_callback(lambda sql: remember(None, None, sql, ()))

    how = ("checkout", trace) if store.one_machine else ("before_cursor_execute", remember)
    event.listen(store._db.engine, *how)
    store.ledger.claim(job, "w", 10, 60)
    store.ledger.next_due(job)
    event.remove(store._db.engine, *how)
    assert len(seen) >= 4
    explain = "EXPLAIN QUERY PLAN " if store.one_machine else "EXPLAIN "
    with store._db.write() as connection:
        for sql, parameters in seen:
            plan = "\n".join(str(row) for row in connection.exec_driver_sql(explain + sql, parameters))
            assert "Seq Scan on documents" not in plan and "SCAN documents\n" not in plan + "\n", plan
            if "ready_at" in sql:
                assert "ix_documents_" in plan, plan


def test_the_template_is_not_the_store(url: str, tmp_path: Path) -> None:
    """The fixture's own promise: nothing of another test is in this one's store."""
    with stores.open(url, create=False) as store:
        assert store.jobs.all() == []
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_a_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask allows; what its owner has allowed others later stays allowed."""
    before = os.umask(0)
    try:
        with stores.open(f"sqlite:///{tmp_path / 'a.db'}") as store:
            samples.job(store)
            rights = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        assert rights == {"a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600}
        (tmp_path / "a.db").chmod(0o640)
        with stores.open(f"sqlite:///{tmp_path / 'a.db'}") as store:
            samples.job(store)
            rights = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        assert rights == {"a.db": 0o640, "a.db-wal": 0o640, "a.db-shm": 0o640}
    finally:
        os.umask(before)


def _deleted(path: Path) -> None:
    for file in path.parent.glob("a.db*"):
        file.unlink()


def _replaced(path: Path) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


@pytest.mark.parametrize("harm", [_deleted, _replaced])
def test_a_file_that_is_taken_away_under_a_run_is_noticed(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    path = tmp_path / "a.db"
    with stores.open(f"sqlite:///{path}") as store:
        job = samples.job(store)
        store.ledger.add(job, samples.refs("a", "b"))
        [lease] = store.ledger.claim(job, "w", 1, 60)
        harm(path)
        there = path.exists()
        for call in (
            lambda: samples.finish(store, lease),
            lambda: store.results.save_page(lease, samples.page()),
            lambda: store.ledger.claim(job, "w", 1, 60),
            lambda: store.ledger.renew([lease], 60),
            lambda: store.books.counts(job),
            lambda: store.books.verify(job),
            lambda: store.purge(document="/in/a"),
            lambda: list(store.results.extractions(job)),
            lambda: store.query("SELECT 1").__enter__(),
        ):
            with pytest.raises(UsageError, match=f"was {harm.__name__[1:]} while it was in use") as caught:
                call()
            assert "\n" not in caught.value.message
        store.close()  # connections that are made anew are no other
        with pytest.raises(UsageError, match="while it was in use"):
            store.books.verify(job)
        assert path.exists() == there  # no empty one was put in its place


@pytest.mark.medium
def test_what_a_person_is_told_is_done_is_on_the_disk(url: str) -> None:
    """By what each transaction asks of the database just before it is committed."""
    with stores.open(url) as store:
        asked: list[str] = []

        def ask(connection: Any) -> None:
            how = "PRAGMA synchronous" if store.one_machine else "SHOW synchronous_commit"
            cursor = connection.connection.cursor()
            asked.append(str(cursor.execute(how).fetchone()[0]))
            cursor.close()

        event.listen(store._db.engine, "commit", ask)
        job = samples.job(store)
        calls: dict[str, Callable[[], Any]] = {
            "add": lambda: store.ledger.add(job, samples.refs("a", "b")),
            "claim": lambda: leases.extend(store.ledger.claim(job, "w", 2, 60)),
            "quarantine": lambda: store.ledger.quarantine(leases[0], Failure(Reason.pdf_damaged, "bad")),
            "retry": lambda: store.failures.retry(job, reason="pdf_damaged"),
            "purge": lambda: store.purge(document="/in/a"),
            "repair": lambda: store.books.repair(job),
            "verify": lambda: store.books.verify(job),
            "job": lambda: samples.job(store, "july"),
            "finish": lambda: samples.finish(store, leases[1]),
            "decide": lambda: ids.extend(
                store.decisions.add(job, "/in/b", [Decision("total", "accept", "an")])
            ),
            "undo": lambda: store.decisions.undo(ids, "an"),
            "begin": lambda: ids.append(store.runs.begin(job, "host", 1.0, 0).id),
            "beat": lambda: store.runs.beat(ids[-1]),
            "cancel": lambda: store.runs.cancel(job),
        }
        passing = ("claim", "quarantine", "finish", "beat")
        leases: list[stores.Lease] = []
        ids: list[int] = []
        safe = {"2", "on"}  # FULL in SQLite's numbers
        for name, call in calls.items():
            asked.clear()
            call()
            assert bool(safe & set(asked)) == (name not in passing), (name, asked)


def test_a_writer_in_sqlite_has_the_file_before_it_looks(tmp_path: Path) -> None:
    """Else two who look and then write would end each other at once, whatever time they are given."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with stores.open(url) as one, stores.open(url) as two:
        event.listen(two._db.engine, "checkout", lambda raw, *_: raw.execute("PRAGMA busy_timeout = 0"))
        with one._db.write() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM jobs").all()
            with pytest.raises(Transient, match="locked"), two._db.write():
                pytest.fail("both have begun to write")
            with two._db.read() as other:  # who only reads waits for nobody
                assert other.exec_driver_sql("SELECT count(*) FROM jobs").scalar_one() == 0
            connection.exec_driver_sql("DELETE FROM jobs")
