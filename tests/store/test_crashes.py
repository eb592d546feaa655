"""A process that dies at any line, an answer that is lost, a server that goes away, a disk that is full."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from pipeline import store as stores
from pipeline.errors import Permanent, Reason, Transient, UsageError
from pipeline.records import DocumentRef, Failure
from pipeline.store import Store
from pipeline.store.database import Database
from tests.servers.postgres import PostgresServer
from tests.store import samples
from tests.store.samples import finish, invoice, page, refs


class Died(BaseException):
    """Stands for the end of the process."""


@contextmanager
def dying_at(store: Store, statement: int) -> Iterator[None]:
    """The process dies before its n-th statement, or before the end of its transaction."""
    seen = 0

    def count(*_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            raise Died

    run = Database.sql

    def counted(*arguments: Any, **values: Any) -> Any:
        count()
        return run(*arguments, **values)

    engine = store._db.engine
    Database.sql = counted  # type: ignore[method-assign]
    for name in ("before_cursor_execute", "commit"):
        event.listen(engine, name, count)
    try:
        yield
    finally:
        Database.sql = run  # type: ignore[method-assign]
        for name in ("before_cursor_execute", "commit"):
            event.remove(engine, name, count)


def _commit(store: Store, lease: stores.Lease) -> None:
    store.results.commit(lease, invoice(), [page()], sha256="ab")


def _release(store: Store, lease: stores.Lease) -> None:
    store.ledger.release(lease, Failure(Reason.worker_lost, "gone"))


def _add(store: Store, lease: stores.Lease) -> None:
    store.ledger.add(store.jobs.find("june"), refs("a", "b", "c"))


def _retry(store: Store, lease: stores.Lease) -> None:
    store.ledger.quarantine(lease, Failure(Reason.pdf_damaged, "bad"))
    store.failures.retry(store.jobs.find("june"), reason="pdf_damaged")


def _regroup(store: Store, lease: stores.Lease) -> None:
    """The document that is held and a new one turn out to be files of one."""
    store.ledger.add(store.jobs.find("june"), refs("b"))
    store.ledger.add(store.jobs.find("june"), [DocumentRef.of_parts(refs("a", "b", "c"))])


def _purge(store: Store, lease: stores.Lease) -> None:
    store.purge(document="/in/a")


@pytest.mark.medium
@pytest.mark.parametrize("work", [_commit, _release, _add, _regroup, _retry, _purge])
def test_death_at_any_statement_leaves_the_books_balanced(
    store: Store, work: Callable[[Store, stores.Lease], None]
) -> None:
    job = samples.job(store)
    for statement in range(1, 40):
        store.purge(document="/in/a")
        store.ledger.add(job, refs("a"))
        [lease] = store.ledger.claim(job, "w", 1, 60)
        try:
            with dying_at(store, statement):
                work(store, lease)
        except Died:
            balance = store.books.verify(job)
            assert balance.done == 0 or work is _commit
        else:
            assert statement > 1
            break
    else:
        pytest.fail("never got to the end")
    store.books.verify(job)


def test_a_lost_answer_is_recognised(store: Store) -> None:
    """The commit is in the database and the connection dies before it says so."""
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b"))
    lease, other = store.ledger.claim(job, "w", 2, 60)
    finish(store, other)

    def after_commit(connection: Any) -> None:
        connection.connection.commit()
        raise Died

    event.listen(store._db.engine, "commit", after_commit)
    with pytest.raises(Died):
        finish(store, lease)
    event.remove(store._db.engine, "commit", after_commit)
    assert store.books.counts(job)["done"] == 2
    finish(store, lease)
    assert len(list(store.results.extractions(job))) == 2
    store.books.verify(job)


@pytest.mark.slow
def test_a_server_that_restarts_is_a_passing_failure() -> None:
    with PostgresServer(durable=True) as server, stores.open(server.create_database()) as store:
        job = samples.job(store)
        store.ledger.add(job, refs("a", "b"))
        a, b = store.ledger.claim(job, "w", 2, 600)
        finish(store, a)
        store.ledger.add(job, refs("c"))  # waits for the disk, and all before it with it
        server.stop("immediate")
        for call in (
            lambda: finish(store, b),
            lambda: store.ledger.claim(job, "w", 1, 60),
            lambda: store.ledger.renew([b], 60),
            lambda: store.books.balance(job),
            lambda: list(store.results.extractions(job)),
        ):
            with pytest.raises(Transient) as caught:
                call()
            assert caught.value.reason == Reason.ledger_unreachable
            again = pickle.loads(pickle.dumps(caught.value))
            assert (again.reason, again.message) == (caught.value.reason, caught.value.message)
        server.start()
        with (
            pytest.raises(Transient),
            _killed(store),
        ):  # a session that is ended in the middle of a statement
            finish(store, b)
        finish(store, b)
        assert store.books.verify(job).done == 2


@contextmanager
def _killed(store: Store) -> Iterator[None]:
    def kill(connection: Any, *_: Any) -> None:
        pid = connection.connection.driver_connection.info.backend_pid
        with psycopg.connect(store._db.url.render_as_string(False).replace("+psycopg", "")) as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))

    event.listen(store._db.engine, "before_cursor_execute", kill)
    try:
        yield
    finally:
        event.remove(store._db.engine, "before_cursor_execute", kill)


def test_a_full_disk_is_a_passing_failure_that_says_so(tmp_path: Path) -> None:
    with stores.open(f"sqlite:///{tmp_path / 'full.db'}") as store:
        job = samples.job(store)
        store.ledger.add(job, refs(*(str(number) for number in range(50))))
        leases = store.ledger.claim(job, "w", 50, 600)

        def bound(raw: Any, *_: Any) -> None:
            raw.execute("PRAGMA max_page_count = 32")

        event.listen(store._db.engine, "checkout", bound)
        done = 0
        with pytest.raises(Transient, match=r"disk under sqlite:.* is full") as caught:
            for lease in leases:
                finish(store, lease)
                done += 1
        assert caught.value.reason == Reason.disk_full
        assert 0 < done < 50
        assert store.books.verify(job).done == done
        event.remove(store._db.engine, "checkout", bound)
        store.close()
        for lease in leases:
            finish(store, lease)
        assert store.books.verify(job).done == 50


def test_a_locked_database_is_a_passing_failure(tmp_path: Path) -> None:
    with (
        stores.open(f"sqlite:///{tmp_path / 'a.db'}") as one,
        stores.open(f"sqlite:///{tmp_path / 'a.db'}") as two,
    ):
        job = samples.job(one)

        def impatient(raw: Any, *_: Any) -> None:
            raw.execute("PRAGMA busy_timeout = 10")

        event.listen(two._db.engine, "checkout", impatient)
        with one._db.write(), pytest.raises(Transient, match="locked") as caught:
            two.ledger.claim(job, "w", 1, 60)
        assert caught.value.reason == Reason.ledger_busy


def test_other_errors_tell_no_values(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    doubled = invoice("secret-7")
    with pytest.raises(Permanent) as caught, store._db.write() as connection:
        connection.exec_driver_sql("INSERT INTO checks (document_id, number) VALUES (1, 'secret-7')")
    assert caught.value.reason == Reason.internal_error
    assert "secret" not in caught.value.message
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    finish(store, lease, doubled)


def test_a_store_reopens_in_another_process(url: str) -> None:
    with stores.open(url) as store:
        job = samples.job(store)
        store.ledger.add(job, refs("a"))
        with pickle.loads(pickle.dumps(store)) as again:
            assert again.jobs.find("june") == job
            assert pickle.loads(pickle.dumps(again.ledger.claim(job, "w", 1, 60)))[0].uri == "/in/a"


def test_a_store_that_is_gone_is_not_made_anew_by_another_process(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with stores.open(f"sqlite:///{path}") as store:
        sent = pickle.dumps(store)
    path.unlink()
    with pytest.raises(UsageError, match="there is no store at"):
        pickle.loads(sent)
    assert not path.exists()
