"""An invoice that the store has already from another file is said when it is read, on both databases."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import delete, select

from pipeline import store as stores
from pipeline.judging import judge
from pipeline.records import Check, Decision
from pipeline.store import Store, duplicates, invoices
from pipeline.store.failures import reopen
from pipeline.store.group_commit import Result
from pipeline.store.tables import documents, invoice_index
from tests.store import samples
from tests.store.samples import finish, refs
from tests.store.test_input_vat import ask, made, put

REPEATS = ("duplicate_invoice", "duplicate_file")


def told(store: Store, job: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """State of each document of a job, and what it was said to repeat."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for one in store.results.extractions(store.jobs.find(job)):
        codes = tuple(check.code for check in one.extraction.checks if check.code in REPEATS)
        found[one.uri.removeprefix("/in/")] = one.extraction.state, codes
    return found


def test_the_later_of_two_papers_of_an_invoice_goes_to_review_in_whatever_job(store: Store) -> None:
    put(store, a=made("7"), b=made("8"))
    put(
        store,
        "june",
        c=made("00000007", form_no=None, series="1C26TAA"),
        d=made("9"),
        bare=made("7", series=None),
    )
    put(store, "july", e=made("8", state="partial", seller_tax_code="9900000016"))
    assert told(store, "may") == {"a": ("done", ()), "b": ("done", ())}
    assert told(store, "june") == {
        "c": ("review", ("duplicate_invoice",)),
        "d": ("done", ()),
        "bare": ("done", ()),
    }
    assert told(store, "july") == {"e": ("partial", ("duplicate_invoice",))}
    [c] = [one for one in store.results.extractions(store.jobs.find("june")) if one.uri == "/in/c"]
    assert c.extraction.checks[-1].message.endswith("/in/a")
    for job, number, pair in (("may", 2, ("/in/a", "/in/c")), ("june", 1, ("/in/c", "/in/a"))):
        [group] = [one for one in store.todo(store.jobs.find(job)) if one.kind == "duplicate"]
        assert (group.documents, group.examples) == (number, pair)
        assert group.next == ("query", "--named", "duplicate-invoices")


def test_the_same_file_read_again_is_none_and_the_same_bytes_under_another_name_are_one_of_their_own_kind(
    store: Store,
) -> None:
    put(store, same1=made("7"), same2=made("7"), other=made("7"))
    expected = {
        "same1": ("done", ()),
        "same2": ("review", ("duplicate_file",)),
        "other": ("review", ("duplicate_invoice",)),
    }
    assert told(store, "may") == expected
    store._db._clock.pass_(5)  # type: ignore[union-attr]
    put(store, "again", same1=made("7"), same2=made("7"), other=made("7"))
    assert told(store, "again") == expected
    # The newest reading of a file counts: what it was taken for before is no other paper any more.
    store._db._clock.pass_(5)  # type: ignore[union-attr]
    put(store, "third", same1=made("1"), same2=made("2"), other=made("3"))
    put(store, "fourth", new=made("7"))
    assert told(store, "fourth") == {"new": ("done", ())}
    # A candidate reads documents a second time, and says nothing of them.
    shadow = samples.job(store, "shadow", shadow=stores.Shadow(store.jobs.find("may").id, 1.0))
    store.ledger.add(shadow, refs("new2"))
    [lease] = store.ledger.claim(shadow, "w", 1, 60)
    finish(store, lease, made("7"))
    assert told(store, "shadow") == {"new2": ("done", ())}


def test_the_first_of_them_stays_the_first_when_it_is_read_once_more(store: Store) -> None:
    put(store, a=made("7"), b=made("7"))
    job = store.jobs.find("may")
    before = told(store, "may")
    assert before["b"] == ("review", ("duplicate_invoice",))
    for uri in ("/in/a", "/in/b"):
        with store._db.write() as connection:
            [id] = connection.execute(select(documents.c.id).where(documents.c.uri == uri)).scalars()
            reopen(store._db, connection, [id])
        [lease] = store.ledger.claim(job, "w", 1, 60)
        finish(store, lease, made("7"), sha256=uri)
        assert told(store, "may") == before


def test_a_group_is_held_against_itself_and_a_commit_that_is_sent_twice_is_no_error(store: Store) -> None:
    put(store, a=made("1"))
    job = samples.job(store, "june")
    store.ledger.add(job, refs("b", "c", "d", "e"))
    numbers = {"/in/b": "1", "/in/c": "2", "/in/d": "2", "/in/e": "3"}
    group = [
        Result(lease, made(numbers[lease.uri]), [samples.page(1, lease.uri)], lease.uri)
        for lease in store.ledger.claim(job, "w", 4, 60)
    ]
    states = store.results.commit_group(group)
    by_name = {one.lease.uri[-1]: state for one, state in zip(group, states, strict=True)}
    assert by_name == {"b": "review", "c": "done", "d": "review", "e": "done"}
    assert told(store, "june") == {
        "b": ("review", ("duplicate_invoice",)),
        "c": ("done", ()),
        "d": ("review", ("duplicate_invoice",)),
        "e": ("done", ()),
    }
    assert store.results.commit_group(group) == states
    with store.query("SELECT count(*) FROM checks WHERE code LIKE 'duplicate%'") as rows:
        assert list(rows) == [(2,)]


def test_what_a_person_decides_of_it(store: Store) -> None:
    put(store, a=made("7"))
    put(store, "june", b=made("7"), c=made("7"))
    june = store.jobs.find("june")
    # It is right that there are two, of this one; of the other the number was misread.
    store.decisions.add(june, "/in/b", [Decision(None, "accept", "an")])
    [fixed] = store.decisions.add(june, "/in/c", [Decision("number", "correct", "an", "70", "70")])
    found = told(store, "june")
    assert found["b"] == ("done", ("duplicate_invoice",)) and found["c"][1] == ()
    assert ask(store, "duplicate-invoices", "document_uri") == [("/in/a",), ("/in/b",)]
    assert not [one for one in store.todo(june) if one.kind == "duplicate"]
    store.decisions.undo([fixed], "an")
    assert told(store, "june")["c"] == ("review", ("duplicate_invoice",))
    # What stood for the invoice is gone: a new paper repeats those that are left.
    store.purge(document="/in/a")
    put(store, "july", d=made("7"))
    assert told(store, "july") == {"d": ("review", ("duplicate_invoice",))}


def test_judging_again_leaves_the_first_as_it_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, a=made("7"), b=made("7"))
    before = told(store, "may")
    monkeypatch.setattr("pipeline.judging.merged", lambda *_: made("7"))
    assert judge(store, store.jobs.find("may"), samples.INVOICE, 0.5) == Counter(
        {("done", "done"): 1, ("review", "review"): 1}
    )
    assert told(store, "may") == before


@pytest.mark.medium
def test_of_papers_that_are_read_at_the_same_moment_one_sees_the_other(store: Store, url: str) -> None:
    """Two lanes end the same invoices at once, many times over."""
    job = samples.job(store)
    count = 24
    names = [f"{number}-{lane}" for number in range(count) for lane in "ab"]
    store.ledger.add(job, refs(*names))
    leases = {lease.uri: lease for lease in store.ledger.claim(job, "w", len(names), 60)}
    together = threading.Barrier(2)

    def work(lane: str) -> None:
        with stores.open(url) as mine:
            for number in range(count):
                together.wait(30)
                one = leases[f"/in/{number}-{lane}"]
                if number % 2:
                    finish(mine, one, made(str(number)), sha256=one.uri)
                elif number % 4 == 0:  # two at once, and each lane in its own order
                    pair = [(one, number), (leases[f"/in/{number + 2}-{lane}"], number + 2)]
                    group = [
                        Result(lease, made(str(of)), [samples.page(1, lease.uri)], lease.uri)
                        for lease, of in (pair if lane == "a" else reversed(pair))
                    ]
                    assert all(isinstance(state, str) for state in mine.results.commit_group(group))

    with ThreadPoolExecutor(2) as lanes:
        for ended in [lanes.submit(work, lane) for lane in "ab"]:
            ended.result()
    found = told(store, "june")
    told_of: Counter[str] = Counter()
    for name, (state, codes) in found.items():
        told_of[name.split("-")[0]] += bool(codes)
        assert state == ("review" if codes else "done")
    assert len(found) == 2 * count and set(told_of.values()) == {1}


def test_what_an_older_version_has_read_is_known_too(store: Store) -> None:
    put(store, a=made("7"), b=made("7"))
    with store._db.write() as connection:  # as a store that was read before has none
        connection.execute(delete(invoice_index))
    store.prepare_for(samples.job(store, "june"))
    put(store, "june", c=made("7"))
    assert told(store, "june") == {"c": ("review", ("duplicate_invoice",))}
    [group] = [one for one in store.todo(store.jobs.find("may")) if one.kind == "duplicate"]
    assert group.documents == 2


def test_a_misread_amount_of_any_length_stops_nothing(store: Store) -> None:
    long = {
        "net": "9" * 60,
        "vat": "9" * 45,
        "total": "9" * 60,
        "currency": "USD",
        "exchange_rate": "25400.5",
    }
    several = [{"name": "Bút", "amount": "9" * 60, "vat_rate": rate} for rate in ("8%", "10%")]
    put(store, a=replace(made("7"), record=made("7").record | long | {"vat_rate": None, "lines": several}))
    assert told(store, "may") == {"a": ("done", ())}
    with store.query("SELECT total_vnd, shares FROM invoice_index") as rows:
        assert list(rows) == [(None, None)]


@pytest.mark.medium
def test_papers_wait_for_each_other_in_one_order(postgres_url: str) -> None:
    """However they stand in a group: else two groups that hold the same invoices may wait for each other."""
    with stores.open(postgres_url) as store, psycopg.connect(postgres_url) as other:
        job = samples.job(store)
        names = [str(number) for number in range(12)]
        store.ledger.add(job, refs(*names))
        leases = store.ledger.claim(job, "w", 12, 60)
        group = [Result(one, made(one.uri[4:]), [samples.page(1, one.uri)], one.uri) for one in leases]
        identities = [invoices.row(1, one.extraction.record)["identity"] for one in group]
        keys = "SELECT hashtextextended(given, 0) FROM unnest(CAST(%s AS text[])) AS given ORDER BY 1"
        (first,), *others = other.execute(keys, (identities,)).fetchall()
        other.execute("SELECT pg_advisory_xact_lock(%s)", (first,))
        waiter = threading.Thread(target=store.results.commit_group, args=(group,))
        waiter.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while other.execute(waits).fetchone() == (0,):
            other.execute("SELECT pg_stat_clear_snapshot()")
        free = [other.execute("SELECT pg_try_advisory_xact_lock(%s)", key).fetchone() for key in others]
        other.rollback()
        waiter.join()
        assert len(free) == 11 and set(free) == {(True,)}
        assert store.books.counts(job)["done"] == 12


def test_what_a_result_was_before_it_was_held_against_others() -> None:
    repeats = Check("duplicate_invoice", False, "warning", "another shows it", found="/in/a")
    same_file = Check("duplicate_file", False, "warning", "the same bytes", found="/in/a")
    remark, wrong = Check("remark", False, "info", "so"), Check("total", False, "error", "no sum")
    right = Check("total", True, "error", "a sum")
    for state, checks, before in (
        ("review", (remark, right, repeats), "done"),
        ("review", (wrong, same_file), "review"),
        ("partial", (repeats, same_file), "partial"),
    ):
        found = duplicates.unmarked(replace(made("1", state=state), checks=checks))
        kept = tuple(check for check in checks if check.code not in REPEATS)
        assert (found.state, found.checks) == (before, kept)
    as_it_was = replace(made("1", state="review"), checks=(wrong, remark))
    assert duplicates.unmarked(as_it_was) is as_it_was


def test_only_invoices_are_held_against_each_other(store: Store) -> None:
    card = samples.job(store, "receipts", samples.resolve("receipt@1"))
    assert duplicates.repeated(store._db, card) == duplicates.Repeated(0, ())
    assert duplicates.repeated(store._db, samples.job(store)) == duplicates.Repeated(0, ())
    put(store, "jobs", a=made("7"), b=made("7"), c=made("8"), d=made("9"), e=made("9"), f=made("9"))
    job = store.jobs.find("jobs")
    assert duplicates.repeated(store._db, job) == duplicates.Repeated(5, ("/in/a", "/in/b"))
    # What is decided of another document, or of one value, settles nothing.
    store.decisions.add(job, "/in/c", [Decision(None, "accept", "an")])
    store.decisions.add(job, "/in/a", [Decision("number", "accept", "an")])
    assert duplicates.repeated(store._db, job) == duplicates.Repeated(5, ("/in/a", "/in/b"))
    with store._db.write() as connection:
        connection.execute(delete(invoice_index))  # as an older Vinbatch left them
    assert duplicates.repeated(store._db, job).documents == 5
    messages = {
        one.uri: check.message
        for one in store.results.extractions(job)
        for check in one.extraction.checks
        if check.code in REPEATS
    }
    told = "another document of this store shows the same invoice (seller, form, series and number): "
    assert messages == {"/in/b": f"{told}/in/a", "/in/e": f"{told}/in/d", "/in/f": f"{told}/in/d"}


def test_of_papers_that_stand_for_an_invoice_no_more_the_same_file_is_told_first(store: Store) -> None:
    put(store, a=made("7"), b=made("7"), same1=made("7"))
    store.purge(document="/in/a")
    put(store, "july", same2=made("7"))
    assert told(store, "july") == {"same2": ("review", ("duplicate_file",))}
    [found] = store.results.extractions(store.jobs.find("july"))
    assert found.extraction.checks[-1].found == "/in/same1"


def test_what_is_judged_anew_repeats_only_what_stands_for_the_invoice(store: Store) -> None:
    put(store, a=made("7"), b=made("7"), c=made("7"))
    store.purge(document="/in/a")
    job = store.jobs.find("may")
    [b, c] = store.results.finished(job)
    assert store.results.replace(job, b, made("7")) == "done", "now it is the first one"
    assert store.results.replace(job, c, made("7")) == "review"
    assert told(store, "may") == {"b": ("done", ()), "c": ("review", ("duplicate_invoice",))}
