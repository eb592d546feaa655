"""Who holds which document, and what becomes of those whose worker fails."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from pipeline import store
from pipeline.errors import LeaseLost, Permanent, Reason
from pipeline.records import DocumentRef, Extraction, Failure
from pipeline.store import Store
from tests.store import samples
from tests.store.samples import Clock, failed_page, finish, invoice, page, refs

LOST = Failure(Reason.worker_lost, "the replica died")
UNREACHABLE = Failure(Reason.store_unreachable, "503", retryable=True)


def test_a_listing_is_added_once(ledger: Store) -> None:
    job = samples.job(ledger)
    first = ledger.add_documents(job, refs("a", "b", "a"), batch=2)
    assert (first.added, first.known, first.failed) == (2, 1, 0)
    second = ledger.add_documents(job, refs("b", "c"))
    assert (second.added, second.known) == (1, 1)
    assert [row.uri for row in ledger.documents(job)] == ["/in/a", "/in/b", "/in/c"]
    assert ledger.verify(job).submitted == 3


def test_a_broken_entry_is_a_quarantined_row_at_once(ledger: Store) -> None:
    job = samples.job(ledger)
    broken = DocumentRef("list.csv:3", failure=Failure(Reason.manifest_line, "line 3 has no URI"))
    long = DocumentRef("s3://b/" + "x" * 5000)
    other_long = DocumentRef("s3://b/" + "x" * 4999)
    assert ledger.add_documents(job, [broken, long, other_long]).failed == 3
    assert [row.state for row in ledger.documents(job)] == ["quarantined"] * 3
    assert {group.reason: group.documents for group in ledger.failures(job)} == {
        "manifest_line": 1,
        "uri_too_long": 2,
    }
    assert ledger.add_documents(job, [broken, long, other_long]).known == 3
    assert ledger.claim(job, "w", 5, 60) == []


def test_an_object_that_was_replaced_is_told(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a", "b"))
    [lease] = ledger.claim(job, "w", 1, 60)
    finish(ledger, lease)
    again = ledger.add_documents(job, [DocumentRef(f"/in/{name}", 11, "new") for name in "ab"])
    assert (again.changed, sorted(again.changed_uris)) == (2, ["/in/a", "/in/b"])
    assert {row.uri: row.etag for row in ledger.documents(job)} == {"/in/a": "etag-a", "/in/b": "new"}


def test_a_replaced_object_is_read_again_once_it_is_listed_again(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a", "b"))
    for lease, reason in zip(ledger.claim(job, "w", 2, 60), ("object_changed", "pdf_damaged"), strict=True):
        ledger.quarantine(lease, Failure(Reason(reason), "no"))
    ledger.add_documents(job, refs("a", "b"))  # still the etag of which nobody knows an object
    assert ledger.claim(job, "w", 2, 60) == []
    ledger.add_documents(job, [DocumentRef(f"/in/{name}", 11, "new") for name in "ab"])
    both = ledger.claim(job, "w", 2, 60)
    assert [(again.uri, again.etag, again.attempt) for again in both] == [
        ("/in/a", "new", 1),
        ("/in/b", "new", 1),
    ]
    for again in both:
        finish(ledger, again)
    assert ledger.verify(job).quarantined == 0


def test_names_that_a_database_cannot_hold_are_kept_as_near_as_can_be(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(
        job, [DocumentRef("/in/nul\0byte"), DocumentRef("/in/Hóa đơn số 1'; DROP TABLE.pdf")]
    )
    assert [row.uri for row in ledger.documents(job)] == ["/in/nul�byte", "/in/Hóa đơn số 1'; DROP TABLE.pdf"]


def test_two_workers_never_hold_one_document(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs(*"abcde"))
    first, second = ledger.claim(job, "w1", 3, 60), ledger.claim(job, "w2", 3, 60)
    assert [lease.uri for lease in first + second] == [f"/in/{name}" for name in "abcde"]
    assert ledger.claim(job, "w3", 3, 60) == []
    assert ledger.counts(job)["leased"] == 5


def test_a_worker_that_is_stuck_in_its_claim_holds_up_nobody(postgres_url: str) -> None:
    with store.open(postgres_url) as ledger:
        job = samples.job(ledger)
        ledger.add_documents(job, refs("a", "b"))
        with ledger._db.write() as stuck:
            stuck.exec_driver_sql("SELECT 1 FROM documents WHERE uri = '/in/a' FOR UPDATE")
            assert [lease.uri for lease in ledger.claim(job, "w", 2, 60)] == ["/in/b"]
        assert [lease.uri for lease in ledger.claim(job, "w", 2, 60)] == ["/in/a"]


def test_jobs_do_not_take_each_others_documents(ledger: Store) -> None:
    june, july = samples.job(ledger, "june"), samples.job(ledger, "july")
    ledger.add_documents(june, refs("a"))
    assert ledger.claim(july, "w", 5, 60) == []
    assert ledger.next_due(july) is None


def test_what_was_committed_comes_back_whole(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a"))
    [lease] = ledger.claim(job, "w", 1, 60)
    result = invoice(pages=2, state="partial")
    ledger.commit(lease, result, [page(1), failed_page(2)], sha256="ab", etag="fetched")
    [found] = ledger.extractions(job)
    assert (found.uri, found.sha256, found.extraction) == ("/in/a", "ab", result)
    [row] = ledger.documents(job)
    assert (row.state, row.etag, row.pages, row.reason) == ("partial", "fetched", 2, None)
    assert ledger.page_results(job, "/in/a") == [page(1), failed_page(2)]
    assert ledger.verify(job).partial == 1


def test_text_that_a_database_cannot_hold_does_not_stop_a_commit(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a"))
    [lease] = ledger.claim(job, "w", 1, 60)
    odd = invoice("1\0\ud800")
    odd = replace(odd, fields=(*odd.fields[1:], replace(odd.fields[0], confidence=float("nan"))))
    ledger.commit(lease, odd, [page(text="\0\udfff" + "\\u0000")], sha256="ab")
    [found] = ledger.extractions(job)
    assert found.extraction.record["number"] == "1��"
    assert found.extraction.fields[-1].value == "1��"
    assert found.extraction.fields[-1].confidence is None
    assert ledger.page_results(job, "/in/a")[0].output == "��\\u0000"


def test_a_late_worker_is_refused_and_leaves_nothing(ledger: Store, clock: Clock) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a"))
    [late] = ledger.claim(job, "w1", 1, 60)
    clock.pass_(61)
    [new] = ledger.claim(job, "w2", 1, 60)
    for attempt in (
        lambda: finish(ledger, late, invoice("late")),
        lambda: ledger.save_page(late, page(1, "late")),
        lambda: ledger.release(late),
        lambda: ledger.release(late, UNREACHABLE),
        lambda: ledger.quarantine(late, LOST),
    ):
        with pytest.raises(LeaseLost, match="/in/a"):
            attempt()
    assert ledger.known_pages(["late"]) == {}
    assert list(ledger.extractions(job)) == []
    finish(ledger, new, invoice("new"))
    with pytest.raises(LeaseLost):
        finish(ledger, late, invoice("late"))
    assert [found.extraction.record["number"] for found in ledger.extractions(job)] == ["new"]
    ledger.verify(job)


def test_a_lease_that_was_taken_back_is_over_although_nobody_has_the_document(
    ledger: Store, clock: Clock
) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a"))
    [late] = ledger.claim(job, "w1", 1, 60)
    clock.pass_(61)
    assert ledger.claim(job, "w2", 1, 60, suspects=False) == []
    for failure in (None, UNREACHABLE):
        with pytest.raises(LeaseLost):
            ledger.release(late, failure)
    assert ledger.claim(job, "w2", 1, 60)[0].losses == 1


def test_an_overdue_lease_that_nobody_took_still_counts(ledger: Store, clock: Clock) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a"))
    [lease] = ledger.claim(job, "w", 1, 60)
    clock.pass_(1000)
    finish(ledger, lease)
    assert ledger.counts(job)["done"] == 1


def test_the_same_commit_again_is_no_error_and_another_is(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a", "b", "c"))
    a, b, c = ledger.claim(job, "w", 3, 60)
    for _ in range(2):
        finish(ledger, a)
        ledger.quarantine(b, LOST)
        ledger.release(c)
    with pytest.raises(LeaseLost):
        finish(ledger, a, invoice("other"))
    with pytest.raises(LeaseLost):
        ledger.quarantine(a, LOST)
    with pytest.raises(LeaseLost):
        ledger.quarantine(c, LOST)
    assert ledger.counts(job) == dict.fromkeys(store.records.STATES, 0) | {
        "done": 1,
        "quarantined": 1,
        "pending": 1,
    }
    ledger.verify(job)


def test_renewing_tells_what_is_lost(ledger: Store, clock: Clock) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a", "b", "c"))
    a, b, c = ledger.claim(job, "w1", 3, 60)
    ledger.release(c)
    clock.pass_(50)
    assert ledger.renew([a, b, c], 60) == [c]
    clock.pass_(50)
    assert [lease.uri for lease in ledger.claim(job, "w2", 3, 60)] == ["/in/c"]
    clock.pass_(50)
    ledger.claim(job, "w2", 3, 60)
    assert ledger.renew([a, b], 60) == [a, b]
    assert ledger.renew([], 60) == []


def test_giving_back_is_not_counted_as_a_try(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a"))
    for _ in range(5):
        [lease] = ledger.claim(job, "w", 1, 60)
        assert (lease.attempt, lease.suspect) == (1, False)
        ledger.release(lease)


def test_a_passing_failure_is_tried_again_later_and_not_for_ever(ledger: Store, clock: Clock) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a"))
    for attempt in (1, 2, 3):
        [lease] = ledger.claim(job, "w", 1, 60)
        assert lease.attempt == attempt
        ledger.release(lease, UNREACHABLE, delay=30, attempts=3)
        if attempt < 3:
            assert ledger.claim(job, "w", 1, 60) == []
            assert ledger.next_due(job) == pytest.approx(30)
            clock.pass_(30)
    assert ledger.next_due(job) is None
    [item] = ledger.failed(job)
    assert (item.uri, item.failure, item.attempts) == ("/in/a", UNREACHABLE, 3)
    ledger.verify(job)


def test_who_vanishes_makes_suspects_that_are_tried_alone(ledger: Store, clock: Clock) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs(*"abcd"))
    assert len(ledger.claim(job, "w1", 2, 60)) == 2
    clock.pass_(61)
    assert [lease.uri for lease in ledger.claim(job, "w2", 9, 60, suspects=False)] == ["/in/c", "/in/d"]
    for name in "ab":
        [lease] = ledger.claim(job, "w2", 9, 60)
        assert (lease.uri, lease.suspect, lease.losses, lease.attempt) == (f"/in/{name}", True, 1, 2)
    assert ledger.claim(job, "w2", 9, 60) == []


def test_what_was_held_when_a_replica_died_is_a_suspect(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a", "b", "c"))
    a, b = ledger.claim(job, "w", 2, 60)
    ledger.release(a, LOST)
    ledger.release(b, UNREACHABLE)
    assert [lease.uri for lease in ledger.claim(job, "w", 9, 60)] == ["/in/a"]
    assert [lease.uri for lease in ledger.claim(job, "w", 9, 60)] == ["/in/b", "/in/c"]


def test_what_loses_every_worker_is_quarantined(ledger: Store, clock: Clock) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a"))
    for _ in range(3):
        assert len(ledger.claim(job, "w7", 1, 60, max_losses=3)) == 1
        clock.pass_(61)
    assert ledger.claim(job, "w7", 1, 60, max_losses=3) == []
    [item] = ledger.failed(job)
    assert (item.failure.reason, item.losses, item.attempts, item.worker) == (Reason.worker_lost, 3, 3, "w7")
    assert "3 times" in item.failure.message and "w7" in item.failure.message
    ledger.verify(job)


def test_lost_workers_are_not_held_against_the_document(ledger: Store, clock: Clock) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a"))
    for _ in range(4):
        ledger.claim(job, "w", 1, 60)
        clock.pass_(61)
    [lease] = ledger.claim(job, "w", 1, 60)
    ledger.release(lease, UNREACHABLE, attempts=3)
    assert ledger.counts(job)["pending"] == 1


def test_each_end_says_in_which_state_it_left_the_document(ledger: Store, clock: Clock) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a", "b", "c", "d"))
    ledger.claim(job, "a lane that dies", 1, 60)
    clock.pass_(61)
    leases = {lease.uri[-1]: lease for _ in "ab" for lease in ledger.claim(job, "w", 9, 60)}
    assert {name: (lease.attempt, lease.tries) for name, lease in leases.items()} == {
        "a": (2, 1), "b": (1, 1), "c": (1, 1), "d": (1, 1)
    }  # fmt: skip
    for _ in range(2):  # a repeated call, whose first answer was lost, says the same
        assert ledger.release(leases["a"], UNREACHABLE, attempts=2) == "pending"  # the loss was no try
        assert ledger.release(leases["b"], UNREACHABLE, attempts=1) == "quarantined"
        assert ledger.release(leases["c"]) == "pending"
        found = invoice(state="review")
        assert ledger.commit(leases["d"], found, [page(1)], sha256="ab") == "review"
    [again] = [lease for lease in ledger.claim(job, "w", 9, 60) if lease.uri == "/in/a"]
    assert (again.attempt, again.tries) == (3, 2)
    assert ledger.release(again, UNREACHABLE, attempts=2) == "quarantined"
    [other] = ledger.claim(job, "w", 9, 60)
    assert [ledger.quarantine(other, LOST) for _ in range(2)] == ["quarantined"] * 2


def test_the_databases_clock_ends_leases(url: str) -> None:
    with store.open(url) as ledger:
        job = samples.job(ledger)
        ledger.add_documents(job, refs("a"))
        [lease] = ledger.claim(job, "w", 1, 0.2)
        assert 0 < (ledger.next_due(job) or 0) <= 0.2
        assert abs((lease.expires - ledger.now()).total_seconds()) < 1
        while not ledger.claim(job, "w2", 1, 60):
            time.sleep(0.02)
        with pytest.raises(LeaseLost):
            finish(ledger, lease)


def test_pages_are_kept_as_soon_as_they_are_read(ledger: Store, clock: Clock) -> None:
    june, july = samples.job(ledger, "june"), samples.job(ledger, "july")
    ledger.add_documents(june, refs("a"))
    [lease] = ledger.claim(june, "w1", 1, 60)
    ledger.save_page(lease, page(1))
    ledger.save_page(lease, failed_page(2))
    assert ledger.known_pages(["key-1", "key-2", "key-3"]) == {"key-1": page(1)}
    clock.pass_(61)  # the worker dies; the next one finds the page
    ledger.add_documents(july, refs("other-name"))
    [again] = ledger.claim(june, "w2", 1, 60)
    [elsewhere] = ledger.claim(july, "w2", 1, 60)
    for holder in (again, elsewhere):
        known = ledger.known_pages(["key-1"])
        ledger.commit(holder, invoice(), [known["key-1"]], sha256="ab")
    assert ledger.page_results(june, "/in/a") == [
        page(1)
    ]  # the second page was of another version of the file
    ledger.verify(june)
    ledger.verify(july)


def test_a_result_must_have_each_page_once(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a"))
    [lease] = ledger.claim(job, "w", 1, 60)
    for pages in ([], [page(1)], [page(1), page(1)], [page(1), page(3)]):
        with pytest.raises(ValueError, match="2 pages"):
            ledger.commit(lease, invoice(pages=2), pages, sha256="ab")
    assert ledger.counts(job)["leased"] == 1


def test_a_clock_that_is_put_back_keeps_nobody_waiting(ledger: Store, clock: Clock) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a", "b", "c"))
    [held] = ledger.claim(job, "died", 1, 60)
    clock.pass_(-7200)
    taken = [lease.uri for _ in range(4) for lease in ledger.claim(job, "w", 3, 60)]
    assert sorted(taken) == ["/in/a", "/in/b", "/in/c"]
    with pytest.raises(LeaseLost):
        finish(ledger, held)


def test_a_lease_or_delay_of_usual_length_is_left_alone(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a", "b"))
    _, delayed = ledger.claim(job, "w1", 2, 600)
    ledger.release(delayed, UNREACHABLE, delay=90)
    assert [ledger.claim(job, "w2", 2, 1) for _ in range(3)] == [[], [], []]


def test_a_long_lease_is_not_taken_for_a_clock_that_was_put_back(ledger: Store, clock: Clock) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a", "b"))
    [held] = ledger.claim(job, "patient", 1, 7200)
    [delayed] = ledger.claim(job, "patient", 1, 7200)
    ledger.release(delayed, UNREACHABLE, delay=3600)
    assert [ledger.claim(job, "quick", 2, 60) for _ in range(3)] == [[], [], []]
    clock.pass_(30)
    assert ledger.renew([held], 7200) == []
    assert [ledger.claim(job, "quick", 2, 60) for _ in range(3)] == [[], [], []]
    finish(ledger, held)
    clock.pass_(-1200)  # now it was: what waits for an hour from then is due
    ledger.claim(job, "quick", 2, 60)
    assert [lease.uri for lease in ledger.claim(job, "quick", 2, 60)] == ["/in/b"]


def test_a_row_of_an_older_vinbatch_waits_for_its_time(ledger: Store, clock: Clock) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a"))
    ledger.claim(job, "older", 1, 7200)
    with ledger._db.write() as connection:
        connection.exec_driver_sql("UPDATE documents SET scheduled_at = NULL")
    assert [ledger.claim(job, "w", 1, 60) for _ in range(3)] == [[], [], []]
    clock.pass_(7201)
    assert [lease.uri for lease in ledger.claim(job, "w", 1, 60)] == ["/in/a"]


def test_the_ledger_answers_what_state_it_left(ledger: Store) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs(*"abcdef"))
    a, b, c, d, e, f = ledger.claim(job, "w", 6, 60)
    for _ in range(2):  # also when the first answer was lost on the way
        assert ledger.release(a) == "pending"
        assert ledger.release(b, UNREACHABLE, attempts=2) == "pending"
        assert ledger.release(c, UNREACHABLE, attempts=1) == "quarantined"
        assert ledger.quarantine(d, LOST) == "quarantined"
        for lease, state in ((e, "review"), (f, "partial")):
            pages = [page(1, lease.uri)]
            assert ledger.commit(lease, invoice(state=state), pages, sha256="ab") == state
    assert [row.state for row in ledger.documents(job)] == [
        *("pending", "pending", "quarantined", "quarantined", "review", "partial")
    ]


def test_what_a_document_failed_for_before_is_forgotten_when_it_is_done(ledger: Store, clock: Clock) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a", "b", "c"))
    a, b, _ = ledger.claim(job, "w", 3, 60)
    why = replace(UNREACHABLE, page=2, traceback="Traceback …")
    ledger.release(a, why)
    ledger.quarantine(b, why)
    ledger.retry(job, document="/in/b")
    clock.pass_(61)  # the third one loses its worker
    for _ in range(3):
        for lease in ledger.claim(job, "w", 3, 60):
            finish(ledger, lease)
    assert [(row.state, row.reason, row.message) for row in ledger.documents(job)] == [
        ("done", None, None)
    ] * 3
    with ledger._db.read() as connection:
        left = "SELECT count(*) FROM documents WHERE traceback IS NOT NULL OR retryable IS NOT NULL"
        assert connection.exec_driver_sql(f"{left} OR failed_page IS NOT NULL").scalar_one() == 0


def test_a_suspect_that_is_due_later_is_waited_for(ledger: Store) -> None:
    """Else a lane would end while its last document waits for another try."""
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a"))
    [lease] = ledger.claim(job, "w", 1, 60)
    ledger.release(lease, LOST, delay=30)
    assert ledger.next_due(job) == pytest.approx(30)
    ledger.add_documents(job, refs("b"))
    [other] = ledger.claim(job, "w", 1, 60)
    assert ledger.next_due(job) == pytest.approx(30)
    ledger.release(other, delay=10)
    assert ledger.next_due(job) == pytest.approx(10)


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
def test_a_value_of_another_type_is_refused_by_name(ledger: Store, name: str, value: object) -> None:
    job = samples.job(ledger)
    ledger.add_documents(job, refs("a"))
    [lease] = ledger.claim(job, "w", 1, 60)
    odd: Extraction = replace(invoice(), record={**invoice().record, name: value})
    with pytest.raises(Permanent, match=f"field {name}") as caught:
        finish(ledger, lease, odd)
    assert caught.value.reason == Reason.schema_mismatch
    assert str(value) not in caught.value.message
    odd = replace(invoice(), record={**invoice().record, "lines": [{}, {"amount": "ba"}]})
    with pytest.raises(Permanent, match=r"field lines\[1\]\.amount"):
        finish(ledger, lease, odd)
    assert ledger.counts(job)["leased"] == 1
