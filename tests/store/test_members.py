"""Documents within a document are added to the job with its end: once, and not where the lease is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline import store as stores
from pipeline.errors import LeaseLost, Reason
from pipeline.records import Decision, DocumentRef, Failure, Part
from pipeline.store import Job, Result, Store
from pipeline.store.failures import reopen
from tests.store import samples
from tests.store.samples import Clock, invoice, page

WHY = Failure(Reason.pdf_damaged, "its page cannot be drawn")


def held(uri: str, etag: str = "1") -> list[DocumentRef]:
    """Two documents, one of two files."""
    a, b, c = (DocumentRef(f"{uri}!/{name}", etag=etag) for name in ("a.png", "b.pdf", "b.xml"))
    return [a, DocumentRef.of_parts([b, c], "of one name")]


def portfolio(store: Store, *, lease_seconds: float = 600) -> tuple[Job, stores.Lease]:
    job = samples.job(store)
    store.ledger.add(job, samples.refs("p.pdf"))
    [lease] = store.ledger.claim(job, "w", 1, lease_seconds)
    return job, lease


def names(store: Store, job: Job) -> dict[str, str]:
    return {row.uri.removeprefix("/in/p.pdf"): row.state for row in store.results.documents(job)}


@pytest.mark.medium
def test_members_come_with_the_result_once_whoever_commits_again(store: Store) -> None:
    job, lease = portfolio(store)
    one = Result(lease, invoice(), [page()], "ab", members=held(lease.uri))
    with ThreadPoolExecutor(2) as lanes:  # the same answer, offered twice at once
        ended = list(lanes.map(lambda _: store.results.commit_group([one, one]), range(2)))
    assert ended == [["done", "done"]] * 2
    assert names(store, job) == {"": "done", "!/a.png": "pending", "!/b.pdf": "pending"}
    assert store.books.verify(job).submitted == 3
    _, two = sorted(store.ledger.claim(job, "w", 9, 600), key=lambda lease: lease.uri)
    assert [part.uri for part in two.parts] == ["/in/p.pdf!/b.pdf", "/in/p.pdf!/b.xml"]


@pytest.mark.medium
def test_a_lost_lease_adds_none(store: Store, clock: Clock) -> None:
    job, late = portfolio(store, lease_seconds=10)
    clock.pass_(20)
    [lease] = store.ledger.claim(job, "other", 1, 600)
    members = held(late.uri)
    with pytest.raises(LeaseLost):
        store.results.commit(late, invoice(), [page()], sha256="ab", members=members)
    for end in (store.ledger.quarantine, store.ledger.release):
        with pytest.raises(LeaseLost):
            end(late, WHY, members=members)
    assert names(store, job) == {"": "leased"}
    store.results.commit(lease, invoice(), [page()], sha256="ab", members=members)
    assert store.books.verify(job).submitted == 3


@pytest.mark.medium
def test_members_come_whatever_becomes_of_the_page_before_them(store: Store) -> None:
    job, lease = portfolio(store)
    assert store.ledger.release(lease, WHY, members=held(lease.uri)) == "pending"
    assert store.books.verify(job).submitted == 3
    [lease, *_] = store.ledger.claim(job, "w", 9, 600)
    assert store.ledger.quarantine(lease, WHY, members=held(lease.uri)) == "quarantined"
    assert names(store, job)[""] == "quarantined" and store.books.verify(job).submitted == 3


@pytest.mark.medium
def test_read_again_it_takes_up_what_was_given_up_at_an_older_version(store: Store) -> None:
    job, lease = portfolio(store)
    store.results.commit(lease, invoice(), [page()], sha256="ab", members=held(lease.uri))
    a, b = sorted(store.ledger.claim(job, "w", 9, 600), key=lambda lease: lease.uri)
    store.ledger.quarantine(a, WHY)
    parts = [Part(part.uri, "cd", "1") for part in b.parts]
    store.results.commit(b, invoice(pages=2), [page(1), page(2, key="x")], sha256="cd", parts=parts)
    store.decisions.add(job, lease.uri, [Decision("total", "not_on_page", "lan")])
    with store._db.write() as connection:
        reopen(store._db, connection, [lease.document_id])
    [again] = store.ledger.claim(job, "w", 9, 600)
    store.results.commit(again, invoice(), [page()], sha256="ef", members=held(lease.uri, "2"))
    assert names(store, job) == {"": "review", "!/a.png": "pending", "!/b.pdf": "done"}
    [a] = store.ledger.claim(job, "w", 9, 600)
    assert a.etag == "2" and store.books.verify(job).submitted == 3
    assert store.purge(document="/in/p.pdf").documents == 3
