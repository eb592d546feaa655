"""What the ledger's SQL says that shows only beside other sessions, or in columns that nobody reads back."""

from __future__ import annotations

from threading import Thread

import psycopg
import pytest

from pipeline import store as stores
from pipeline.errors import Reason
from pipeline.records import DocumentRef, Failure
from pipeline.store import Store
from tests.store import samples
from tests.store.samples import Clock, refs
from tests.store.test_ledger import UNREACHABLE


@pytest.mark.medium
def test_an_overdue_document_that_is_locked_holds_up_nobody(postgres_url: str, clock: Clock) -> None:
    """Taking back, and mending a clock that was put back, pass it by."""
    with stores.open(postgres_url, clock=clock) as store:
        job = samples.job(store)
        store.ledger.add(job, refs("a", "b"))
        store.ledger.claim(job, "dies", 2, 60)
        clock.pass_(61)
        with store._db.write() as stuck:
            stuck.exec_driver_sql("SELECT FROM documents WHERE uri = '/in/a' FOR UPDATE")
            [lease] = store.ledger.claim(job, "w", 2, 60)
            assert (lease.uri, lease.losses) == ("/in/b", 1)
        clock.pass_(-7200)
        with store._db.write() as stuck:
            stuck.exec_driver_sql("SELECT FROM documents WHERE uri = '/in/a' FOR UPDATE")
            assert [store.ledger.claim(job, "w", 2, 60) for _ in range(2)][1][0].uri == "/in/b"


@pytest.mark.medium
@pytest.mark.parametrize("work", ["renew", "add"])
def test_rows_are_locked_in_the_order_of_their_ids(postgres_url: str, work: str) -> None:
    """However they lie in the table: else two that want the same rows may wait for each other."""
    with stores.open(postgres_url) as store, psycopg.connect(postgres_url) as other:
        job = samples.job(store)
        store.ledger.add(job, refs(*"abcdefghij"))
        first, *others = store.ledger.claim(job, "w", 10, 600)
        leases = [*reversed(others), first]
        store.ledger.renew([first], 600)  # its row lies behind the others now
        changed = [DocumentRef(lease.uri, 11, "new") for lease in leases]
        calls = {"renew": (store.ledger.renew, leases, 600), "add": (store.ledger.add, job, changed)}
        if work == "add":
            for lease in leases:
                store.ledger.release(lease)
        other.execute("SELECT FROM documents WHERE uri = '/in/a' FOR UPDATE")
        call, *arguments = calls[work]
        waiter = Thread(target=call, args=arguments)
        waiter.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while other.execute(waits).fetchone() == (0,):
            other.execute("SELECT pg_stat_clear_snapshot()")
        other.execute("SELECT FROM documents WHERE uri > '/in/a' FOR UPDATE NOWAIT")
        other.rollback()
        waiter.join()


def test_only_what_is_finished_has_a_time_at_which_it_was_finished(store: Store, clock: Clock) -> None:
    """Purging by age goes by it."""
    job = samples.job(store)
    store.ledger.add(
        job, [*refs("a", "b", "c"), DocumentRef("d", failure=Failure(Reason.manifest_line, "?"))]
    )
    store.ledger.claim(job, "dies", 1, 60)
    clock.pass_(61)
    [a] = store.ledger.claim(job, "w", 1, 600)
    store.ledger.release(a, UNREACHABLE, delay=600, attempts=2)  # two losses and tries together, one try
    b, c = store.ledger.claim(job, "w", 2, 60)
    store.ledger.release(b, UNREACHABLE, attempts=1)
    clock.pass_(61)
    store.ledger.claim(job, "w", 1, 60, max_losses=1)
    with store._db.read() as connection:
        found = dict(connection.exec_driver_sql("SELECT uri, finished_at IS NOT NULL FROM documents").all())
    assert {uri[-1]: bool(finished) for uri, finished in found.items()} == {
        "a": False, "b": True, "c": True, "d": True
    }  # fmt: skip
    assert {row.uri[-1]: row.state for row in store.results.documents(job)} == {
        "a": "pending", "b": "quarantined", "c": "quarantined", "d": "quarantined"
    }  # fmt: skip
    assert c.uri == "/in/c"


def test_who_asks_for_none_gets_none(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    store.ledger.release(
        lease, Failure(Reason.worker_lost, "gone")
    )  # a suspect comes alone, whatever the limit
    assert [store.ledger.claim(job, "w", limit, 60) for limit in (0, -1)] == [[], []]


def test_of_changed_documents_twenty_are_named(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs(*map(str, range(25))))
    again = [DocumentRef(f"/in/{number}", 11, "new") for number in range(25)]
    added = store.ledger.add(job, again, batch=15)
    assert (added.known, added.changed, len(set(added.changed_uris))) == (25, 25, 20)
    assert store.ledger.add(job, again).changed == 0


def test_a_name_that_is_too_long_for_an_index_is_cut_and_stays_its_own(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, [DocumentRef("s3://b/" + "ố" * 2000 + end) for end in "ab"])
    first, second = (row.uri for row in store.results.documents(job))
    assert first != second and first[:600] == second[:600] == "s3://b/" + "ố" * 593
    assert max(len(first.encode()), len(second.encode())) <= 2000
