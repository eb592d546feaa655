"""Several documents in one transaction: each is checked by its own lease, and none harms another."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from pipeline import store as stores
from pipeline.errors import LeaseLost, Permanent, Reason
from pipeline.records import Decision, DocumentRef, Extraction, Failure, Part
from pipeline.store import Result, Store, group_commit
from pipeline.store.failures import reopen
from pipeline.store.results import Results
from tests.store import samples
from tests.store.samples import Clock, invoice, page, refs
from tests.store.test_crashes import Died, dying_at


def _result(lease: stores.Lease, read: Extraction | None = None) -> Result:
    return Result(lease, read or invoice(), [page(key=lease.uri)], "ab")


@pytest.mark.medium
def test_each_document_is_ended_by_its_own_lease_and_late_ones_leave_nothing(
    store: Store, clock: Clock
) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("late", "taken"))
    late = store.ledger.claim(job, "slow", 2, 10)
    clock.pass_(20)
    store.ledger.add(job, refs("a", "b"))
    [now] = store.ledger.claim(job, "other", 1, 600)  # one of those that were lost, alone
    mine = store.ledger.claim(job, "w", 2, 600, suspects=False)
    found = store.results.commit_group([_result(lease) for lease in (*late, *mine)])
    assert [type(one) for one in found[:2]] == [LeaseLost] * 2 and found[2:] == ["done", "done"]
    states = {row.uri: row.state for row in store.results.documents(job)}
    assert states[now.uri] == "leased" and states["/in/a"] == states["/in/b"] == "done"
    assert len(list(store.results.extractions(job))) == 2
    # The same again, after its answer was lost: nothing is changed.
    assert store.results.commit_group([_result(lease) for lease in mine]) == ["done", "done"]
    assert store.results.commit(now, invoice(), [page()], sha256="ab") == "done"
    assert len({one.uri for one in store.results.extractions(job)}) == 3
    store.books.verify(job)


@pytest.mark.medium
def test_a_group_stores_what_one_by_one_stores(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b", "c"))
    alone, *two = store.ledger.claim(job, "w", 3, 600)
    read = replace(invoice(), score=0.5, tier="scan", calibration=7, read_on=date(2026, 11, 20))
    read = replace(read, fields=(read.fields[0]._replace(score=0.25), *read.fields[1:]))
    store.results.commit(alone, read, [page(key=alone.uri)], sha256="ab", etag="fetched")
    assert store.results.save_pages([(lease, page(key=lease.uri)) for lease in two]) == [None, None]
    assert store.results.commit_group([replace(_result(lease, read), etag="fetched") for lease in two]) == [
        "done", "done"
    ]  # fmt: skip
    first, *others = store.results.extractions(job)
    assert first.extraction == read
    rows = list(store.results.documents(job))
    for other, row in zip(others, rows[1:], strict=True):
        assert other.extraction == first.extraction and other.sha256 == first.sha256
        assert (row.state, row.pages, row.etag) == (rows[0].state, rows[0].pages, "fetched")
        [mine], [theirs] = (store.results.pages(job, uri) for uri in (row.uri, rows[0].uri))
        assert replace(mine, key="") == replace(theirs, key="")


@pytest.mark.medium
def test_what_cannot_go_with_the_others_goes_by_itself(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("decided"))
    first = store.ledger.claim(job, "w", 1, 600)[0]
    store.results.commit(first, invoice(), [page()], sha256="ab")
    store.decisions.add(job, first.uri, [Decision("total", "not_on_page", "lan")])
    with store._db.write() as connection:
        reopen(store._db, connection, [first.document_id])
    store.ledger.add(job, refs("wrong", "a", "b"))
    leases = store.ledger.claim(job, "w", 4, 600)
    wrong = replace(invoice(), record={**invoice().record, "total": "no number"})
    given = [_result(one, wrong if one.uri == "/in/wrong" else None) for one in leases]
    found = dict(zip((one.uri for one in leases), store.results.commit_group(given), strict=True))
    assert isinstance(found.pop("/in/wrong"), Permanent)
    assert found == {first.uri: "review", "/in/a": "done", "/in/b": "done"}, (
        "without its total it is doubtful"
    )
    stored = {one.uri: one for one in store.results.extractions(job)}
    assert [one.field for one in stored[first.uri].decisions] == ["total"]
    assert stored[first.uri].extraction.record["total"] is None


@pytest.mark.medium
def test_pages_of_a_lease_that_is_over_are_not_kept_and_the_others_are(store: Store, clock: Clock) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("late"))
    late = store.ledger.claim(job, "slow", 1, 10)[0]
    clock.pass_(20)
    store.ledger.add(job, refs("a"))
    store.ledger.claim(job, "other", 1, 600)
    [mine] = store.ledger.claim(job, "w", 1, 600, suspects=False)
    pages = [(late, page(key="late")), (mine, page(key="1")), (mine, replace(page(key="2"), page=2))]
    told = store.results.save_pages(pages)
    assert isinstance(told[0], LeaseLost) and told[1:] == [None, None]
    assert set(store.results.known_pages(["late", "1", "2"])) == {"1", "2"}


@pytest.mark.medium
def test_a_larger_group_than_one_transaction_takes_is_ended_and_kept_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MOST", 2)
    job = samples.job(store)
    store.ledger.add(job, refs(*"abcde"))
    for lease in store.ledger.claim(job, "w", 2, 600):
        why = Failure(Reason.object_changed, "it was written to", 1, True, "Traceback …")
        store.ledger.quarantine(lease, why)
    assert store.failures.retry(job, reason="object_changed") == 2
    leases = store.ledger.claim(job, "w", 5, 600)
    assert all(_result(lease).plain for lease in leases)
    pages = [(lease, page(key=lease.uri)) for lease in leases]
    gone = replace(leases[2], token="another's")
    told = store.results.save_pages([*pages[:2], (gone, page(key="gone")), *pages[3:]])
    assert [error is None for error in told] == [True, True, False, True, True]
    assert set(store.results.known_pages([lease.uri for lease in leases])) == {
        lease.uri for lease in leases if lease.uri != gone.uri
    }
    monkeypatch.setattr(Results, "commit", lambda *_, **__: pytest.fail("one went by itself"))
    # Without an etag the one that was listed stays, but that of another try is the file as it is now; what an
    # earlier failure said is forgotten.
    assert store.results.commit_group([_result(lease) for lease in leases]) == ["done"] * 5
    assert [(row.etag, row.reason, row.message) for row in store.results.documents(job)] == [
        (None if name in "ab" else f"etag-{name}", None, None) for name in "abcde"
    ]
    with store._db.read() as connection:
        left = "SELECT count(*) FROM documents WHERE traceback IS NOT NULL OR retryable IS NOT NULL"
        assert connection.exec_driver_sql(f"{left} OR failed_page IS NOT NULL").scalar_one() == 0
    store.books.verify(job)


def test_only_a_first_try_of_one_file_goes_with_others() -> None:
    lease = stores.Lease(1, 2, "/in/a", None, "t", 1, samples.Clock().now)
    assert _result(lease).plain
    for other in (
        _result(replace(lease, attempt=2)),
        _result(replace(lease, parts=(DocumentRef("/in/a"),))),
        replace(_result(lease), parts=(Part("/in/a"),)),
    ):
        assert not other.plain


@pytest.mark.slow
def test_death_at_any_statement_of_a_group_ends_all_of_it_or_none(store: Store) -> None:
    job = samples.job(store)
    for statement in range(1, 60):
        store.purge(job=job)
        job = samples.job(store)
        store.ledger.add(job, refs("a", "b", "c"))
        leases = store.ledger.claim(job, "w", 3, 60)
        try:
            with dying_at(store, statement):
                store.results.commit_group([_result(lease) for lease in leases])
        except Died:
            assert store.books.verify(job).done in (0, 3)
            assert store.results.commit_group([_result(lease) for lease in leases]) == ["done"] * 3
            assert store.books.verify(job).done == 3
        else:
            assert statement > 1
            return
    pytest.fail("never got to the end")
