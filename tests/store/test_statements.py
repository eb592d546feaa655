"""What the ledger's SQL says that shows only beside other sessions, or in columns that nobody reads back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any

import psycopg
import pytest

from pipeline import store as stores
from pipeline.errors import Reason
from pipeline.records import DocumentRef, Failure
from pipeline.store import Store, enqueue
from tests.store import samples
from tests.store.samples import Clock, failed_page, finish, invoice, page, refs
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
@pytest.mark.parametrize("work", ["renew", "add", "purge"])
def test_rows_are_locked_in_the_order_of_their_ids(postgres_url: str, work: str) -> None:
    """However they lie in the table: else two that want the same rows may wait for each other."""
    with stores.open(postgres_url) as store, psycopg.connect(postgres_url) as other:
        job = samples.job(store)
        store.ledger.add(job, refs(*"abcdefghij"))
        first, *others = store.ledger.claim(job, "w", 10, 600)
        leases = [*reversed(others), first]
        store.ledger.renew([first], 600)  # its row lies behind the others now
        changed = [DocumentRef(lease.uri, 11, "new") for lease in leases]
        calls: dict[str, tuple[Any, ...]] = {
            "renew": (store.ledger.renew, leases, 600),
            "add": (store.ledger.add, job, changed),
            "purge": (partial(store.purge, job=job),),
        }
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


@pytest.mark.medium
def test_books_are_put_right_while_documents_are_added(postgres_url: str) -> None:
    with stores.open(postgres_url) as store, psycopg.connect(postgres_url) as other:
        job = samples.job(store)
        store.ledger.add(job, refs("a", "b"))
        with store._db.write() as adding:
            enqueue.insert(store._db, adding, job.id, map(enqueue.item, refs("c")))
            waiter = Thread(target=store.books.repair, args=(job,))
            waiter.start()
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            while other.execute(waits).fetchone() == (0,):
                other.execute("SELECT pg_stat_clear_snapshot()")
        waiter.join()
        assert store.books.verify(job).submitted == 3


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
    store.ledger.add(job, [DocumentRef("s3://bb/" + "ố" * 2000 + end) for end in "ab"])
    first, second = (row.uri for row in store.results.documents(job))
    assert first != second and first[:600] == second[:600] == "s3://bb/" + "ố" * 592
    assert max(len(first.encode()), len(second.encode())) <= 2000


def test_what_is_due_next_is_told_without_a_claim(store: Store, clock: Clock) -> None:
    job, other = samples.job(store), samples.job(store, "other")
    store.ledger.add(other, refs("alien"))
    store.ledger.add(job, refs(*"abcdef"))
    a, b, c, _ = store.ledger.claim(job, "w", 4, 60)
    store.ledger.release(a, delay=30)
    store.ledger.release(b, Failure(Reason.worker_lost, "gone"))  # it comes alone
    clock.pass_(10)
    store.ledger.release(c)
    assert store.ledger.due(job, 9) == ["/in/e", "/in/f", "/in/c"]
    assert store.ledger.due(job, 2) == ["/in/e", "/in/f"]
    clock.pass_(20)
    assert store.ledger.due(job, 9) == ["/in/e", "/in/f", "/in/c", "/in/a"]
    # Who waited longest comes first, whatever its number.
    taken = [store.ledger.claim(job, "w", 1, 60, suspects=False)[0].uri for _ in "efca"]
    assert taken == ["/in/e", "/in/f", "/in/c", "/in/a"]


def _claim(store: Store, clock: Clock) -> None:
    [_] = store.ledger.claim(store.jobs.find("june"), "dies", 1, 60)


def _renew(store: Store, clock: Clock) -> None:
    clock.pass_(-7200)
    [lease] = store.ledger.claim(store.jobs.find("june"), "dies", 1, 7260)
    clock.pass_(7200)
    assert store.ledger.renew([lease], 60) == []


def _give_back(store: Store, clock: Clock) -> None:
    [lease] = store.ledger.claim(store.jobs.find("june"), "w", 1, 60)
    store.ledger.release(lease, delay=60)


def _fail(store: Store, clock: Clock) -> None:
    [lease] = store.ledger.claim(store.jobs.find("june"), "w", 1, 60)
    store.ledger.release(lease, UNREACHABLE, delay=60)


def _lose(store: Store, clock: Clock) -> None:
    clock.pass_(-7200)
    _claim(store, clock)
    clock.pass_(7200)
    assert store.ledger.claim(store.jobs.find("june"), "w", 1, 60, suspects=False) == []


def _retry(store: Store, clock: Clock) -> None:
    [lease] = store.ledger.claim(store.jobs.find("june"), "w", 1, 60)
    store.ledger.quarantine(lease, Failure(Reason.object_changed, "it was written to"))
    assert store.failures.retry(store.jobs.find("june"), reason="object_changed") == 1


def _replace(store: Store, clock: Clock) -> None:
    [lease] = store.ledger.claim(store.jobs.find("june"), "w", 1, 60)
    store.ledger.quarantine(lease, Failure(Reason.object_changed, "it was written to"))
    store.ledger.add(store.jobs.find("june"), [DocumentRef("/in/a", 11, "new")])


@pytest.mark.parametrize("schedule", [_claim, _renew, _give_back, _fail, _lose, _retry, _replace])
def test_a_clock_that_is_put_back_holds_up_nothing_however_it_was_scheduled(
    store: Store, clock: Clock, schedule: Callable[[Store, Clock], None]
) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    clock.pass_(7200)
    schedule(store, clock)
    clock.pass_(-3600)  # an hour after it was listed
    taken = [lease.uri for _ in range(4) for lease in store.ledger.claim(job, "w", 1, 60)]
    assert taken == ["/in/a"]


def test_a_lost_worker_is_what_is_told_of_a_document_whatever_it_failed_for_before(
    store: Store, clock: Clock
) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    store.ledger.release(lease, Failure(Reason.store_unreachable, "503", 2, False, "Traceback …"))
    for _ in range(5):
        assert len(store.ledger.claim(job, "w", 1, 60)) == 1
        clock.pass_(60)  # to the second: it is over
    assert store.ledger.claim(job, "w", 1, 60) == []
    [item] = store.failures.each(job)
    told = "lost its worker 5 times, the last was w"
    assert item.failure == Failure(Reason.worker_lost, told, retryable=True) and item.losses == 5


@pytest.mark.parametrize("reason", [Reason.worker_lost, Reason.out_of_memory, Reason.store_unreachable])
def test_three_tries_are_enough_and_those_that_harm_their_lane_are_made_alone(
    store: Store, reason: Reason
) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    states = []
    for _ in range(3):
        [lease] = store.ledger.claim(job, "w", 9, 60)
        assert lease.suspect == (bool(states) and reason != Reason.store_unreachable)
        states.append(store.ledger.release(lease, Failure(reason, "again")))
    assert states == ["pending", "pending", "quarantined"]


def test_what_is_known_of_a_file_stays_known_when_it_is_given_up_later(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    store.results.commit(
        lease, invoice(pages=2, state="partial"), [page(1), failed_page(2)], sha256="ab", etag="fetched"
    )
    store.failures.retry(job, document="/in/a")
    [lease] = store.ledger.claim(job, "w", 1, 60)
    why = Failure(Reason.pdf_damaged, "no xref", 3, False, "Traceback …")
    store.ledger.quarantine(lease, why)
    [row] = store.results.documents(job)
    assert (row.sha256, row.etag, row.reason) == ("ab", None, "pdf_damaged")  # the try took what was there
    [item] = store.failures.each(job)
    assert item.failure == why
    store.failures.retry(job, document="/in/a")
    [lease] = store.ledger.claim(job, "w", 1, 60)
    store.ledger.quarantine(lease, why, sha256="cd")
    assert next(store.results.documents(job)).sha256 == "cd"


def test_how_long_to_wait_is_never_less_than_nothing(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b"))
    clock.pass_(100)
    assert store.ledger.next_due(job) == 0.0
    a, b = store.ledger.claim(job, "w", 2, 60)
    assert store.ledger.next_due(job) == pytest.approx(60), "until a lease is over"
    finish(store, a)
    finish(store, b)
    assert store.ledger.next_due(job) is None and store.ledger.now() == clock.now
