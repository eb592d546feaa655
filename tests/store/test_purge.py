"""What is purged is gone: from every table, from the cache, and from the file."""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.errors import LeaseLost, UsageError
from pipeline.store import Purged, Store
from tests.store import samples
from tests.store.samples import Clock, finish, invoice, page, refs

MRZ = "IDVNM1990000070099199000007<<6 9901018F3901016VNM<<<<<<<<<<<4 NGUYEN<<THI<MAU<<<<<<<<<<<<<<<"


def _three(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b", "c"))
    for lease, number in zip(store.ledger.claim(job, "w", 3, 60), ("1111", "2222", "2222"), strict=True):
        finish(store, lease, invoice(number, pages=2), sha256=number)


@pytest.mark.medium
def test_a_document_is_removed_from_all_jobs(store: Store) -> None:
    _three(store)
    july = samples.job(store, "july")
    store.ledger.add(july, refs("b", "x"))
    asked = store.purge(document="/in/b", dry_run=True)
    assert store.books.counts(july)["pending"] == 2
    purged = store.purge(document="/in/b")
    assert purged == asked == Purged(2, 2, 1, 8, 2, 3, copies=("/in/c",))
    assert store.results.known_pages(["/in/b-1", "/in/c-1"]).keys() == {"/in/c-1"}
    assert [row.uri for row in store.results.documents(july)] == ["/in/x"]
    assert store.books.verify(store.jobs.find("june")).submitted == 2
    assert store.books.verify(july).submitted == 1
    assert store.purge(document="/in/b") == Purged(0, 0, 0, 0, 0, 0)


def test_old_documents_are_removed(store: Store, clock: Clock) -> None:
    _three(store)
    job = store.jobs.find("june")
    clock.pass_(86400)
    store.ledger.add(job, refs("new", "waiting"))
    finish(store, store.ledger.claim(job, "w", 1, 60)[0])
    assert store.purge(older_than=timedelta(days=2)).documents == 0
    assert store.purge(older_than=timedelta(hours=12)).documents == 3
    assert [row.uri for row in store.results.documents(job)] == ["/in/new", "/in/waiting"]
    store.books.verify(job)


def test_a_person_is_removed_wherever_they_stand(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b", "c", "scan-099199000007.jpg", "d"))
    a, b, c, _, d = store.ledger.claim(job, "w", 5, 60)
    finish(store, a, invoice("099199000007"))
    store.results.commit(b, invoice("1"), [page(text=f'{{"MRZ": "{MRZ}"}}')], sha256="b")
    store.results.save_page(c, page(text="099 199 000 007"))
    finish(store, d, invoice("099199000008"))
    assert store.purge(subject="099199000007").documents == 4
    assert [row.uri for row in store.results.documents(job)] == ["/in/d"]
    with pytest.raises(LeaseLost):  # it was being worked on, and nothing of it comes back
        finish(store, c)
    assert store.purge(subject="công ty MẪU").documents == 1
    store.books.verify(job)


NAME, NUMBER, MAIL = "nguyễn thị Mẫu", "099199000007", "a.b+c@mail.vn"


def test_the_ways_a_subject_is_written(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    for text, found in (
        ("Bà NGUYỄN THỊ MẪU, sinh năm 1999", {NAME}),
        ("Nguye\u0302\u0303n  Thi\u0323\nMâ\u0303u", {NAME}),
        (MRZ, {NAME, NUMBER}),
        ("099 199 000 007", {NUMBER}),
        ("<A.B+C@Mail.VN>", {MAIL}),
        ("Nguyễn Thị Mẫuu; Nguyen Thi Mau; 09919900000; aXb+c@mail.vn; a.bc@mail.vn", set()),
    ):
        store.results.save_page(
            lease, page(text=unicodedata.normalize("NFD", text) if "\u0302" in text else text)
        )
        asked = {
            subject
            for subject in (NAME, NUMBER, MAIL)
            if store.purge(subject=subject, dry_run=True).documents
        }
        assert asked == found, text


def test_a_purge_must_say_what(store: Store) -> None:
    with pytest.raises(UsageError, match="only one"):
        store.purge()
    with pytest.raises(UsageError, match="only one"):
        store.purge(document="a", subject="abcd")
    with pytest.raises(UsageError, match="at least 4"):
        store.purge(subject=" an ")


def test_nothing_is_left_in_the_file(sqlite_template: Path, tmp_path: Path) -> None:
    from pipeline import store as stores

    path = tmp_path / "store.db"
    with stores.open(f"sqlite:///{path}") as store:
        job = samples.job(store)
        store.ledger.add(job, refs("a", "b"))
        for lease in store.ledger.claim(job, "w", 2, 60):
            finish(store, lease, invoice("SECRET-OF-A" if lease.uri.endswith("a") else "of-b"))
        store.purge(document="/in/a")
        left = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"SECRET-OF-A" not in left and b"of-b" in left


def test_a_name_with_a_crossed_d_is_found_in_an_mrz(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    store.results.save_page(lease, page(text="IDVNM<<<\nDO<<DUC<DAN<<<<"))
    assert store.purge(subject="Đỗ Đức Đan", dry_run=True).documents == 1
    assert store.purge(subject="đỗ đức đan", dry_run=True).documents == 1
