"""The store behind a real pgbouncer in transaction mode: each transaction may be another session's."""

from __future__ import annotations

from threading import Thread

import psycopg
import pytest

from pipeline import store
from pipeline.errors import LeaseLost, Reason
from pipeline.records import Failure
from tests.servers.pgbouncer import Pgbouncer
from tests.store import samples
from tests.store.samples import finish, invoice, page, refs
from tests.store.test_storm import _SPAWN, storm


@pytest.fixture
def pooled_url(postgres_url: str, pgbouncer: Pgbouncer) -> str:
    return pgbouncer.url(postgres_url.rpartition("/")[2])


def test_a_job_is_worked_off_through_a_pooler(pooled_url: str) -> None:
    with store.open(pooled_url) as ledger, store.open(pooled_url) as other:
        assert ledger._db.pooled
        job = samples.job(ledger)
        assert ledger.add_documents(job, refs(*map(str, range(60)))).added == 60

        def lane(own: store.Store, name: str) -> None:
            # Often enough for the driver to prepare its statements, if it were allowed to.
            while leases := own.claim(job, name, 1, 60):
                for lease in leases:
                    own.save_page(lease, page(1, lease.uri))
                    own.renew([lease], 60)
                    finish(own, lease, invoice(lease.uri))

        lanes = [Thread(target=lane, args=(own, f"w{n}")) for n, own in enumerate((ledger, other, other))]
        for thread in lanes:
            thread.start()
        for thread in lanes:
            thread.join()
        assert ledger.verify(job).done == 60
        with ledger.query("SELECT count(*) FROM invoice_v1") as rows:
            assert list(rows) == [(60,)]
        assert len(list(ledger.extractions(job))) == 60
        assert ledger.purge(document="/in/7").documents == 1
        assert ledger.verify(job).submitted == 59


def test_a_late_worker_is_refused_through_a_pooler(pooled_url: str) -> None:
    with store.open(pooled_url) as ledger:
        job = samples.job(ledger)
        ledger.add_documents(job, refs("a"))
        [late] = ledger.claim(job, "w1", 1, 0)
        [new] = ledger.claim(job, "w2", 1, 60)
        with pytest.raises(LeaseLost):
            finish(ledger, late)
        with pytest.raises(LeaseLost):
            ledger.save_page(late, page(1, "late"))
        assert ledger.quarantine(new, Failure(Reason.pdf_damaged, "bad")) == "quarantined"
        ledger.verify(job)


def test_no_session_is_left_other_than_it_was(pooled_url: str, pgbouncer: Pgbouncer) -> None:
    """Others share the pooler: their transactions must not run under our settings."""
    with store.open(pooled_url) as ledger:
        job = samples.job(ledger)
        ledger.add_documents(job, refs("a"))
        finish(ledger, ledger.claim(job, "w", 1, 60)[0])
        with ledger.query("SELECT 1") as rows:
            list(rows)
        with ledger._db.write() as connection:
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
    with store.open(pooled_url) as ledger:
        jobs = [samples.job(ledger, name) for name in ("june", "july")]
        together = _SPAWN.Barrier(2)
        processes = [_SPAWN.Process(target=storm, args=(ledger, seed, 20, together)) for seed in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(240)
            assert process.exitcode == 0
        for job in jobs:
            ledger.verify(job)
