"""What is done a batch at a time is done with each document once, also at the edges of batches."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from pipeline.errors import Reason
from pipeline.records import Decision, Failure
from pipeline.store import Job, Store
from tests.store import samples
from tests.store.samples import finish, invoice, refs

pytestmark = pytest.mark.medium
NAMES = "abcdefg"


@pytest.fixture(autouse=True, params=[3, 7])
def batch(request: pytest.FixtureRequest, store: Store, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many documents any part of the store takes in one go."""
    _ = store.failures, store.purge, store.diff, store.books, store.decisions  # these load their modules
    for name, module in list(sys.modules.items()):
        if name.startswith("pipeline.store.") and hasattr(module, "_BATCH"):
            monkeypatch.setattr(module, "_BATCH", request.param)
    size: int = request.param
    return size


def read(store: Store, name: str = "june", total: str = "1", **changes: Any) -> Job:
    job = samples.job(store, name, **changes)
    store.ledger.add(job, refs(*NAMES))
    for lease in store.ledger.claim(job, "w", 9, 60):
        finish(store, lease, invoice(total=total), sha256=lease.uri)
    return job


def test_failures_are_listed_and_tried_again(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs(*NAMES))
    for lease in store.ledger.claim(job, "w", 9, 60):
        store.ledger.quarantine(lease, Failure(Reason.pdf_damaged, "no"))
    assert [each.uri for each in store.failures.each(job)] == [f"/in/{name}" for name in NAMES]
    assert store.failures.retry(job, reason="pdf_damaged") == len(NAMES)
    assert len(store.ledger.claim(job, "w", 9, 60)) == len(NAMES)


def test_failed_pages_are_listed_each_once(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs(*NAMES))
    for lease in store.ledger.claim(job, "w", 9, 60):
        pages = [samples.page(1, lease.uri), *(samples.failed_page(number) for number in (2, 3))]
        store.results.commit(lease, invoice(pages=3, state="partial"), pages, sha256=lease.uri)
    expected = [(f"/in/{name}", number) for name in NAMES for number in (2, 3)]
    assert [(each.uri, each.failure.page) for each in store.failures.each(job)] == expected


def test_results_are_handed_out_and_compared(store: Store) -> None:
    june, july = read(store), read(store, "july", "2", checkpoint="d" * 64)
    uris = [f"/in/{name}" for name in NAMES]
    assert [item.uri for item in store.results.extractions(june)] == uris
    assert [(change.uri, change.path) for change in store.diff(june, july)] == [
        (uri, "total") for uri in uris
    ]
    with store.query("SELECT document_uri FROM invoice_v1 WHERE job = 'june' ORDER BY 1") as rows:
        assert [uri for (uri,) in rows] == uris
    keys = [f"/in/{name}-1" for name in NAMES]
    assert list(store.results.known_pages(iter(keys))) == keys


def test_lost_results_are_put_right(store: Store) -> None:
    job = read(store)
    with store._db.write() as connection:
        connection.exec_driver_sql("DELETE FROM extractions")
    told = f"{len(NAMES)} documents that lacked their result or a page of it are pending again"
    assert [step.message for step in store.books.repair(job)] == [told]
    store.books.verify(job)
    for lease in store.ledger.claim(job, "w", 9, 60):
        finish(store, lease)
    with store._db.write() as connection:
        connection.exec_driver_sql("UPDATE documents SET state = 'pending'")
    told = f"{len(NAMES)} results of documents that are not finished were removed"
    assert [step.message for step in store.books.repair(job)] == [told]


def test_decisions_are_taken_back(store: Store) -> None:
    job = read(store)
    made = [
        id
        for name in NAMES
        for id in store.decisions.add(job, f"/in/{name}", [Decision("total", "accept", "an")])
    ]
    assert store.decisions.undo(made, "bình") == len(NAMES)
    assert all(not item.decisions for item in store.results.extractions(job))


def test_documents_are_purged(store: Store) -> None:
    june, july = read(store), read(store, "july", checkpoint="d" * 64)
    assert store.purge(job=june, dry_run=True).documents == len(NAMES)
    assert store.purge(job=june).documents == len(NAMES)
    assert store.books.verify(june).submitted == 0
    assert store.books.verify(july).submitted == len(NAMES)
