"""A server's mood is not the document's fault: whatever passes is Transient, on every path."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, event, text

from pipeline import store as stores
from pipeline.errors import Reason, Transient, Unavailable, UsageError
from pipeline.records import Failure
from pipeline.store import Lease, Store, migrate
from pipeline.store.database import Database
from tests.servers.postgres import PostgresServer
from tests.store import samples
from tests.store.samples import failed_page, finish, page, refs

FINAL = Failure(Reason.pdf_damaged, "bad")
WRITES: dict[str, Callable[[Store, Lease], Any]] = {
    "claim": lambda store, lease: store.ledger.claim(store.jobs.find("june"), "w", 1, 60),
    "renew": lambda store, lease: store.ledger.renew([lease], 60),
    "release": lambda store, lease: store.ledger.release(lease),
    "quarantine": lambda store, lease: store.ledger.quarantine(lease, FINAL),
    "save_page": lambda store, lease: store.results.save_page(lease, page()),
    "commit": lambda store, lease: finish(store, lease),
    "add": lambda store, lease: store.ledger.add(store.jobs.find("june"), refs("new")),
    "retry": lambda store, lease: store.failures.retry(store.jobs.find("june"), reason="pdf_damaged"),
    "purge": lambda store, lease: store.purge(document="/in/a"),
    "repair": lambda store, lease: store.books.repair(store.jobs.find("june")),
    "verify": lambda store, lease: store.books.verify(store.jobs.find("june")),
    "job": lambda store, lease: samples.job(store, "july"),
}
READS: dict[str, Callable[[Store, Lease], Any]] = {
    "find_job": lambda store, lease: store.jobs.find("june"),
    "next_due": lambda store, lease: store.ledger.next_due(store.jobs.find("june")),
    "known_pages": lambda store, lease: store.results.known_pages(["key-1"]),
    "counts": lambda store, lease: store.books.counts(store.jobs.find("june")),
    "failures": lambda store, lease: store.failures.groups(store.jobs.find("june")),
    "extractions": lambda store, lease: list(store.results.extractions(store.jobs.find("june"))),
    "diff": lambda store, lease: list(store.diff(*[store.jobs.find("june")] * 2)),
}


@pytest.fixture
def held(postgres_url: str) -> Iterator[tuple[Store, Lease]]:
    """A store with a document that somebody works on, and one that has failed."""
    with stores.open(postgres_url) as store:
        yield store, _held(store)


def _held(store: Store) -> Lease:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b"))
    lease, other = store.ledger.claim(job, "w", 2, 600)
    store.ledger.quarantine(other, FINAL)
    return lease


def _passes(store: Store, lease: Lease, calls: dict[str, Callable[[Store, Lease], Any]], told: str) -> None:
    """Each of the calls says so, and the document is held as before."""
    for name, call in calls.items():
        with pytest.raises(Transient, match=told) as caught:
            call(store, lease)
        assert caught.value.reason in (Reason.ledger_busy, Reason.ledger_unreachable), name


def _well_again(store: Store, lease: Lease) -> None:
    finish(store, lease)
    balance = store.books.verify(store.jobs.find("june"))
    assert (balance.done, balance.quarantined) == (1, 1)


@contextmanager
def set_for_all(store: Store, setting: str) -> Iterator[None]:
    """The server's owner sets something for a database; connections that are open are made anew."""
    url = str(store._db.url.render_as_string(False)).replace("+psycopg", "")
    name = url.rpartition("/")[2]
    with psycopg.connect(url.replace(name, "postgres"), autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE {name} SET {setting}")
        store.close()
        yield
        owner.execute(f"ALTER DATABASE {name} RESET {setting.partition(' ')[0]}")
        store.close()


def test_a_server_that_may_only_be_read_is_waited_for(held: tuple[Store, Lease]) -> None:
    store, lease = held
    with set_for_all(store, "default_transaction_read_only = on"):
        _passes(store, lease, WRITES, "may only be read now .*25006")
        with stores.open(store._db.url.render_as_string(False), create=False) as again:
            assert again.books.counts(again.jobs.find("june"))["leased"] == 1
    _well_again(store, lease)


@pytest.mark.medium
def test_a_statement_that_took_too_long_is_tried_again(held: tuple[Store, Lease]) -> None:
    """The table is locked by somebody, and the server's patience is shorter than ours."""
    store, lease = held
    waiting = {**WRITES, **READS}
    del waiting["job"], waiting["find_job"]  # these look at jobs, which must be read to call the others
    with set_for_all(store, "statement_timeout = '300ms'"):
        for name, call in waiting.items():
            store.jobs.find("june")
            with _documents_locked(store), pytest.raises(Transient, match="QueryCanceled 57014"):
                call(store, lease)
            assert name
    _well_again(store, lease)


@contextmanager
def _documents_locked(store: Store) -> Iterator[None]:
    with psycopg.connect(store._db.url.render_as_string(False).replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE documents, pages IN ACCESS EXCLUSIVE MODE")
        yield
        other.rollback()


@pytest.mark.medium
def test_a_session_that_the_server_ends_while_the_store_is_opened_is_no_wrong_address(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables are being made then; the same call makes them."""

    def ended(db: Database, connection: Connection, revision: str | None) -> None:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with monkeypatch.context() as patched:
        patched.setattr(migrate, "_upgrade", ended)
        with pytest.raises(Transient) as raised:
            stores.open(postgres_url)
    assert raised.value.reason == Reason.ledger_unreachable
    stores.open(postgres_url).close()


@pytest.mark.medium
def test_sessions_that_the_server_ends_are_replaced(held: tuple[Store, Lease]) -> None:
    store, lease = held
    url = store._db.url.render_as_string(False).replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as owner:
        for call in {**WRITES, **READS}.values():
            store.books.counts(store.jobs.find("june"))  # a connection that is open and idle
            owner.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE application_name = 'vinbatch' AND datname = current_database()"
            )
            with pytest.raises(Transient, match=r"AdminShutdown 57P01|OperationalError"):
                call(store, lease)
    _well_again(store, lease)


def test_a_transaction_that_stood_still_is_tried_again(held: tuple[Store, Lease]) -> None:
    store, lease = held
    with pytest.raises(Transient), store._db.write() as connection:
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 50")
        with psycopg.connect(store._db.url.render_as_string(False).replace("+psycopg", "")) as other:
            gone = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
            pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
            while other.execute(gone, (pid,)).fetchone() != (0,):
                other.rollback()
        connection.exec_driver_sql("SELECT 1")
    _well_again(store, lease)


@pytest.mark.medium
def test_a_row_that_somebody_keeps_locked_is_waited_for(held: tuple[Store, Lease]) -> None:
    store, lease = held
    url = store._db.url.render_as_string(False).replace("+psycopg", "")

    def impatient(raw: Any, *_: Any) -> None:
        raw.execute("SET lock_timeout = 50")
        raw.commit()

    event.listen(store._db.engine, "checkout", impatient)
    with psycopg.connect(url) as other:
        other.execute("SELECT FROM documents FOR UPDATE")
        mine = ("renew", "release", "quarantine", "save_page", "commit", "purge")
        _passes(store, lease, {name: WRITES[name] for name in mine}, "LockNotAvailable 55P03")
    event.remove(store._db.engine, "checkout", impatient)
    _well_again(store, lease)


def test_two_who_wait_for_each_other_try_again(held: tuple[Store, Lease]) -> None:
    store, lease = held
    with psycopg.connect(store._db.url.render_as_string(False).replace("+psycopg", "")) as other:
        other.execute("SET deadlock_timeout = '60s'")
        other.execute("SELECT FROM documents WHERE uri = '/in/b' FOR UPDATE")
        with (
            pytest.raises(Transient, match="DeadlockDetected 40P01"),
            store._db.write() as connection,
        ):
            connection.exec_driver_sql("SET LOCAL deadlock_timeout = '10ms'")
            connection.exec_driver_sql("SELECT FROM documents WHERE uri = '/in/a' FOR UPDATE")
            waiter = Thread(target=other.execute, args=("SELECT FROM documents FOR UPDATE",))
            waiter.start()
            while not connection.exec_driver_sql(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
                " AND locktype = 'transactionid'"
            ).scalar_one():
                pass
            connection.exec_driver_sql("SELECT FROM documents WHERE uri = '/in/b' FOR UPDATE")
        waiter.join()
        other.rollback()
    _well_again(store, lease)


def test_what_cannot_be_serialised_is_tried_again(held: tuple[Store, Lease]) -> None:
    store, lease = held
    engine = store._db.engine.execution_options(isolation_level="REPEATABLE READ")
    with (
        pytest.raises(Transient, match="SerializationFailure 40001"),
        store._db.errors(),
        engine.begin() as connection,
    ):
        connection.exec_driver_sql("SELECT count(*) FROM documents").all()
        store.ledger.renew([lease], 60)
        connection.exec_driver_sql("UPDATE documents SET size = 1")
    _well_again(store, lease)


@pytest.mark.slow
def test_a_server_with_too_many_clients_is_waited_for() -> None:
    with PostgresServer() as server:
        url = server.create_database()
        with stores.open(url) as store, ExitStack() as crowd:
            lease = _held(store)
            server.execute("ALTER SYSTEM SET reserved_connections = 0")
            store.close()
            with suppress(psycopg.OperationalError):
                while True:
                    crowd.enter_context(psycopg.connect(server.url(), autocommit=True))
            _passes(store, lease, {**WRITES, **READS}, "does not answer|busy")
            with pytest.raises(Transient):  # a lane that starts now
                stores.open(url, create=False, proven=True)
            with pytest.raises(Unavailable, match="too many clients"):  # a person who may have mistyped
                stores.open(url, create=False)
            crowd.close()
            _well_again(store, lease)


@pytest.mark.slow
def test_a_server_that_recovers_from_a_crash_is_there() -> None:
    """One of its processes was killed: for a moment it lets nobody in, and whoever opens the store waits."""
    with PostgresServer() as server:
        url = server.create_database()
        stores.open(url).close()
        said: set[str] = set()
        for _ in range(20):
            with psycopg.connect(url, autocommit=True) as victim:
                os.kill(victim.info.backend_pid, signal.SIGKILL)
            for _ in range(100):
                try:
                    stores.open(url).close()
                    break
                except Transient as error:  # never Unavailable: the address is right
                    said.add(error.message)
        assert said


def test_what_a_server_refuses_for_good_stops_the_run_and_not_the_document(
    held: tuple[Store, Lease],
) -> None:
    store, lease = held
    url = store._db.url.render_as_string(False).replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("ALTER TABLE pages RENAME TO away")
        with pytest.raises(UsageError, match='relation "pages" does not exist'):
            store.results.save_page(lease, failed_page(1))
        owner.execute("ALTER TABLE away RENAME TO pages")
    _well_again(store, lease)


@pytest.mark.medium
def test_a_disk_that_fails_under_sqlite_is_waited_for(tmp_path: Path) -> None:
    """The kernel refuses to let the files grow, in a process of its own."""
    path = tmp_path / "store.db"
    with stores.open(f"sqlite:///{path}") as store:
        lease = _held(store)
        script = f"""
            import pickle, resource, sys
            from pipeline.errors import Transient
            from tests.store.test_moods import WRITES
            store, lease = pickle.load(sys.stdin.buffer)
            store.jobs.find("june")
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, {resource.RLIM_INFINITY}))
            for name in ("renew", "quarantine", "save_page", "commit", "add"):
                try:
                    WRITES[name](store, lease)
                except Transient as error:
                    print(name, error.reason, "IOERR" in error.message)
        """
        import pickle

        said = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            input=pickle.dumps((store, lease)),
            capture_output=True,
            check=True,
        ).stdout.decode()
        names = ("renew", "quarantine", "save_page", "commit", "add")
        assert said.splitlines() == [f"{name} ledger_unreachable True" for name in names]
        _well_again(store, lease)
