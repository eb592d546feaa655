"""The store behind a real pgbouncer in transaction mode: each transaction may be another session's."""

from __future__ import annotations

from threading import Thread

import psycopg
import pytest

from pipeline import store as stores
from pipeline.errors import LeaseLost, Reason
from pipeline.records import Failure
from tests.servers.pgbouncer import Pgbouncer
from tests.store import samples
from tests.store.samples import finish, invoice, page, refs
from tests.store.test_storm import weather


@pytest.fixture
def pooled_url(postgres_url: str, pgbouncer: Pgbouncer) -> str:
    return pgbouncer.url(postgres_url.rpartition("/")[2])


@pytest.mark.medium
def test_a_job_is_worked_off_through_a_pooler(pooled_url: str) -> None:
    with stores.open(pooled_url) as store, stores.open(pooled_url) as other:
        assert store._db.pooled
        job = samples.job(store)
        assert store.ledger.add(job, refs(*map(str, range(60)))).added == 60

        def lane(own: stores.Store, name: str) -> None:
            # Often enough for the driver to prepare its statements, if it were allowed to.
            while leases := own.ledger.claim(job, name, 1, 60):
                for lease in leases:
                    own.results.save_page(lease, page(1, lease.uri))
                    own.ledger.renew([lease], 60)
                    finish(own, lease, invoice(lease.uri))

        lanes = [Thread(target=lane, args=(own, f"w{n}")) for n, own in enumerate((store, other, other))]
        for thread in lanes:
            thread.start()
        for thread in lanes:
            thread.join()
        assert store.books.verify(job).done == 60
        with store.query("SELECT count(*) FROM invoice_v1") as rows:
            assert list(rows) == [(60,)]
        assert len(list(store.results.extractions(job))) == 60
        assert store.purge(document="/in/7").documents == 1
        assert store.books.verify(job).submitted == 59


@pytest.mark.medium
def test_a_late_worker_is_refused_through_a_pooler(pooled_url: str) -> None:
    with stores.open(pooled_url) as store:
        job = samples.job(store)
        store.ledger.add(job, refs("a"))
        [late] = store.ledger.claim(job, "w1", 1, 0)
        [new] = store.ledger.claim(job, "w2", 1, 60)
        with pytest.raises(LeaseLost):
            finish(store, late)
        with pytest.raises(LeaseLost):
            store.results.save_page(late, page(1, "late"))
        assert store.ledger.quarantine(new, Failure(Reason.pdf_damaged, "bad")) == "quarantined"
        store.books.verify(job)


@pytest.mark.medium
def test_no_session_is_left_other_than_it_was(pooled_url: str, pgbouncer: Pgbouncer) -> None:
    """Others share the pooler: their transactions must not run under our settings."""
    with stores.open(pooled_url) as store:
        job = samples.job(store)
        store.ledger.add(job, refs("a"))
        finish(store, store.ledger.claim(job, "w", 1, 60)[0])
        with store.query("SELECT 1") as rows:
            list(rows)
        with store._db.write() as connection:
            inside = connection.exec_driver_sql("SHOW lock_timeout").scalar_one()
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "off"
        assert inside == "1min"
    database = pooled_url.rpartition("/")[2]
    for _ in range(4):  # whichever session is given
        with psycopg.connect(pgbouncer.url(database), autocommit=True, prepare_threshold=None) as other:
            for name, value in (("lock_timeout", "0"), ("statement_timeout", "0"), ("role", "none")):
                assert other.execute(f"SHOW {name}").fetchone() == (value,)
            assert other.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
            assert other.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (
                0,
            )


@pytest.mark.slow
def test_a_small_storm_through_a_pooler(pooled_url: str) -> None:
    with stores.open(pooled_url) as store:
        weather(store, processes=2, operations=20)
