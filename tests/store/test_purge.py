"""What is purged is gone: from every table, from the cache, and from the file."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.errors import LeaseLost, Reason, UsageError
from pipeline.records import Code, Decision, DocumentRef, Failure, Part
from pipeline.store import Purged, Store
from pipeline.store.tables import metadata
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


@pytest.mark.medium
def test_every_row_of_a_document_goes_and_is_counted(store: Store) -> None:
    job, other = samples.job(store), samples.job(store, "other", checkpoint="d" * 64)
    files = DocumentRef.of_parts(refs("front", "back"), "one")
    for each in (job, other):
        store.ledger.add(each, [files])
        [lease] = store.ledger.claim(each, "w", 1, 60)
        parts = [Part(ref.uri, f"sha-{ref.uri}", ref.etag, ref.size) for ref in lease.parts]
        pages = [page(1, f"{each.name}-1"), page(2, f"{each.name}-2")]
        store.results.commit(lease, invoice(pages=2), pages, sha256=parts[0].sha256, parts=parts)
    decided = [Decision("total", "accept", "an"), Decision("number", "accept", "an")]
    store.decisions.add(job, "/in/front", decided)
    [entry] = store.queue.entries(job, "decided")
    store.claims.take(entry.document_id, "an")

    def there() -> dict[str, int]:
        count = "SELECT count(*) FROM {}"
        names = set(metadata.tables) - {"jobs", "runs", "audit", "calibrations", "promises"}
        with store._db.read() as connection:
            return {name: connection.exec_driver_sql(count.format(name)).scalar_one() for name in names}

    before = there()
    assert before["invoice_index"] == 2 and min(before.values()) > 0
    asked = store.purge(document="/in/back", job=job, dry_run=True)
    assert there() == before
    removed = store.purge(document="/in/back", job=job)
    checks = before["checks"] - len(invoice().checks)  # those of the rules, which were run again
    assert asked == removed == Purged(1, 2, 1, 8, checks, 3, parts=2, decisions=2, claims=1, readings=1)
    store.books.verify(job)
    assert store.books.verify(other).done == 1
    store.purge(document="/in/front")
    assert set(there().values()) == {0}
    assert {row.action for row in store.audit.rows()} == {"accept"}, "who did what outlives it"


def test_an_age_counts_from_the_second_at_which_a_document_was_finished(store: Store, clock: Clock) -> None:
    _three(store)
    clock.pass_(3600)
    assert store.purge(older_than=timedelta(hours=1)).documents == 0
    clock.pass_(1)
    assert store.purge(older_than=timedelta(hours=1), job=samples.job(store, "other")).documents == 0
    assert store.purge(older_than=timedelta(hours=1)).documents == 3


@pytest.mark.parametrize(
    ("subject", "text", "found"),
    [
        ("1234", "no. 1234, paid", True),
        ("12345678", "no. 912345678", False),
        ("12345678", "no. 1 2 3 4 5 6 7 8.", True),
        ("123456789", "X91234567890", True),
        ("123456789", "12345678", False),
        ("Nguyễn Ái", "NGUYỄN\tÁI;", True),
        ("Nguyễn Ái", "NGUYEN<AI<", True),
        ("Nguyễn Ái", "NGUYEN AI", False),
        ("Nguyễn Ái", "NguyễnÁi", False),
        ("abcd", "xabcd", False),
    ],
)
def test_where_a_subject_begins_and_ends(store: Store, subject: str, text: str, found: bool) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("x"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    store.results.save_page(lease, page(text=text))
    assert store.purge(subject=subject, dry_run=True).documents == found


def test_a_person_is_found_in_each_place_of_its_own(store: Store) -> None:
    """In a code of a page, in what was read, printed or decided, in a name and in what is said of a file."""
    job = samples.job(store)
    missing = Failure(Reason.object_missing, "SECRET-5 is not there")
    broken = DocumentRef("/in/other", failure=missing)
    cards = [DocumentRef.of_parts([*refs("f"), broken]), DocumentRef.of_parts(refs("g", "SECRET-6.jpg"))]
    store.ledger.add(job, [*refs("a", "b", "c", "d"), *cards])
    leases = {lease.uri: lease for lease in store.ledger.claim(job, "w", 6, 60)}
    a, b, c, d = (leases[f"/in/{name}"] for name in "abcd")
    code = page(key="a")
    assert code.record is not None
    store.results.save_page(
        a, replace(code, record=replace(code.record, codes=(Code("qr", "x|SECRET-1|Nguyễn Ái|y"),)))
    )
    plain = invoice("1")
    printed, read = plain.fields[0]._replace(raw="SECRET-2"), plain.fields[0]._replace(value="SECRET-3")
    finish(store, b, replace(plain, fields=(printed,)))
    finish(store, c, replace(plain, fields=(read,)))
    finish(store, d, replace(invoice("1"), fields=plain.fields))
    store.decisions.add(job, "/in/d", [Decision("seller_name", "correct", "an", "SECRET-4")])
    found = {n: store.purge(subject=f"SECRET-{n}", dry_run=True).documents for n in range(1, 7)}
    assert found == dict.fromkeys(range(1, 7), 1)
    assert store.purge(subject="Nguyễn Ái", dry_run=True).documents == 1, "in a code, with its accents"
    store.decisions.add(job, "/in/d", [Decision("seller_name", "correct", "an", "Công ty Khác")])
    assert store.purge(subject="SECRET-4", dry_run=True).documents == 1, "what was decided before stays a row"


@pytest.mark.medium
def test_copies_are_other_names_of_the_same_bytes_a_hundred_at_most(store: Store) -> None:
    job = samples.job(store)
    names = [f"{n:03}" for n in range(102)]
    store.ledger.add(job, refs("a", "unread", *names))
    for lease in store.ledger.claim(job, "w", 102, 60):
        if lease.uri != "/in/unread":
            finish(store, lease, sha256="same")
    asked = store.purge(document="/in/a", dry_run=True)
    assert asked.copies == tuple(f"/in/{name}" for name in names[:100])
    assert store.purge(document="/in/unread", dry_run=True).copies == ()
    assert store.purge(job=job, dry_run=True).copies == ()
