"""A job is resumed under its own settings or refused; the books and the ways to look into them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import store as stores
from pipeline.errors import Reason, Unbalanced, UsageError
from pipeline.records import Decision, Failure
from pipeline.store import FailureGroup, Store
from schemas.registry import resolve
from tests.store import samples
from tests.store.samples import INVOICE, Clock, failed_page, finish, invoice, page, refs

SETTINGS = {"render": {"dpi": 200}, "engine": {"max_new_tokens": 2048}}


def test_the_same_job_is_resumed_with_more_sources(store: Store) -> None:
    first = samples.job(store)
    again = samples.job(store, sources=["in", "more"], model="the same weights elsewhere")
    assert (again.id, again.sources, again.model) == (first.id, ("in", "more"), "demo")
    assert store.jobs.find("june") == again
    assert [found.name for found in store.jobs.all()] == ["june"]
    assert (again.schema, again.schema_hash, again.settings) == ("invoice@1", INVOICE.hash, SETTINGS)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"settings": {**SETTINGS, "render": {"dpi": 300}}}, "render.dpi was 200 and is 300"),
        ({"settings": {"render": {"dpi": 200}}}, "engine.max_new_tokens was 2048 and is None"),
        ({"checkpoint": "d" * 64}, "checkpoint was cccccccccccc (demo) and is dddddddddddd"),
        ({"spec": resolve("receipt@1")}, "schema was invoice@1 and is receipt@1"),
        ({"spec": replace(INVOICE, hash="0" * 64)}, "schema invoice@1 has been changed since"),
    ],
)
def test_the_same_name_with_other_settings_is_refused(store: Store, changes: dict, named: str) -> None:
    samples.job(store)
    with pytest.raises(UsageError) as caught:
        samples.job(store, **changes)
    assert f"job june was begun otherwise: {named}." in caught.value.message


def test_an_unknown_job_is_told_with_those_that_exist(store: Store) -> None:
    with pytest.raises(UsageError, match=r"no job june in .*; there is none yet"):
        store.jobs.find("june")
    samples.job(store, "july")
    with pytest.raises(UsageError, match="the newest are july"):
        store.jobs.find("june")


def _beside(store: Store) -> None:
    """Another job with documents in each state, of which nothing is counted, named or changed here."""
    job = samples.job(store, "beside", checkpoint="d" * 64)
    store.ledger.add(job, refs(*(f"beside-{name}" for name in "abcdefgh")))
    a, b, c, d, e, f, _ = store.ledger.claim(job, "w", 7, 1e6)
    finish(store, a)
    finish(store, b, invoice(state="review"))
    pages = [page(1, "beside"), failed_page(2)]
    store.results.commit(c, invoice(pages=2, state="partial"), pages, sha256="beside")
    store.ledger.quarantine(d, Failure(Reason.pdf_damaged, "no"))
    store.ledger.quarantine(e, Failure(Reason.generation_loop, "round", page=3))
    finish(store, f)
    store.decisions.add(job, "/in/beside-f", [Decision("total", "accept", "an")])


def _unchanged(store: Store) -> None:
    counts = store.books.counts(store.jobs.find("beside"))
    assert counts.pop("done") + counts.pop("review") == 3
    assert counts == {"partial": 1, "quarantined": 2, "pending": 1, "leased": 1}


def _mixed(store: Store) -> None:
    """Documents a to f: done, review, partial, quarantined twice, pending."""
    _beside(store)
    job = samples.job(store)
    store.ledger.add(job, refs(*"abcdef"))
    a, b, c, d, e = store.ledger.claim(job, "w", 5, 60)
    finish(store, a)
    finish(store, b, invoice(state="review"))
    store.results.commit(c, invoice(pages=2, state="partial"), [page(1), failed_page(2)], sha256="ab")
    store.ledger.quarantine(d, Failure(Reason.pdf_damaged, "no xref", traceback="Traceback …"), sha256="cd")
    store.ledger.quarantine(e, Failure(Reason.generation_loop, "page 3 went round", page=3))


def test_the_balance_counts_every_document(store: Store) -> None:
    _mixed(store)
    job = store.jobs.find("june")
    balance = store.books.verify(job)
    assert (balance.submitted, balance.unfinished) == (6, 1)
    assert (balance.done, balance.review, balance.partial, balance.quarantined) == (1, 1, 1, 2)
    assert (balance.pending, balance.leased, balance.balanced) == (1, 0, True)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            "DELETE FROM extractions WHERE document_id = (SELECT id FROM documents WHERE uri = '/in/a')",
            "/in/a: is done",
        ),
        (
            "UPDATE documents SET state = 'pending' WHERE uri = '/in/b'",
            "/in/b: is pending and has an extraction",
        ),
        ("DELETE FROM pages WHERE page = 2", "/in/c: has 1 page rows"),
        ("DELETE FROM documents WHERE uri = '/in/f'", "6 documents were submitted, 5 are there"),
    ],
)
def test_what_does_not_add_up_is_named(store: Store, damage: str, told: str) -> None:
    _mixed(store)
    job = store.jobs.find("june")
    with store._db.write() as connection:
        connection.exec_driver_sql(damage)
    with pytest.raises(Unbalanced, match="job june: 1 differences") as caught:
        store.books.verify(job)
    assert told in caught.value.message
    balance = store.books.balance(job)
    assert balance.difference_count == len(balance.differences) == 1
    assert balance.differences[0].kind in ("submitted", "no_extraction", "orphan_extraction", "page_rows")


@pytest.mark.medium
@pytest.mark.parametrize(
    ("damage", "told", "left"),
    [
        (
            "DELETE FROM extractions WHERE document_id = (SELECT id FROM documents WHERE uri = '/in/a')",
            "1 documents that lacked their result or a page of it are pending again",
            {"done": 0, "pending": 2},
        ),
        (
            "UPDATE documents SET state = 'pending' WHERE uri = '/in/b'",
            "1 results of documents that are not finished were removed",
            {"review": 0, "pending": 2},
        ),
        (
            "DELETE FROM pages WHERE page = 2",
            "1 documents that lacked their result or a page of it are pending again",
            {"partial": 0, "pending": 2},
        ),
        (
            "DELETE FROM documents WHERE uri = '/in/f'",
            "5 documents are there, and 6 were on the books: now 5",
            {"pending": 0},
        ),
        (
            "UPDATE jobs SET submitted = -40",
            "6 documents are there, and -40 were on the books: now 6",
            {},
        ),
    ],
)
def test_what_can_be_worked_out_is_put_right(
    store: Store, damage: str, told: str, left: dict[str, int]
) -> None:
    _mixed(store)
    job = store.jobs.find("june")
    before = store.books.counts(job)
    with store._db.write() as connection:
        connection.exec_driver_sql(damage)
    assert [step.message for step in store.books.repair(job)] == [told]
    store.books.verify(job)
    assert store.books.counts(job) == before | left
    assert store.books.repair(job) == []
    while leases := store.ledger.claim(job, "w", 9, 60):  # what is pending again can be read again
        for lease in leases:
            finish(store, lease)
    store.books.verify(job)
    _unchanged(store)


def test_of_many_differences_a_hundred_are_named(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs(*map(str, range(102))))
    with store._db.write() as connection:
        connection.exec_driver_sql("UPDATE documents SET state = 'done', pages = 0, finished_at = added_at")
        connection.exec_driver_sql("UPDATE jobs SET submitted = 103")
    balance = store.books.balance(job)
    assert (balance.difference_count, len(balance.differences)) == (103, 100)
    with pytest.raises(
        Unbalanced, match="103 differences in the ledger: 103 documents were submitted"
    ) as caught:
        store.books.verify(job)
    assert caught.value.message.count(";") == 9
    assert [step.number for step in store.books.repair(job)] == [102, -1]
    assert store.books.verify(job).pending == 102


def test_what_people_decided_is_held_against_what_is_kept_for_it(store: Store) -> None:
    """In one job, while another one that is damaged alike stays as it is."""
    jobs = [samples.job(store, "june"), samples.job(store, "july", checkpoint="d" * 64)]
    for job in jobs:
        store.ledger.add(job, refs("a", "b", "c"))
        for lease in store.ledger.claim(job, "w", 3, 60):
            finish(store, lease)
        store.decisions.add(job, "/in/a", [Decision("total", "accept", "an")])
        store.decisions.add(job, "/in/b", [Decision(None, "reject", "an")])
        store.books.verify(job)
    with store._db.write() as connection:
        connection.exec_driver_sql("DELETE FROM decisions")
    june, july = (store.books.balance(job).differences for job in jobs)
    assert len(june) == len(july) == 2 and {one.kind for one in june} == {"decision_rows"}
    told = "2 documents that lacked their result or a page of it are pending again"
    assert [step.message for step in store.books.repair(jobs[0])] == [told]
    store.books.verify(jobs[0])
    assert store.books.balance(jobs[1]).differences == july
    assert store.books.counts(jobs[0])["pending"] == 2


def test_rows_of_no_document_are_removed(tmp_path: Path) -> None:
    """PostgreSQL does not let it come to that; SQLite does, where another program has written."""
    with stores.open(f"sqlite:///{tmp_path / 'a.db'}") as store:
        _mixed(store)
        with closing(sqlite3.connect(tmp_path / "a.db")) as other, other:
            other.execute("DELETE FROM documents WHERE uri = '/in/a'")
        job = store.jobs.find("june")
        found = {
            (one.kind, one.message.partition(": ")[2], one.uri)
            for one in store.books.balance(job).differences
        }
        assert found == {("orphan_extraction", "belongs to no document", None), ("submitted", "", None)}
        assert [step.message for step in store.books.repair(job)] == [
            "15 rows that belong to no document were removed",
            "5 documents are there, and 6 were on the books: now 5",
        ]
        store.books.verify(job)


def test_failures_are_grouped_and_listed(store: Store) -> None:
    _mixed(store)
    job = store.jobs.find("june")
    assert store.failures.groups(job) == [
        FailureGroup("generation_loop", 1, 1, "/in/c"),
        FailureGroup("pdf_damaged", 1, 0, "/in/d"),
    ]
    c, d, e = store.failures.each(job)
    assert c.at == d.at == e.at == Clock().now
    assert (c.uri, c.failure) == ("/in/c", failed_page(2).failure)
    assert d.failure == Failure(Reason.pdf_damaged, "no xref", traceback="Traceback …")
    assert (e.failure.page, e.worker, e.attempts) == (3, "w", 1)
    assert [item.uri for item in store.failures.each(job, "pdf_damaged")] == ["/in/d"]


def test_retry_by_reason_takes_documents_and_pages(store: Store, clock: Clock) -> None:
    _mixed(store)
    job = store.jobs.find("june")
    assert store.failures.retry(job, reason="generation_loop") == 2
    assert store.failures.retry(job, reason="generation_loop") == 0
    assert store.results.pages(job, "/in/c") == [page(1)]  # what was read is not read again
    leases = store.ledger.claim(job, "w", 9, 60)
    assert [(lease.uri, lease.attempt) for lease in leases] == [("/in/c", 1), ("/in/e", 1), ("/in/f", 1)]
    for lease in leases:
        finish(store, lease)
    assert store.books.verify(job).done == 4
    _unchanged(store)


def test_failures_come_by_how_many_documents_then_pages_then_names(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs(*"abcdefg"))
    leases = store.ledger.claim(job, "w", 7, 60)
    reasons = ("pdf_damaged", "image_damaged", "pdf_damaged", "xml_damaged")
    for lease, reason in zip(leases, reasons, strict=False):
        store.ledger.quarantine(lease, Failure(Reason(reason), "no"))
    for lease, failed in zip(
        leases[4:], (Reason.xml_damaged, Reason.grammar_error, Reason.empty_file), strict=True
    ):
        pages = [page(1, lease.uri), failed_page(2, failed)]
        store.results.commit(lease, invoice(pages=2, state="partial"), pages, sha256=lease.uri)
    assert store.failures.groups(job) == [
        FailureGroup("pdf_damaged", 2, 0, "/in/a"),
        FailureGroup("xml_damaged", 1, 1, "/in/d"),
        FailureGroup("image_damaged", 1, 0, "/in/b"),
        FailureGroup("empty_file", 0, 1, "/in/g"),
        FailureGroup("grammar_error", 0, 1, "/in/f"),
    ]


def test_what_is_tried_again_begins_afresh_in_its_own_job(store: Store, clock: Clock) -> None:
    june, july = samples.job(store), samples.job(store, "july", checkpoint="d" * 64)
    for job in (june, july):
        store.ledger.add(job, refs("a"))
        store.ledger.claim(job, "dies", 1, 60)
    clock.pass_(61)
    for job in (june, july):
        [lease] = store.ledger.claim(job, "w", 1, 60)
        pages = [page(1, f"{job.name}-1"), failed_page(2)]
        store.results.commit(lease, invoice(pages=2, state="partial"), pages, sha256="ab")
        store.decisions.add(job, "/in/a", [Decision("total", "accept", "an")])
    assert store.failures.retry(june, document="/in/a") == 1
    [again] = store.ledger.claim(june, "w", 1, 60)
    assert (again.attempt, again.losses) == (1, 0)
    assert [one.page for one in store.results.pages(june, "/in/a")] == [1]
    assert store.books.verify(july).partial == 1 and len(store.results.pages(july, "/in/a")) == 2
    finish(store, again)
    store.books.verify(june)
    [found] = store.results.extractions(june)
    assert [decision.field for decision in found.decisions] == ["total"]


def test_retry_of_one_document(store: Store) -> None:
    _mixed(store)
    job = store.jobs.find("june")
    assert store.failures.retry(job, document="/in/d") == 1
    for uri, told in {"/in/a": "is done", "/in/d": "is pending", "/in/z": "has no document /in/z"}.items():
        with pytest.raises(UsageError, match=told):
            store.failures.retry(job, document=uri)
    with pytest.raises(UsageError, match="'no_such' is no reason code"):
        store.failures.retry(job, reason="no_such")
    with pytest.raises(UsageError, match="either a reason or a document"):
        store.failures.retry(job)
    store.books.verify(job)


def test_diff_tells_what_changed_field_by_field(store: Store) -> None:
    june, july = samples.job(store, "june"), samples.job(store, "july", checkpoint="d" * 64)
    store.ledger.add(june, refs("a", "b", "c", "é"))
    store.ledger.add(july, refs("é", "c", "b", "d"))
    for job, totals in (
        (june, {"a": "1", "b": "2", "c": "3", "é": "4"}),
        (july, {"b": "2", "c": None, "d": "5", "é": "6"}),
    ):
        for lease in store.ledger.claim(job, "w", 9, 60):
            total = totals[lease.uri.removeprefix("/in/")]
            finish(store, lease, invoice(total=total, state="done" if total else "review"))
    found = [(change.uri, change.path, change.before, change.after) for change in store.diff(june, july)]
    assert found == [
        ("/in/a", None, "done", None),
        ("/in/c", None, "done", "review"),
        ("/in/c", "total", "3", None),
        ("/in/d", None, None, "done"),
        ("/in/é", "total", "4", "6"),
    ]
    assert list(store.diff(june, june)) == []


def test_diff_holds_against_each_other_what_people_decided_and_what_could_not_be_taken(store: Store) -> None:
    june, july = samples.job(store, "june"), samples.job(store, "july", checkpoint="d" * 64)
    read = invoice()
    for job, rate, name in ((june, "?", "A"), (july, "??", "A")):
        store.ledger.add(job, refs("a", "b"))
        fields = (
            *read.fields[:-2],
            read.fields[-2]._replace(raw=rate),  # no value: what is printed counts
            read.fields[0]._replace(path="buyer_name", raw=f"{name} {job.name}", value=name),
        )
        for lease in store.ledger.claim(job, "w", 2, 60):
            finish(store, lease, replace(read, fields=fields, state="review"), sha256=lease.uri)
    assert [(change.uri, change.path, change.before, change.after) for change in store.diff(june, july)] == [
        ("/in/a", "vat_rate", "?", "??"),
        ("/in/b", "vat_rate", "?", "??"),
    ]
    store.decisions.add(july, "/in/a", [Decision("vat_rate", "illegible", "an")])
    ids = store.decisions.add(july, "/in/b", [Decision("seller_name", "correct", "an", "Công ty B")])
    found = [change for change in store.diff(june, july) if change.path is not None]
    assert [(change.uri, change.path, change.before, change.after) for change in found] == [
        ("/in/a", "vat_rate", "?", None),
        ("/in/b", "seller_name", "Công ty Mẫu", "Công ty B"),
        ("/in/b", "vat_rate", "?", "??"),
    ]
    store.decisions.undo(ids, "an")
    assert len([change for change in store.diff(june, july) if change.path == "seller_name"]) == 0
