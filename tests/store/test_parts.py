"""The ledger knows the files of a document: listed, come later, changed, tried again, removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.errors import Reason, Unbalanced
from pipeline.records import DocumentRef, Failure, Part
from pipeline.store import Lease, Store
from tests.store import samples
from tests.store.samples import failed_page, finish, invoice, page, refs

MISSING = Failure(Reason.object_missing, "it is not there")


def card(*names: str, etag: str = "etag", missing: str = "") -> DocumentRef:
    """A document of these files, of which one may be known to be missing."""
    return DocumentRef.of_parts(
        [
            DocumentRef(f"/in/{name}", failure=MISSING)
            if name == missing
            else DocumentRef(f"/in/{name}", 10, f"{etag}-{name}")
            for name in names
        ],
        "group 1 of the list",
    )


def read(store: Store, lease: Lease, *failed: str) -> None:
    """A document of which each file has one page, and those that are named none."""
    parts = [
        Part(ref.uri, failure=ref.failure or MISSING)
        if ref.uri.removeprefix("/in/") in failed
        else Part(ref.uri, f"sha-{ref.uri}", ref.etag, 10)
        for ref in lease.parts
    ]
    results = [
        failed_page(number) if part.failure else page(number, f"{part.sha256}-1")
        for number, part in enumerate(parts, 1)
    ]
    result = invoice(pages=len(parts), state="partial" if failed else "done")
    store.results.commit(lease, result, results, sha256=parts[0].sha256, etag=parts[0].etag, parts=parts)


def test_several_files_are_one_row_and_its_parts_are_kept_beside_it(store: Store) -> None:
    job = samples.job(store)
    added = store.ledger.add(job, [card("front", "back"), *refs("single")])
    assert (added.added, added.known) == (2, 0)
    lease, single = store.ledger.claim(job, "w", 5, 60)
    assert (lease.uri, lease.size, [part.uri for part in lease.parts]) == (
        "/in/front", 20, ["/in/front", "/in/back"]
    )  # fmt: skip
    assert lease.parts[1] == DocumentRef("/in/back", 10, "etag-back") and single.parts == ()
    read(store, lease)
    finish(store, single)
    row, other = store.results.documents(job)
    assert (row.uri, row.state, row.pages, row.sha256) == ("/in/front", "done", 2, "sha-/in/front")
    assert row.parts == (
        Part("/in/front", "sha-/in/front", "etag-front", 10),
        Part("/in/back", "sha-/in/back", "etag-back", 10),
    )
    assert other.parts == ()
    stored, _ = store.results.extractions(job)
    assert stored.parts == row.parts
    assert store.ledger.add(job, [card("front", "back"), *refs("single")]).known == 2
    assert store.books.verify(job).done == 2


def test_a_file_of_a_document_is_no_document_of_its_own(store: Store) -> None:
    """However the listings come: it would be counted twice."""
    job = samples.job(store)
    store.ledger.add(job, [card("a1", "a2"), *refs("a2", "b1", "b2"), card("b1", "b2")])
    assert [row.uri for row in store.results.documents(job)] == ["/in/a1", "/in/b1"]
    assert [len(row.parts) for row in store.results.documents(job)] == [2, 2]
    store.ledger.add(job, refs("b2", "a1", "a2"))
    assert store.books.verify(job).submitted == 2


def test_documents_that_turn_out_to_be_one_keep_their_pages(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("front", "back", "beside"))
    for lease in store.ledger.claim(job, "w", 5, 60):
        finish(store, lease)
    added = store.ledger.add(job, [card("front", "back")])
    assert (added.added, added.reopened, added.changed_uris) == (0, 1, ("/in/front",))
    assert {row.uri: row.state for row in store.results.documents(job)} == {
        "/in/front": "pending", "/in/beside": "done"
    }  # fmt: skip
    assert {*store.results.known_pages(["/in/front-1", "/in/back-1"])} == {"/in/front-1", "/in/back-1"}
    [lease] = store.ledger.claim(job, "w", 5, 60)
    assert len(lease.parts) == 2
    read(store, lease)
    assert [found.key for found in store.results.pages(job, "/in/front")] == [
        "sha-/in/front-1", "sha-/in/back-1"
    ]  # fmt: skip
    assert store.books.verify(job).submitted == 2


def test_a_file_that_comes_later_opens_the_document_again(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a.xml"))
    [lease] = store.ledger.claim(job, "w", 5, 60)
    finish(store, lease)
    store.ledger.add(job, [card("a.pdf", "a.xml")])
    [row] = store.results.documents(job)
    assert (row.uri, row.state) == ("/in/a.pdf", "pending")
    [lease] = store.ledger.claim(job, "w", 5, 60)
    store.ledger.add(job, [card("a.pdf", "a.xml", "a.jpg")])  # while it is being read
    assert store.ledger.renew([lease], 60) == [lease]  # what is read of it now is not kept
    [again] = store.ledger.claim(job, "w", 5, 60)
    assert [part.uri for part in again.parts] == ["/in/a.pdf", "/in/a.xml", "/in/a.jpg"]
    read(store, again)
    assert store.ledger.add(job, [card("a.pdf", "a.xml")]).changed == 0  # nothing is taken away
    assert store.books.verify(job).done == 1


def test_a_missing_file_is_never_fetched_until_it_is_listed(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, [card("front", "back", missing="back")])
    [lease] = store.ledger.claim(job, "w", 5, 60)
    assert lease.parts[1].failure == MISSING
    read(store, lease, "back")
    [row] = store.results.documents(job)
    assert row.state == "partial" and row.parts[1].failure == MISSING
    assert store.ledger.add(job, [card("front", "back", missing="back")]).changed == 0
    store.failures.retry(job, document="/in/back")
    [lease] = store.ledger.claim(job, "w", 5, 60)
    assert lease.parts[1].failure == MISSING
    read(store, lease, "back")
    added = store.ledger.add(job, [card("front", "back")])
    assert (added.changed, added.reopened) == (1, 1)
    [lease] = store.ledger.claim(job, "w", 5, 60)
    assert [part.failure for part in lease.parts] == [None, None]
    assert lease.parts[1].etag == "etag-back"
    read(store, lease)
    assert store.books.verify(job).done == 1


def test_other_bytes_of_a_file_are_what_a_replaced_document_is(store: Store) -> None:
    job = samples.job(store)
    cards = [("a1", "a2"), ("b1", "b2"), ("c1", "c2"), ("d1", "d2")]
    store.ledger.add(job, [card(*names) for names in cards])
    a, b, c = store.ledger.claim(job, "w", 3, 60)
    read(store, a)
    read(store, b, "b2")
    store.ledger.quarantine(c, Failure(Reason.object_changed, "it was written to"))
    added = store.ledger.add(job, [card(*names, etag="new") for names in cards])
    assert (added.changed, added.reopened) == (4, 1)  # b lacked a file
    assert {row.uri: row.state for row in store.results.documents(job)} == {
        "/in/a1": "done", "/in/b1": "pending", "/in/c1": "pending", "/in/d1": "pending"
    }  # fmt: skip
    for lease in store.ledger.claim(job, "w", 5, 60):
        assert lease.parts[1].etag == f"new-{lease.uri[4]}2"
        read(store, lease)
    store.books.verify(job)


@pytest.mark.medium
def test_a_file_stays_in_the_document_that_has_it(store: Store) -> None:
    job = samples.job(store)
    contradictory = [card("a1", "a2"), card("b1", "a2"), card("c1", "c2"), card("c2", "c3", "a1")]
    store.ledger.add(job, contradictory)
    assert store.ledger.add(job, contradictory).changed == 0
    told = {
        row.uri: {part.uri: part.failure and part.failure.message for part in row.parts}
        for row in store.results.documents(job)
    }
    assert told == {
        "/in/a1": {"/in/a1": None, "/in/a2": None},
        "/in/b1": {"/in/b1": None, "/in/a2": "/in/a2 is a part of the document /in/a1 already"},
        "/in/c1": {"/in/c1": None, "/in/c2": None},
        "/in/c3": {
            "/in/c2": "/in/c2 is a part of the document /in/c1 already",
            "/in/c3": None,
            "/in/a1": "/in/a1 is a part of the document /in/a1 already",
        },
    }
    for lease in store.ledger.claim(job, "w", 5, 60):
        read(store, lease, *(part.uri.removeprefix("/in/") for part in lease.parts if part.failure))
    assert store.books.verify(job).partial == 2


def test_a_document_of_which_nothing_can_be_had_is_quarantined_at_once(store: Store) -> None:
    job = samples.job(store)
    broken = DocumentRef.of_parts([DocumentRef(name, failure=MISSING) for name in ("/in/a", "/in/b")])
    assert store.ledger.add(job, [broken]).failed == 1
    [row] = store.results.documents(job)
    assert (row.state, row.reason) == ("quarantined", "object_missing")


@pytest.mark.medium
def test_any_file_names_its_document_when_it_is_removed_or_tried_again(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, [card("front", "back", missing="back"), card("other1", "other2"), *refs("copy")])
    first, other, copy = store.ledger.claim(job, "w", 5, 60)
    read(store, first, "back")
    read(store, other)
    finish(store, copy, sha256="sha-/in/other2")
    assert store.failures.retry(job, document="/in/back") == 1
    assert store.purge(document="/in/other2", dry_run=True).documents == 1
    removed = store.purge(document="/in/other2")
    assert (removed.documents, removed.parts, removed.copies) == (1, 2, ("/in/copy",))
    assert [row.uri for row in store.results.documents(job)] == ["/in/front", "/in/copy"]
    assert store.purge(subject="back", dry_run=True).documents == 1
    assert store.books.verify(job).submitted == 2


def test_an_export_and_the_failures_name_the_files(store: Store, tmp_path: Path) -> None:
    job = samples.job(store)
    store.ledger.add(job, [card("front", "back", missing="back"), *refs("single")])
    lease, single = store.ledger.claim(job, "w", 5, 60)
    read(store, lease, "back")
    finish(store, single)
    store.export(job, tmp_path / "out.jsonl")
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text("utf-8").splitlines())
    assert first["parts"] == [
        {"uri": "/in/front", "pages": 1, "sha256": "sha-/in/front"},
        {"uri": "/in/back", "pages": 1, "sha256": None},
    ]
    assert "parts" not in second
    [item] = store.failures.each(job)
    assert (item.uri, item.failure.page) == ("/in/front", 2)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DELETE FROM parts WHERE uri = '/in/back'", "/in/front: has 1 part rows"),
        ("UPDATE parts SET pages = 3 WHERE uri = '/in/back'", "/in/front: has 4 pages in its parts"),
    ],
)
def test_parts_that_do_not_add_up_are_named_and_put_right(store: Store, damage: str, told: str) -> None:
    job = samples.job(store)
    listing = [card("front", "back"), *refs("single")]
    store.ledger.add(job, listing)
    lease, single = store.ledger.claim(job, "w", 5, 60)
    read(store, lease)
    finish(store, single)
    store.books.verify(job)
    with store._db.write() as connection:
        connection.exec_driver_sql(damage)
    with pytest.raises(Unbalanced) as caught:
        store.books.verify(job)
    assert told in caught.value.message
    assert {one.kind for one in store.books.balance(job).differences} == {"part_rows"}
    store.books.repair(job)
    store.ledger.add(job, listing)  # the same command again
    for again in store.ledger.claim(job, "w", 5, 60):
        read(store, again)
    assert store.books.verify(job).done == 2


def test_another_jobs_files_are_its_own(store: Store) -> None:
    """The same names in two jobs: what is listed of one says nothing of the other."""
    june, july = samples.job(store, "june"), samples.job(store, "july", checkpoint="d" * 64)
    store.ledger.add(july, [card("a1", "a2"), card("b1", "b2", missing="b2"), *refs("c1", "c2")])
    for lease in store.ledger.claim(july, "w", 9, 60):
        if lease.uri == "/in/b1":
            read(store, lease, "b2")
        elif lease.parts:
            read(store, lease)
        else:
            finish(store, lease)
    before = list(store.results.documents(july))
    assert store.ledger.add(june, refs("a2", "b1", "b2")).added == 3
    assert store.ledger.add(june, [card("b1", "b2"), card("c1", "c2")]).added == 1
    store.ledger.add(june, [card("a1", "a2"), card("c1", "c2", etag="new")])
    assert {row.uri: len(row.parts) for row in store.results.documents(june)} == {
        "/in/a1": 2, "/in/b1": 2, "/in/c1": 2
    }  # fmt: skip
    assert store.books.verify(june).submitted == 3
    for lease in store.ledger.claim(june, "w", 9, 60):
        read(store, lease, *(part.uri.removeprefix("/in/") for part in lease.parts[:1]))
    assert list(store.results.documents(july)) == before and store.books.verify(july).submitted == 4


def test_what_is_listed_of_a_file_is_what_is_fetched(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, [card("a1", "a2"), *refs("b")])
    [row, _] = store.results.documents(job)
    assert row.parts == (Part("/in/a1", None, "etag-a1", 10), Part("/in/a2", None, "etag-a2", 10))
    newer = [DocumentRef("/in/a1", 10, "etag-a1"), DocumentRef("/in/a2", 77, "new")]
    unknown = DocumentRef.of_parts([DocumentRef("/in/a1", 5, None), DocumentRef("/in/a2", 5, None)], "x")
    assert store.ledger.add(job, [unknown, DocumentRef("/in/b", 5, None)]).changed == 0
    added = store.ledger.add(job, [DocumentRef.of_parts(newer, "x"), DocumentRef("/in/b", 78, "new")])
    assert (added.changed, added.changed_uris, added.reopened) == (2, ("/in/a1", "/in/b"), 0)
    a, b = store.ledger.claim(job, "w", 9, 60)
    assert a.parts == tuple(newer) and (b.size, b.etag) == (78, "new")
    # What somebody works on, or has ended, takes nothing on; it is told.
    newest = DocumentRef.of_parts([newer[0], DocumentRef("/in/a2", 79, "newest")], "x")
    assert store.ledger.add(job, [newest, DocumentRef("/in/b", 79, "newest")]).changed == 2
    store.ledger.release(a)
    store.ledger.release(b)
    a, b = store.ledger.claim(job, "w", 9, 60)
    assert a.parts == tuple(newer) and (b.size, b.etag) == (78, "new")


def test_another_try_takes_the_files_as_they_are_now(store: Store) -> None:
    """A list may have no etags: what was fetched once must not bar for ever what has been mended since."""
    job = samples.job(store)
    unpinned = DocumentRef.of_parts([DocumentRef("/in/a"), DocumentRef("/in/b")], "group 1 of the list")
    store.ledger.add(job, [unpinned, DocumentRef("/in/c")])
    first, single = store.ledger.claim(job, "w", 9, 60)
    parts = [Part(f"/in/{name}", f"sha-{name}", f"old-{name}", 10) for name in "ab"]
    results = [page(1), failed_page(2)]
    store.results.commit(
        first, invoice(pages=2, state="partial"), results, sha256="s", etag="old-a", parts=parts
    )
    results = [failed_page(1)]
    store.results.commit(single, invoice(pages=1, state="partial"), results, sha256="s", etag="old-c")
    assert [failed.files for failed in store.failures.each(job)] == [("/in/a", "/in/b"), ("/in/c",)]
    for name in "bc":
        store.failures.retry(job, document=f"/in/{name}")
    assert store.ledger.add(job, [unpinned, DocumentRef("/in/c")]).changed == 0
    again, single = store.ledger.claim(job, "w", 9, 60)
    assert [part.etag for part in again.parts] == [None, None] and single.etag is None


def test_another_try_is_held_to_the_file_that_is_listed_next(store: Store) -> None:
    """So one that is given up then is read again when it has been replaced, as ever."""
    job = samples.job(store)
    store.ledger.add(job, [DocumentRef("/in/c", 10, "1")])
    [lease] = store.ledger.claim(job, "w", 9, 60)
    results = [failed_page(1)]
    store.results.commit(lease, invoice(pages=1, state="partial"), results, sha256="s", etag="1")
    store.failures.retry(job, document="/in/c")
    assert store.ledger.add(job, [DocumentRef("/in/c", 10, "2")]).changed == 0
    [lease] = store.ledger.claim(job, "w", 9, 60)
    assert lease.etag == "2"
    store.ledger.quarantine(lease, Failure(Reason.pdf_damaged, "no xref"))
    assert store.ledger.add(job, [DocumentRef("/in/c", 10, "2")]).changed == 0
    assert store.ledger.claim(job, "w", 9, 60) == []
    assert store.ledger.add(job, [DocumentRef("/in/c", 10, "3")]).changed == 1
    [lease] = store.ledger.claim(job, "w", 9, 60)
    assert lease.etag == "3"


def test_a_missing_file_may_come_under_another_spelling_of_its_name(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, [card("front.jpg", "back.jpg", missing="back.jpg")])
    [lease] = store.ledger.claim(job, "w", 5, 60)
    read(store, lease, "back.jpg")
    added = store.ledger.add(job, [card("front.jpg", "back.JPG")])
    assert (added.added, added.reopened) == (0, 1)
    [lease] = store.ledger.claim(job, "w", 5, 60)
    assert [part.uri for part in lease.parts] == ["/in/front.jpg", "/in/back.JPG"]
    read(store, lease)
    assert store.books.verify(job).done == 1


def test_a_suspect_whose_files_change_is_read_as_a_new_one(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, [card("a1", "a2"), *refs("b")])
    lost = Failure(Reason.worker_lost, "gone", 1, True, "Traceback …")
    for _ in "ab":
        for lease in store.ledger.claim(job, "w", 9, 60):
            store.ledger.quarantine(lease, lost) if lease.suspect else store.ledger.release(lease, lost)
    assert store.books.counts(job)["quarantined"] == 1
    for lease in store.ledger.claim(job, "w", 9, 60):
        store.ledger.quarantine(lease, lost)
    store.ledger.add(job, [card("a1", "a2", etag="new"), DocumentRef("/in/b", 11, "new")])
    assert [(row.state, row.reason, row.message) for row in store.results.documents(job)] == [
        ("pending", None, None)
    ] * 2
    both = store.ledger.claim(job, "w", 9, 60)
    assert [(lease.suspect, lease.attempt, lease.losses) for lease in both] == [(False, 1, 0)] * 2


def test_pages_of_documents_that_become_one_stand_behind_each_other(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b", "c", "d"))
    for lease in store.ledger.claim(job, "w", 9, 60):
        finish(store, lease, invoice(pages=2))
    added = store.ledger.add(job, [card("b", "c", "new")])
    assert (added.added, added.known, added.reopened) == (0, 1, 1)
    assert [(one.page, one.key) for one in store.results.pages(job, "/in/b")] == [
        (1, "/in/b-1"), (2, "/in/b-2"), (3, "/in/c-1"), (4, "/in/c-2")
    ]  # fmt: skip
    assert [row.uri for row in store.results.documents(job)] == ["/in/a", "/in/b", "/in/d"]
    [lease] = store.ledger.claim(job, "w", 9, 60)
    assert (lease.uri, lease.size, lease.etag) == ("/in/b", 30, "etag-b")
    assert store.books.counts(job)["done"] == 2
