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


def _three(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a", "b", "c"))
    for lease, number in zip(ledger.claim(job, "w", 3, 60), ("1111", "2222", "2222"), strict=True):
        finish(ledger, lease, invoice(number, pages=2), sha256=number)


def test_a_document_is_removed_from_all_jobs(ledger: Store) -> None:
    _three(ledger)
    july = samples.job(ledger, "july")
    ledger.add_documents(july, refs("b", "x"))
    asked = ledger.purge(document="/in/b", dry_run=True)
    assert ledger.counts(july)["pending"] == 2
    purged = ledger.purge(document="/in/b")
    assert purged == asked == Purged(2, 2, 1, 7, 2, copies=("/in/c",))
    assert ledger.known_pages(["/in/b-1", "/in/c-1"]).keys() == {"/in/c-1"}
    assert [row.uri for row in ledger.documents(july)] == ["/in/x"]
    assert ledger.verify(ledger.find_job("june")).submitted == 2
    assert ledger.verify(july).submitted == 1
    assert ledger.purge(document="/in/b") == Purged(0, 0, 0, 0, 0)


def test_old_documents_are_removed(ledger: Store, clock: Clock) -> None:
    _three(ledger)
    job = ledger.find_job("june")
    clock.pass_(86400)
    ledger.add_documents(job, refs("new", "waiting"))
    finish(ledger, ledger.claim(job, "w", 1, 60)[0])
    assert ledger.purge(older_than=timedelta(days=2)).documents == 0
    assert ledger.purge(older_than=timedelta(hours=12)).documents == 3
    assert [row.uri for row in ledger.documents(job)] == ["/in/new", "/in/waiting"]
    ledger.verify(job)


def test_a_person_is_removed_wherever_they_stand(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a", "b", "c", "scan-099199000007.jpg", "d"))
    a, b, c, _, d = ledger.claim(job, "w", 5, 60)
    finish(ledger, a, invoice("099199000007"))
    ledger.commit(b, invoice("1"), [page(text=f'{{"MRZ": "{MRZ}"}}')], sha256="b")
    ledger.save_page(c, page(text="099 199 000 007"))
    finish(ledger, d, invoice("099199000008"))
    assert ledger.purge(subject="099199000007").documents == 4
    assert [row.uri for row in ledger.documents(job)] == ["/in/d"]
    with pytest.raises(LeaseLost):  # it was being worked on, and nothing of it comes back
        finish(ledger, c)
    assert ledger.purge(subject="công ty MẪU").documents == 1
    ledger.verify(job)


NAME, NUMBER, MAIL = "nguyễn thị Mẫu", "099199000007", "a.b+c@mail.vn"


def test_the_ways_a_subject_is_written(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a"))
    [lease] = ledger.claim(job, "w", 1, 60)
    for text, found in (
        ("Bà NGUYỄN THỊ MẪU, sinh năm 1999", {NAME}),
        ("Nguye\u0302\u0303n  Thi\u0323\nMâ\u0303u", {NAME}),
        (MRZ, {NAME, NUMBER}),
        ("099 199 000 007", {NUMBER}),
        ("<A.B+C@Mail.VN>", {MAIL}),
        ("Nguyễn Thị Mẫuu; Nguyen Thi Mau; 09919900000; aXb+c@mail.vn; a.bc@mail.vn", set()),
    ):
        ledger.save_page(lease, page(text=unicodedata.normalize("NFD", text) if "\u0302" in text else text))
        asked = {
            subject
            for subject in (NAME, NUMBER, MAIL)
            if ledger.purge(subject=subject, dry_run=True).documents
        }
        assert asked == found, text


def test_a_purge_must_say_what(ledger: Store) -> None:
    with pytest.raises(UsageError, match="only one"):
        ledger.purge()
    with pytest.raises(UsageError, match="only one"):
        ledger.purge(document="a", subject="abcd")
    with pytest.raises(UsageError, match="at least 4"):
        ledger.purge(subject=" an ")


def test_nothing_is_left_in_the_file(sqlite_template: Path, tmp_path: Path) -> None:
    from pipeline import store

    path = tmp_path / "store.db"
    with store.open(f"sqlite:///{path}") as ledger:
        job = samples.job(ledger)
        ledger.add_documents(job, refs("a", "b"))
        for lease in ledger.claim(job, "w", 2, 60):
            finish(ledger, lease, invoice("SECRET-OF-A" if lease.uri.endswith("a") else "of-b"))
        ledger.purge(document="/in/a")
        left = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"SECRET-OF-A" not in left and b"of-b" in left
