"""Who holds which document, and what becomes of those whose worker fails."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date

import pytest

from pipeline import store as stores
from pipeline.errors import LeaseLost, Permanent, Reason
from pipeline.records import DocumentRef, Extraction, Failure
from pipeline.store import Store
from tests.store import samples
from tests.store.samples import Clock, failed_page, finish, invoice, page, refs

LOST = Failure(Reason.worker_lost, "the replica died")
UNREACHABLE = Failure(Reason.store_unreachable, "503", retryable=True)


@pytest.mark.medium
def test_a_listing_is_added_once(store: Store) -> None:
    job = samples.job(store)
    first = store.ledger.add(job, refs("a", "b", "a"), batch=2)
    assert (first.added, first.known, first.failed) == (2, 1, 0)
    second = store.ledger.add(job, refs("b", "c"))
    assert (second.added, second.known) == (1, 1)
    assert [row.uri for row in store.results.documents(job)] == ["/in/a", "/in/b", "/in/c"]
    assert store.books.verify(job).submitted == 3


def test_a_broken_entry_is_a_quarantined_row_at_once(store: Store) -> None:
    job = samples.job(store)
    broken = DocumentRef("list.csv:3", failure=Failure(Reason.manifest_line, "line 3 has no URI"))
    long = DocumentRef("s3://b/" + "x" * 5000)
    other_long = DocumentRef("s3://b/" + "x" * 4999)
    assert store.ledger.add(job, [broken, long, other_long]).failed == 3
    assert [row.state for row in store.results.documents(job)] == ["quarantined"] * 3
    assert {group.reason: group.documents for group in store.failures.groups(job)} == {
        "manifest_line": 1,
        "uri_too_long": 2,
    }
    assert store.ledger.add(job, [broken, long, other_long]).known == 3
    assert store.ledger.claim(job, "w", 5, 60) == []


def test_an_object_that_was_replaced_is_told(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    finish(store, lease)
    again = store.ledger.add(job, [DocumentRef(f"/in/{name}", 11, "new") for name in "ab"])
    assert (again.changed, sorted(again.changed_uris)) == (2, ["/in/a", "/in/b"])
    assert {row.uri: row.etag for row in store.results.documents(job)} == {"/in/a": "etag-a", "/in/b": "new"}


def test_a_replaced_object_is_read_again_once_it_is_listed_again(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b"))
    for lease, reason in zip(
        store.ledger.claim(job, "w", 2, 60), ("object_changed", "pdf_damaged"), strict=True
    ):
        store.ledger.quarantine(lease, Failure(Reason(reason), "no"))
    store.ledger.add(job, refs("a", "b"))  # still the etag of which nobody knows an object
    assert store.ledger.claim(job, "w", 2, 60) == []
    store.ledger.add(job, [DocumentRef(f"/in/{name}", 11, "new") for name in "ab"])
    both = store.ledger.claim(job, "w", 2, 60)
    assert [(again.uri, again.etag, again.attempt) for again in both] == [
        ("/in/a", "new", 1),
        ("/in/b", "new", 1),
    ]
    for again in both:
        finish(store, again)
    assert store.books.verify(job).quarantined == 0


def test_names_that_a_database_cannot_hold_are_kept_as_near_as_can_be(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, [DocumentRef("/in/nul\0byte"), DocumentRef("/in/Hóa đơn số 1'; DROP TABLE.pdf")])
    assert [row.uri for row in store.results.documents(job)] == [
        "/in/nul�byte",
        "/in/Hóa đơn số 1'; DROP TABLE.pdf",
    ]


def test_two_workers_never_hold_one_document(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs(*"abcde"))
    first, second = store.ledger.claim(job, "w1", 3, 60), store.ledger.claim(job, "w2", 3, 60)
    assert [lease.uri for lease in first + second] == [f"/in/{name}" for name in "abcde"]
    assert store.ledger.claim(job, "w3", 3, 60) == []
    assert store.books.counts(job)["leased"] == 5


@pytest.mark.medium
def test_a_worker_that_is_stuck_in_its_claim_holds_up_nobody(postgres_url: str) -> None:
    with stores.open(postgres_url) as store:
        job = samples.job(store)
        store.ledger.add(job, refs("a", "b"))
        with store._db.write() as stuck:
            stuck.exec_driver_sql("SELECT 1 FROM documents WHERE uri = '/in/a' FOR UPDATE")
            assert [lease.uri for lease in store.ledger.claim(job, "w", 2, 60)] == ["/in/b"]
        assert [lease.uri for lease in store.ledger.claim(job, "w", 2, 60)] == ["/in/a"]


def test_jobs_do_not_take_each_others_documents(store: Store) -> None:
    june, july = samples.job(store, "june"), samples.job(store, "july")
    store.ledger.add(june, refs("a"))
    assert store.ledger.claim(july, "w", 5, 60) == []
    assert store.ledger.next_due(july) is None


def test_what_was_committed_comes_back_whole(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    scored = {"score": 0.5, "tier": "scan", "calibration": 7, "read_on": date(2026, 11, 20)}
    result = replace(invoice(pages=2, state="partial"), **scored)
    result = replace(result, fields=(result.fields[0]._replace(score=0.25), *result.fields[1:]))
    pages = [page(1), replace(failed_page(2), attempts=2, numerics="cpu float32")]
    store.results.commit(lease, result, pages, sha256="ab", etag="fetched")
    [found] = store.results.extractions(job)
    assert (found.uri, found.sha256, found.extraction) == ("/in/a", "ab", result)
    assert store.results.extraction(job, "/in/a") == found and store.results.extraction(job, "/in/b") is None
    [row] = store.results.documents(job)
    assert (row.state, row.etag, row.pages, row.reason) == ("partial", "fetched", 2, None)
    assert store.results.pages(job, "/in/a") == pages
    assert store.books.verify(job).partial == 1


@pytest.mark.medium
@pytest.mark.parametrize("count", [1, 31, 32, 33, 127])
def test_a_long_document_keeps_each_row_in_its_order(store: Store, count: int) -> None:
    """However many go with one statement."""
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    field, check, said = invoice().fields[0], invoice().checks[1], invoice().testimony[0]
    long = replace(
        invoice(),
        fields=tuple(field._replace(path=f"lines[{n}].name", raw=f"Bút {n}") for n in range(count)),
        checks=tuple(replace(check, message=f"{n}") for n in range(count)),
        testimony=tuple(replace(said, value=n) for n in range(count)),
    )
    store.results.commit(lease, long, [page()], sha256="ab")
    [kept] = store.results.extractions(job)
    assert kept.extraction == long


def test_text_that_a_database_cannot_hold_does_not_stop_a_commit(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    odd = invoice("1\0\ud800")
    odd = replace(odd, fields=(*odd.fields[1:], odd.fields[0]._replace(confidence=float("nan"))))
    store.results.commit(lease, odd, [page(text="\0\udfff" + "\\u0000")], sha256="ab")
    [found] = store.results.extractions(job)
    assert found.extraction.record["number"] == "1��"
    assert found.extraction.fields[-1].value == "1��"
    assert found.extraction.fields[-1].confidence is None
    assert store.results.pages(job, "/in/a")[0].output == "��\\u0000"


def test_a_late_worker_is_refused_and_leaves_nothing(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [late] = store.ledger.claim(job, "w1", 1, 60)
    clock.pass_(61)
    [new] = store.ledger.claim(job, "w2", 1, 60)
    for attempt in (
        lambda: finish(store, late, invoice("late")),
        lambda: store.results.save_page(late, page(1, "late")),
        lambda: store.ledger.release(late),
        lambda: store.ledger.release(late, UNREACHABLE),
        lambda: store.ledger.quarantine(late, LOST),
    ):
        with pytest.raises(LeaseLost, match="/in/a"):
            attempt()
    assert store.results.known_pages(["late"]) == {}
    assert list(store.results.extractions(job)) == []
    finish(store, new, invoice("new"))
    with pytest.raises(LeaseLost):
        finish(store, late, invoice("late"))
    assert [found.extraction.record["number"] for found in store.results.extractions(job)] == ["new"]
    store.books.verify(job)


def test_a_lease_that_was_taken_back_is_over_although_nobody_has_the_document(
    store: Store, clock: Clock
) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [late] = store.ledger.claim(job, "w1", 1, 60)
    clock.pass_(61)
    assert store.ledger.claim(job, "w2", 1, 60, suspects=False) == []
    for failure in (None, UNREACHABLE):
        with pytest.raises(LeaseLost):
            store.ledger.release(late, failure)
    assert store.ledger.claim(job, "w2", 1, 60)[0].losses == 1


def test_an_overdue_lease_that_nobody_took_still_counts(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    clock.pass_(1000)
    finish(store, lease)
    assert store.books.counts(job)["done"] == 1


def test_the_same_commit_again_is_no_error_and_another_is(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b", "c"))
    a, b, c = store.ledger.claim(job, "w", 3, 60)
    for _ in range(2):
        finish(store, a)
        store.ledger.quarantine(b, LOST)
        store.ledger.release(c)
    with pytest.raises(LeaseLost):
        finish(store, a, invoice("other"))
    with pytest.raises(LeaseLost):
        store.ledger.quarantine(a, LOST)
    with pytest.raises(LeaseLost):
        store.ledger.quarantine(c, LOST)
    assert store.books.counts(job) == dict.fromkeys(stores.entities.STATES, 0) | {
        "done": 1,
        "quarantined": 1,
        "pending": 1,
    }
    store.books.verify(job)


def test_renewing_tells_what_is_lost(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b", "c"))
    a, b, c = store.ledger.claim(job, "w1", 3, 60)
    store.ledger.release(c)
    clock.pass_(50)
    assert store.ledger.renew([a, b, c], 60) == [c]
    clock.pass_(50)
    assert [lease.uri for lease in store.ledger.claim(job, "w2", 3, 60)] == ["/in/c"]
    clock.pass_(50)
    store.ledger.claim(job, "w2", 3, 60)
    assert store.ledger.renew([a, b], 60) == [a, b]
    assert store.ledger.renew([], 60) == []


def test_giving_back_is_not_counted_as_a_try(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    for _ in range(5):
        [lease] = store.ledger.claim(job, "w", 1, 60)
        assert (lease.attempt, lease.suspect) == (1, False)
        store.ledger.release(lease)


@pytest.mark.medium
def test_a_passing_failure_is_tried_again_later_and_not_for_ever(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    for attempt in (1, 2, 3):
        [lease] = store.ledger.claim(job, "w", 1, 60)
        assert lease.attempt == attempt
        store.ledger.release(lease, UNREACHABLE, delay=30, attempts=3)
        if attempt < 3:
            assert store.ledger.claim(job, "w", 1, 60) == []
            assert store.ledger.next_due(job) == pytest.approx(30)
            clock.pass_(30)
    assert store.ledger.next_due(job) is None
    [item] = store.failures.each(job)
    assert (item.uri, item.failure, item.attempts) == ("/in/a", UNREACHABLE, 3)
    store.books.verify(job)


def test_who_vanishes_makes_suspects_that_are_tried_alone(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs(*"abcd"))
    assert len(store.ledger.claim(job, "w1", 2, 60)) == 2
    clock.pass_(61)
    assert [lease.uri for lease in store.ledger.claim(job, "w2", 9, 60, suspects=False)] == ["/in/c", "/in/d"]
    for name in "ab":
        [lease] = store.ledger.claim(job, "w2", 9, 60)
        assert (lease.uri, lease.suspect, lease.losses, lease.attempt) == (f"/in/{name}", True, 1, 2)
    assert store.ledger.claim(job, "w2", 9, 60) == []


def test_what_was_held_when_a_replica_died_is_a_suspect(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b", "c"))
    a, b = store.ledger.claim(job, "w", 2, 60)
    store.ledger.release(a, LOST)
    store.ledger.release(b, UNREACHABLE)
    assert [lease.uri for lease in store.ledger.claim(job, "w", 9, 60)] == ["/in/a"]
    assert [lease.uri for lease in store.ledger.claim(job, "w", 9, 60)] == ["/in/b", "/in/c"]


def test_what_loses_every_worker_is_quarantined(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    for _ in range(3):
        assert len(store.ledger.claim(job, "w7", 1, 60, max_losses=3)) == 1
        clock.pass_(61)
    assert store.ledger.claim(job, "w7", 1, 60, max_losses=3) == []
    [item] = store.failures.each(job)
    assert (item.failure.reason, item.losses, item.attempts, item.worker) == (Reason.worker_lost, 3, 3, "w7")
    assert "3 times" in item.failure.message and "w7" in item.failure.message
    store.books.verify(job)


def test_lost_workers_are_not_held_against_the_document(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    for _ in range(4):
        store.ledger.claim(job, "w", 1, 60)
        clock.pass_(61)
    [lease] = store.ledger.claim(job, "w", 1, 60)
    store.ledger.release(lease, UNREACHABLE, attempts=3)
    assert store.books.counts(job)["pending"] == 1


def test_each_end_says_in_which_state_it_left_the_document(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b", "c", "d"))
    store.ledger.claim(job, "a lane that dies", 1, 60)
    clock.pass_(61)
    leases = {lease.uri[-1]: lease for _ in "ab" for lease in store.ledger.claim(job, "w", 9, 60)}
    assert {name: (lease.attempt, lease.tries) for name, lease in leases.items()} == {
        "a": (2, 1), "b": (1, 1), "c": (1, 1), "d": (1, 1)
    }  # fmt: skip
    for _ in range(2):  # a repeated call, whose first answer was lost, says the same
        assert store.ledger.release(leases["a"], UNREACHABLE, attempts=2) == "pending"  # the loss was no try
        assert store.ledger.release(leases["b"], UNREACHABLE, attempts=1) == "quarantined"
        assert store.ledger.release(leases["c"]) == "pending"
        found = invoice(state="review")
        assert store.results.commit(leases["d"], found, [page(1)], sha256="ab") == "review"
    [again] = [lease for lease in store.ledger.claim(job, "w", 9, 60) if lease.uri == "/in/a"]
    assert (again.attempt, again.tries) == (3, 2)
    assert store.ledger.release(again, UNREACHABLE, attempts=2) == "quarantined"
    [other] = store.ledger.claim(job, "w", 9, 60)
    assert [store.ledger.quarantine(other, LOST) for _ in range(2)] == ["quarantined"] * 2


def test_who_ended_a_document_has_no_say_once_it_is_to_be_read_again(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b"))
    leases = store.ledger.claim(job, "w", 2, 60)
    for lease in leases:
        store.ledger.quarantine(lease, Failure(Reason.pdf_damaged, "no"))
    store.ledger.add(job, [DocumentRef("/in/a", 11, "new")])
    assert store.failures.retry(job, document="/in/b") == 1
    for lease in leases:
        with pytest.raises(LeaseLost):
            store.ledger.release(lease)
    assert len(store.ledger.claim(job, "w", 2, 60)) == 2


@pytest.mark.medium
def test_the_databases_clock_ends_leases(url: str) -> None:
    with stores.open(url) as store:
        job = samples.job(store)
        store.ledger.add(job, refs("a"))
        [lease] = store.ledger.claim(job, "w", 1, 600)
        assert 0 < (store.ledger.next_due(job) or 0) <= 600
        assert 0 < (lease.expires - store.ledger.now()).total_seconds() <= 600
        store.ledger.renew([lease], 0.2)
        while not store.ledger.claim(job, "w2", 1, 60):
            time.sleep(0.02)
        with pytest.raises(LeaseLost):
            finish(store, lease)


@pytest.mark.medium
def test_pages_are_kept_as_soon_as_they_are_read(store: Store, clock: Clock) -> None:
    june, july = samples.job(store, "june"), samples.job(store, "july")
    store.ledger.add(june, refs("a"))
    [lease] = store.ledger.claim(june, "w1", 1, 60)
    store.results.save_page(lease, page(1))
    store.results.save_page(lease, failed_page(2))
    assert store.results.known_pages(["key-1", "key-2", "key-3"]) == {"key-1": page(1)}
    clock.pass_(61)  # the worker dies; the next one finds the page
    store.ledger.add(july, refs("other-name"))
    [again] = store.ledger.claim(june, "w2", 1, 60)
    [elsewhere] = store.ledger.claim(july, "w2", 1, 60)
    for holder in (again, elsewhere):
        known = store.results.known_pages(["key-1"])
        store.results.commit(holder, invoice(), [known["key-1"]], sha256="ab")
    assert store.results.pages(june, "/in/a") == [
        page(1)
    ]  # the second page was of another version of the file
    store.books.verify(june)
    store.books.verify(july)


def test_a_result_must_have_each_page_once(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    for pages in ([], [page(1)], [page(1), page(1)], [page(1), page(3)]):
        with pytest.raises(ValueError, match="2 pages"):
            store.results.commit(lease, invoice(pages=2), pages, sha256="ab")
    assert store.books.counts(job)["leased"] == 1


def test_a_clock_that_is_put_back_keeps_nobody_waiting(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b", "c"))
    [held] = store.ledger.claim(job, "died", 1, 60)
    clock.pass_(-7200)
    taken = [lease.uri for _ in range(4) for lease in store.ledger.claim(job, "w", 3, 60)]
    assert sorted(taken) == ["/in/a", "/in/b", "/in/c"]
    with pytest.raises(LeaseLost):
        finish(store, held)


def test_a_lease_or_delay_of_usual_length_is_left_alone(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b"))
    _, delayed = store.ledger.claim(job, "w1", 2, 600)
    store.ledger.release(delayed, UNREACHABLE, delay=90)
    assert [store.ledger.claim(job, "w2", 2, 1) for _ in range(3)] == [[], [], []]


def test_a_long_lease_is_not_taken_for_a_clock_that_was_put_back(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b"))
    [held] = store.ledger.claim(job, "patient", 1, 7200)
    [delayed] = store.ledger.claim(job, "patient", 1, 7200)
    store.ledger.release(delayed, UNREACHABLE, delay=3600)
    assert [store.ledger.claim(job, "quick", 2, 60) for _ in range(3)] == [[], [], []]
    clock.pass_(30)
    assert store.ledger.renew([held], 7200) == []
    assert [store.ledger.claim(job, "quick", 2, 60) for _ in range(3)] == [[], [], []]
    finish(store, held)
    clock.pass_(-1200)  # now it was: what waits for an hour from then is due
    store.ledger.claim(job, "quick", 2, 60)
    assert [lease.uri for lease in store.ledger.claim(job, "quick", 2, 60)] == ["/in/b"]


def test_a_row_of_an_older_vinbatch_waits_for_its_time(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    store.ledger.claim(job, "older", 1, 7200)
    with store._db.write() as connection:
        connection.exec_driver_sql("UPDATE documents SET scheduled_at = NULL")
    assert [store.ledger.claim(job, "w", 1, 60) for _ in range(3)] == [[], [], []]
    clock.pass_(7201)
    assert [lease.uri for lease in store.ledger.claim(job, "w", 1, 60)] == ["/in/a"]


def test_the_ledger_answers_what_state_it_left(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs(*"abcdef"))
    a, b, c, d, e, f = store.ledger.claim(job, "w", 6, 60)
    for _ in range(2):  # also when the first answer was lost on the way
        assert store.ledger.release(a) == "pending"
        assert store.ledger.release(b, UNREACHABLE, attempts=2) == "pending"
        assert store.ledger.release(c, UNREACHABLE, attempts=1) == "quarantined"
        assert store.ledger.quarantine(d, LOST) == "quarantined"
        for lease, state in ((e, "review"), (f, "partial")):
            pages = [page(1, lease.uri)]
            assert store.results.commit(lease, invoice(state=state), pages, sha256="ab") == state
    assert [row.state for row in store.results.documents(job)] == [
        *("pending", "pending", "quarantined", "quarantined", "review", "partial")
    ]


def test_what_a_document_failed_for_before_is_forgotten_when_it_is_done(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b", "c"))
    a, b, _ = store.ledger.claim(job, "w", 3, 60)
    why = replace(UNREACHABLE, page=2, traceback="Traceback …")
    store.ledger.release(a, why)
    store.ledger.quarantine(b, why)
    store.failures.retry(job, document="/in/b")
    clock.pass_(61)  # the third one loses its worker
    for _ in range(3):
        for lease in store.ledger.claim(job, "w", 3, 60):
            finish(store, lease)
    assert [(row.state, row.reason, row.message) for row in store.results.documents(job)] == [
        ("done", None, None)
    ] * 3
    with store._db.read() as connection:
        left = "SELECT count(*) FROM documents WHERE traceback IS NOT NULL OR retryable IS NOT NULL"
        assert connection.exec_driver_sql(f"{left} OR failed_page IS NOT NULL").scalar_one() == 0


def test_a_suspect_that_is_due_later_is_waited_for(store: Store) -> None:
    """Else a lane would end while its last document waits for another try."""
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    store.ledger.release(lease, LOST, delay=30)
    assert store.ledger.next_due(job) == pytest.approx(30)
    store.ledger.add(job, refs("b"))
    [other] = store.ledger.claim(job, "w", 1, 60)
    assert store.ledger.next_due(job) == pytest.approx(30)
    store.ledger.release(other, delay=10)
    assert store.ledger.next_due(job) == pytest.approx(10)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("total", "về sau"),
        ("total", "NaN"),
        ("total", 1.5),
        ("issue_date", "31/02/2026"),
        ("number", {"a": 1}),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(store: Store, name: str, value: object) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    odd: Extraction = replace(invoice(), record={**invoice().record, name: value})
    with pytest.raises(Permanent, match=f"field {name}") as caught:
        finish(store, lease, odd)
    assert caught.value.reason == Reason.schema_mismatch
    assert str(value) not in caught.value.message
    odd = replace(invoice(), record={**invoice().record, "lines": [{}, {"amount": "ba"}]})
    with pytest.raises(Permanent, match=r"field lines\[1\]\.amount"):
        finish(store, lease, odd)
    assert store.books.counts(job)["leased"] == 1
