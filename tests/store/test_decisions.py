"""What people decide: applied at once, kept with its history, taken back without a trace in the result."""

from __future__ import annotations

import json

import pytest

from pipeline import grammar, judging, merge, parse
from pipeline.errors import LeaseLost, UsageError
from pipeline.records import Decision, Extraction, PageResult
from pipeline.store import Job, Store, StoredExtraction
from schemas.registry import resolve
from tests.pipeline.walker import recite
from tests.store import samples
from tests.store.samples import Clock, refs

RECEIPT = resolve("receipt@1")
LINES = [
    {"name": "Sữa", "quantity": "2", "unit_price": "15.000", "amount": "30.000"},
    {"name": "Bánh", "quantity": "1", "unit_price": "12.000", "amount": "12.000"},
]
WHOLE = {"store": "Chợ Mới", "date": "05/11/2026", "lines": LINES, "total": "42.000"}


def read(key: str = "a1", **changes: object) -> PageResult:
    said = recite(grammar.answer(RECEIPT.shape, {**WHOLE, **changes}), doubts={"Chợ": 0.7})
    return PageResult(1, key, parse.page_record(said, RECEIPT, 1), None)


def merged(page: PageResult) -> Extraction:
    assert page.record is not None
    return merge.document([page.record], RECEIPT, review_below=0.9)


def filled(store: Store, name: str = "june", **changes: object) -> Job:
    """One document, whose shop is read with a confidence of 0.7."""
    job = samples.job(store, name, spec=RECEIPT, settings={"review_below": 0.9})
    store.ledger.add(job, refs("a"))
    commit(store, job, read(**changes))
    return job


def commit(store: Store, job: Job, page: PageResult) -> str:
    [lease] = store.ledger.claim(job, "worker", 1, lease_seconds=60)
    return store.results.commit(lease, merged(page), [page], sha256="ab")


def again(store: Store, job: Job, **changes: object) -> str:
    """The document is read again, in other words."""
    from pipeline.store.failures import reopen

    with store._db.write() as connection:
        [id] = connection.exec_driver_sql("SELECT id FROM documents").scalars()
        reopen(store._db, connection, [id])
    return commit(store, job, read("a2", **changes))


def only(store: Store, job: Job) -> StoredExtraction:
    [stored] = store.results.extractions(job)
    return stored


def decide(store: Store, job: Job, *made: tuple[str | None, str, str | None], **more: str) -> tuple[int, ...]:
    decisions = [Decision(field, ruling, "lan", raw) for field, ruling, raw in made]  # type: ignore[arg-type]
    return store.decisions.add(job, "/in/a", decisions, **more)  # type: ignore[arg-type]


def failed(extraction: Extraction) -> dict[str, str]:
    return {check.code: check.severity for check in extraction.checks if not check.passed}


@pytest.mark.medium
def test_a_correction_is_in_all_that_is_asked_and_not_in_what_was_read(store: Store) -> None:
    job = filled(store, total="43.000")
    before = only(store, job)
    assert before.extraction.state == "review" and failed(before.extraction)["low_confidence"] == "warning"
    ids = decide(store, job, ("store", "accept", None), ("total", "correct", "42.000"))
    after = only(store, job)
    assert after.extraction.record["total"] == "42000" and after.extraction.state == "done"
    assert set(failed(after.extraction).values()) == {"info"}  # decided, and no sum fails any more
    assert "low_confidence" in failed(after.extraction) and "total" not in failed(after.extraction)
    assert after.extraction.fields == before.extraction.fields and after.reading == before.extraction
    decided = {field.path: field for field in after.decided.fields}
    assert (decided["total"].value, decided["total"].raw) == ("42000", "42.000")
    assert decided["total"].source == decided["store"].source == "review" and decided["date"].source == "read"
    with store.query("SELECT total, sources FROM receipt_v1") as rows:
        [(total, sources)] = rows
    assert int(total) == 42000
    given = json.loads(sources) if isinstance(sources, str) else sources
    assert (given["total"], given["store"], given["date"]) == ("review", "review", "read")
    [accepted, corrected] = store.decisions.history(job, "/in/a")
    assert (accepted.value, accepted.was) == ("Chợ Mới", "Chợ Mới")
    assert (corrected.id, corrected.by, corrected.was, corrected.value) == (ids[1], "lan", "43000", "42000")
    assert store.books.verify(job).done == 1

    other = filled(store, "july")
    assert [(change.path, change.before, change.after) for change in store.diff(job, other)] == [
        (None, "done", "review")
    ]
    assert store.decisions.undo(ids, "minh") == 2
    assert only(store, job) == before
    assert {one.undone_by for one in store.decisions.history(job, "/in/a")} == {"minh"}
    assert store.decisions.undo(ids, "minh") == 0 and store.books.verify(job).review == 1


@pytest.mark.medium
def test_a_reading_that_comes_later_keeps_what_was_decided(store: Store) -> None:
    job = filled(store, total="43.000")
    decide(store, job, ("store", "accept", None), ("total", "correct", "42.000"))
    for said in ("42.000", "43.000"):  # the decided value, or the one that was wrong then
        assert again(store, job, total=said) == "done"
    assert again(store, job, total="44.000") == "review"
    found = only(store, job).extraction
    assert found.record["total"] == "42000"
    [check] = [check for check in found.checks if check.code == "reading_differs"]
    assert (check.fields, check.expected, check.found) == (("total",), "42000", "44000")
    assert judging.judge(store, job, RECEIPT, 0.8)["review", "review"] == 1  # from its pages
    assert only(store, job).extraction.record["total"] == "42000"
    decide(store, job, ("total", "accept", None))
    assert only(store, job).extraction.record["total"] == "44000"
    assert store.books.verify(job).done == 1  # a person confirmed the one value that would mend the sum


@pytest.mark.medium
def test_a_rejected_document_has_no_result_until_that_is_taken_back(store: Store) -> None:
    job = filled(store)
    before = only(store, job)
    [id] = decide(store, job, (None, "reject", None))
    assert not list(store.results.extractions(job)) and store.books.verify(job).quarantined == 1
    [group] = store.failures.groups(job)
    assert (group.reason, group.documents) == ("rejected", 1)
    with store.query("SELECT count(*) FROM receipt_v1") as rows:
        assert list(rows) == [(0,)]
    for asked in ({"reason": "rejected"}, {"document": "/in/a"}):
        with pytest.raises(UsageError, match="rejected"):
            store.failures.retry(job, **asked)
    assert again(store, job) == "quarantined"
    store.decisions.undo([id], "lan")
    assert only(store, job) == before and store.books.verify(job).review == 1


def test_lines_are_taken_out_and_added(store: Store) -> None:
    job = filled(store, lines=[LINES[0], LINES[0], LINES[1]])
    decide(store, job, ("lines[1]", "not_on_page", None), ("store", "accept", None))
    found = only(store, job)
    assert [line["name"] for line in found.extraction.record["lines"]] == ["Sữa", "Bánh"]
    assert found.extraction.state == "done"
    paths = {field.path: field.value for field in found.decided.fields}
    assert paths["lines"] == 2 and paths["lines[1].name"] == "Bánh" and "lines[2].name" not in paths
    with pytest.raises(UsageError, match=r"lines\[3\]\.name: there is no such line"):
        decide(store, job, ("lines[3].name", "correct", "Kẹo"))
    decide(store, job, ("lines", "correct", "4"), ("lines[3].amount", "correct", "5.000"))
    found = only(store, job)
    assert [line["amount"] for line in found.extraction.record["lines"]] == ["30000", "12000", "5000"]
    assert found.extraction.state == "review"  # the sum
    assert {field.path: field.value for field in found.decided.fields}["lines[2].amount"] == "5000"
    # A view names what stands beside a line by the line that it has now.
    decide(store, job, ("lines[2].quantity", "accept", None))
    with store.query("SELECT line, name, amount, sources FROM receipt_v1_lines ORDER BY line") as rows:
        shown = [(*row[:3], json.loads(row[3]) if store.one_machine else row[3]) for row in rows]
    as_read = dict.fromkeys(("name", "quantity", "unit_price", "amount"), "read")
    assert [row[3] for row in shown] == [as_read, as_read | {"quantity": "review"}, {"amount": "review"}]
    decide(store, job, ("lines[0]", "not_on_page", None))
    with store.query("SELECT line, sources FROM receipt_v1_lines ORDER BY line") as rows:
        shown = [(line, json.loads(told) if store.one_machine else told) for line, told in rows]
    assert shown == [(1, as_read | {"quantity": "review"}), (2, {"amount": "review"})]


def test_the_last_decision_of_a_value_counts_everywhere(store: Store) -> None:
    job, other = filled(store), samples.job(store, "other", spec=RECEIPT)
    store.ledger.add(other, refs("a"))
    commit(store, other, read("o1"))
    ids = [
        *decide(store, job, ("total", "correct", "43.000")),
        *decide(store, job, ("total", "illegible", None)),
        *decide(store, job, ("total", "correct", "44.000")),
        *decide(store, job, ("total", "not_on_page", None)),
    ]

    def shown() -> tuple[object, ...]:
        asked = "SELECT total, sources, absences FROM receipt_v1 WHERE job = 'june'"
        with store.query(asked) as rows:
            [(total, *told)] = rows
        sources, absences = (json.loads(one) if store.one_machine else one for one in told)
        [decided] = [field for field in only(store, job).decided.fields if field.path == "total"]
        whole = None if total is None else int(total)
        assert only(store, job).extraction.record["total"] == (None if whole is None else str(whole))
        return whole, sources.get("total"), absences.get("total"), decided.value, decided.source

    expected = [
        (None, None, "not_on_page", None, "review"),
        (44000, "review", None, "44000", "review"),
        (None, None, "illegible", None, "review"),
        (43000, "review", None, "43000", "review"),
        (42000, "read", None, "42000", "read"),
    ]
    for number, then in enumerate(expected):
        assert shown() == then, number
        if number < len(ids):
            assert store.decisions.undo(ids[-1 - number : len(ids) - number], "lan") == 1
    assert [one.undone_at is None for one in store.decisions.history(job, "/in/a")] == [False] * 4
    assert store.decisions.history(other, "/in/a") == [] and store.books.verify(other).submitted == 1


def test_a_commit_that_is_sent_again_after_a_decision_changes_nothing(store: Store) -> None:
    job = samples.job(store, spec=RECEIPT, settings={"review_below": 0.9})
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "worker", 1, lease_seconds=60)
    first, other = read(), read("a2", total="43.000")
    assert store.results.commit(lease, merged(first), [first], sha256="ab") == "review"
    decide(store, job, ("store", "accept", None))
    decided = only(store, job)
    assert decided.extraction.state == "done"
    assert store.results.commit(lease, merged(first), [first], sha256="ab") == "done"
    with pytest.raises(LeaseLost):
        store.results.commit(lease, merged(other), [other], sha256="ab")
    assert only(store, job) == decided


def test_decisions_are_those_of_one_document_of_one_job(store: Store) -> None:
    june = filled(store, "june")
    july = filled(store, "july")
    store.decisions.add(june, "/in/a", [Decision("total", "illegible", "lan")], batch="sheet")
    [kept] = store.decisions.add(july, "/in/a", [Decision("total", "illegible", "lan")], batch="other")
    assert store.decisions.undo_batch("no such", "an") == 0
    assert store.decisions.undo_batch("sheet", "an") == 1
    [mine], [theirs] = (store.decisions.history(job, "/in/a") for job in (june, july))
    assert (mine.batch, mine.undone_by, theirs.batch, theirs.undone_by) == ("sheet", "an", "other", None)
    assert (theirs.id, theirs.field, theirs.ruling, theirs.was, theirs.was is not None) == (
        kept, "total", "illegible", "42000", True
    )  # fmt: skip
    assert only(store, june).extraction.record["total"] == "42000"
    assert only(store, july).extraction.record["total"] is None
    with pytest.raises(UsageError, match="job june has no document /in/z"):
        store.decisions.add(june, "/in/z", [Decision(None, "accept", "lan")])
    store.ledger.add(june, refs("waits"))
    with pytest.raises(UsageError, match="/in/waits is pending: people decide on what has a result"):
        store.decisions.add(june, "/in/waits", [Decision(None, "accept", "lan")])


def test_a_document_is_accepted_as_a_whole(store: Store) -> None:
    job = filled(store, total="43.000")
    decide(store, job, (None, "accept", None))
    found = only(store, job).extraction
    assert found.state == "done" and found.record["total"] == "43000"
    assert "error" not in failed(found).values()
    assert again(store, job, total="44.000") == "review"
    assert only(store, job).extraction.record["total"] == "43000"


def test_what_cannot_be_decided_is_told_without_the_value(store: Store) -> None:
    job = filled(store)
    for made, says in (
        (("totals", "accept", None), "the schema has no field totals"),
        (("total", "correct", "secret"), "total: this is no number as it is printed"),
        (("total", "correct", " "), "a correction has a value"),
        (("date", "reject", None), "rejected as a whole"),
        ((None, "illegible", None), "accept or reject"),
    ):
        with pytest.raises(UsageError, match=says) as told:
            decide(store, job, made)
        assert "secret" not in told.value.message
    assert not store.decisions.history(job, "/in/a")


def test_claims_keep_two_reviewers_apart(store: Store, clock: Clock) -> None:
    job = filled(store)
    [id] = _ids(store)
    mine = store.claims.take(id, "lan", 60)
    assert mine is not None and store.claims.take(id, "minh", 60) is None
    decide(store, job, ("store", "accept", None), claim=mine.token)
    clock.pass_(50)
    assert store.claims.renew(id, mine.token, 60)
    clock.pass_(61)
    assert store.claims.take(id, "minh", 60) is not None and not store.claims.renew(id, mine.token)
    with pytest.raises(LeaseLost):
        decide(store, job, ("total", "correct", "1"), claim=mine.token)
    assert [(row.who, row.action, row.field) for row in store.audit.rows(id)] == [("lan", "accept", "store")]


def test_an_import_is_taken_back_as_a_whole_and_a_purge_takes_all(store: Store) -> None:
    job = filled(store)
    decide(store, job, ("store", "correct", "Chợ Cũ"), batch="sheet 1")
    decide(store, job, ("total", "illegible", None), batch="sheet 1")
    assert only(store, job).extraction.record["total"] is None
    assert store.decisions.undo_batch("sheet 1", "lan") == 2
    purged = store.purge(subject="Chợ Cũ")
    assert (purged.documents, purged.decisions) == (1, 2)
    assert {row.action for row in store.audit.rows()} == {"correct", "illegible", "undo"}


def _ids(store: Store) -> list[int]:
    with store.query("SELECT id FROM documents") as rows:
        return [id for (id,) in rows]


def test_the_queue_begins_where_most_is_found_and_has_its_sample(store: Store) -> None:
    job = samples.job(store, spec=RECEIPT, settings={"review_below": 0.9})
    store.ledger.add(job, refs("right", "unsure", "wrong"))
    totals = {"/in/right": "42.000", "/in/unsure": "42.000", "/in/wrong": "43.000"}
    for lease in store.ledger.claim(job, "worker", 3, lease_seconds=60):
        page = read(lease.uri, total=totals[lease.uri])
        found = (
            merged(page)
            if lease.uri != "/in/right"
            else merge.document([page.record], RECEIPT, review_below=0.1)
        )  # type: ignore[list-item]
        store.results.commit(lease, found, [page], sha256="ab")
    entries = store.queue.entries(job, share=1.0)
    assert [(entry.uri, entry.sample) for entry in entries] == [
        ("/in/wrong", False),
        ("/in/unsure", False),
        ("/in/right", True),
    ]
    assert [entry.uri for entry in store.queue.entries(job, search="uns")] == ["/in/unsure"]
    assert not store.queue.entries(job, "sample", share=0.0)
    store.claims.take(entries[0].document_id, "lan")
    assert store.queue.entries(job)[0].reviewer == "lan"
