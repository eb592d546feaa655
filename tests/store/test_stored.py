"""What was found is handed out again: documents, their results, and what their pages were read with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.errors import Permanent, Reason
from pipeline.records import Failure
from pipeline.store import Job, Store, stored
from tests.store import samples
from tests.store.samples import failed_page, finish, invoice, page, refs


def read(store: Store, job: Job, numerics: dict[str, str | None]) -> None:
    """A document of one page each, read with these."""
    store.ledger.add(job, refs(*numerics))
    for lease in store.ledger.claim(job, "w", 99, 60):
        one = replace(page(1, lease.uri), numerics=numerics[lease.uri.removeprefix("/in/")])
        store.results.commit(lease, invoice(), [one], sha256=lease.uri)


def test_what_pages_were_read_with(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    june = samples.job(store, "june")
    july, other = samples.job(store, "july"), samples.job(store, "other", checkpoint="d" * 64)
    read(store, june, {"a": "gpu", "b": "cpu", "c": "cpu", "d": None, "e": "tpu", "f": "gpu", "g": "gpu"})
    read(store, july, {"x": "npu", "y": "cpu"})
    read(store, other, {"z": "other"})
    store.ledger.add(june, refs("waits"))
    [lease] = store.ledger.claim(june, "w", 1, 60)
    store.results.save_page(lease, replace(page(1, "w"), numerics="unfinished"))
    assert store.results.numerics(june) == ("gpu", "cpu", "tpu", "unfinished")
    assert sorted(store.results.some_numerics(june)) == ["cpu", "gpu", "tpu", "unfinished"]
    assert store.results.numerics_of("c" * 64) == ("cpu", "npu", "gpu", "tpu"), "of the newest job first"
    assert store.results.numerics_of("d" * 64) == ("other",) and store.results.numerics_of("e" * 64) == ()
    monkeypatch.setattr(stored, "_SOME", 1)
    assert len(store.results.some_numerics(june)) == 1


def test_documents_and_results_come_in_the_order_they_were_added_and_of_their_job(store: Store) -> None:
    june, july = samples.job(store, "june"), samples.job(store, "july")
    for name in "dcba":  # the two jobs' rows lie between each other
        store.ledger.add(june, refs(name))
        store.ledger.add(july, refs(name))
    leases = {lease.uri[-1]: lease for lease in store.ledger.claim(june, "w", 9, 60)}
    for name in "acd":
        finish(store, leases[name], invoice(name), sha256=name)
    store.ledger.quarantine(leases["b"], Failure(Reason.pdf_damaged, "no"))
    assert [row.uri[-1] for row in store.results.documents(june)] == list("dcba")
    assert [row.uri[-1] for row in store.results.finished(june)] == list("dca")
    assert [(one.uri[-1], one.extraction.record["number"]) for one in store.results.extractions(june)] == [
        ("d", "d"), ("c", "c"), ("a", "a")
    ]  # fmt: skip
    assert list(store.results.extractions(july)) == list(store.results.finished(july)) == []
    assert list(store.results.documents(samples.job(store, "empty"))) == []
    found = store.results.extraction(june, "/in/c")
    assert found is not None and (found.id, found.sha256) == (leases["c"].document_id, "c")
    for job, uri in ((june, "/in/b"), (june, "/in/z"), (july, "/in/c")):
        assert store.results.extraction(job, uri) is None
    assert [one.key for one in store.results.pages(june, "/in/c")] == ["/in/c-1"]
    assert store.results.pages(july, "/in/c") == store.results.pages(june, "/in/b") == []


def test_a_page_that_failed_is_kept_and_never_taken_for_a_known_one(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    store.results.save_page(lease, failed_page(2))
    store.results.save_page(lease, page(1))
    assert [one.page for one in store.results.pages(job, "/in/a")] == [1, 2]
    assert list(store.results.known_pages(["key-2", "key-1"])) == ["key-1"]
    # Read again, and this time well: the newer row stands.
    store.results.save_page(lease, page(2))
    assert store.results.known_pages(["key-2"]) == {"key-2": page(2)}
    store.results.commit(lease, invoice(pages=2), [page(1), page(2)], sha256="ab")
    assert store.results.pages(job, "/in/a") == [page(1), page(2)]


def test_another_result_takes_the_place_of_one_that_is_as_it_was(store: Store) -> None:
    june, july = samples.job(store, "june"), samples.job(store, "july")
    for job in (june, july):
        store.ledger.add(job, refs("a", "b"))
        for lease in store.ledger.claim(job, "w", 2, 60):
            finish(store, lease, invoice("1"), sha256=lease.uri)
    [row, _] = store.results.finished(june)
    better = invoice("2", state="review")
    for changed in (
        replace(row, sha256="other"), replace(row, state="review"), replace(row, uri="/in/c")
    ):  # fmt: skip
        assert store.results.replace(june, changed, better) is None
    assert store.results.replace(june, row, better) == "review"
    found = [
        (one.extraction.record["number"], one.extraction.state)
        for job in (june, july)
        for one in store.results.extractions(job)
    ]
    assert found == [("2", "review"), ("1", "done"), ("1", "done"), ("1", "done")]
    wrong = replace(better, record=better.record | {"total": "no number"})
    [row, _] = store.results.finished(june)
    with pytest.raises(Permanent, match="field total"):
        store.results.replace(june, row, wrong)
    assert store.books.verify(june).review == 1
