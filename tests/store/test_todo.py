"""What to look at first: groups in their order, each with a number, an example and a command."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.errors import Reason
from pipeline.records import Check, Decision, Failure, Field
from pipeline.store import Store
from tests.store import samples
from tests.store.samples import finish, refs
from tests.store.test_input_vat import made


def review(*codes: str, confidence: float, number: str = "1") -> Any:
    checks = tuple(Check(code, False, "error", f"{code} is wrong") for code in codes)
    fields = (Field("number", "1", "1", confidence, "read", 1),)
    return replace(made(number, state="review"), checks=checks, fields=fields)


def beside(store: Store) -> None:
    """Another job with one of each, of which nothing is to be told."""
    job = samples.job(store, "beside")
    store.ledger.add(job, refs("w", "x", "y", "z", "waits"))
    w, x, y, z = store.ledger.claim(job, "w", 4, 60)
    finish(store, w, made("91"))
    finish(store, x, review("net", "date", confidence=0.1, number="92"))
    half = replace(review("net", confidence=0.2, number="93"), state="partial", pages=2)
    store.results.commit(y, half, [samples.page(1, "y-1"), samples.failed_page(2)], sha256="y")
    store.ledger.quarantine(z, Failure(Reason.pdf_encrypted, "locked"))


def test_what_to_look_at_first(store: Store) -> None:
    beside(store)
    job = samples.job(store, "may")
    store.ledger.add(job, refs("a", "b", "c", "bad", "half", "fine", "seen", "left"))
    a, b, c, bad, half, fine, seen = store.ledger.claim(job, "w", 7, 60)
    finish(store, a, review("net", "total", confidence=0.5))
    finish(store, b, review("total", confidence=0.3, number="11"))
    finish(store, c, review("net", confidence=0.7, number="12"))
    store.ledger.quarantine(bad, Failure(Reason.pdf_encrypted, "locked"))
    pages = [samples.page(1, "k1"), samples.failed_page(2)]
    partial = replace(review("net", confidence=0.9, number="13"), state="partial", pages=2)
    store.results.commit(half, partial, pages, sha256="ab")
    finish(store, fine, made("2"))
    finish(store, seen, made("3"))
    store.decisions.add(job, "/in/seen", [Decision(None, "accept", "an")])

    found = [(one.kind, one.what, one.documents, one.pages, one.examples) for one in store.todo(job)]
    assert found == [
        ("unread", "not read", 1, 0, ("/in/left",)),
        ("failed", "pdf_encrypted", 1, 0, ("/in/bad",)),
        ("failed", "generation_loop", 0, 1, ("/in/half",)),
        ("check", "net", 3, 0, ("/in/c",)),
        ("check", "total", 2, 0, ("/in/b",)),
        ("unsure", "least sure", 4, 0, ("/in/b", "/in/a", "/in/c", "/in/half")),
        ("accepted", "passed", 1, 0, ("/in/fine",)),
    ]
    [net] = [one for one in store.todo(job) if one.what == "net"]
    assert net.why == "nothing else stops 2 of them; for example: net is wrong"
    assert net.next == ("show", "--job", "may", "--", "/in/c")
    assert [one.next[:2] for one in store.todo(job)][:2] == [
        ("run", "--schema=invoice@1"),
        ("retry", "--job"),
    ]
    assert store.todo(samples.job(store, "empty")) == []


def test_each_group_says_why_and_what_to_type(store: Store) -> None:
    job = samples.job(store, "may", sources=["in", "more"])
    store.ledger.add(job, refs("stop", "half", "bad", "no", "a", "b", "left", "held"))
    stop, half, bad, no, a, b = store.ledger.claim(job, "w", 6, 60)
    finish(store, stop, review("net", confidence=0.25))
    partial = replace(review("net", "date", confidence=0.5, number="2"), state="partial", pages=2)
    store.results.commit(half, partial, [samples.page(1, "h"), samples.failed_page(2)], sha256="ab")
    store.ledger.quarantine(bad, Failure(Reason.pdf_encrypted, "locked"))
    finish(store, no, made("3"))
    store.decisions.add(job, "/in/no", [Decision(None, "reject", "an")])
    finish(store, a, made("4"))
    finish(store, b, made("4"), sha256="b")
    store.ledger.claim(job, "w", 1, 60)
    told = {one.what: one for one in store.todo(job)}
    assert {what: one.next for what, one in told.items()} == {
        "not read": ("run", "--schema=invoice@1", "--model=demo", "--job=may", "--", "in", "more"),
        "pdf_encrypted": ("retry", "--job", "may", "--reason", "pdf_encrypted"),
        "rejected": ("review", "--job", "may"),
        "generation_loop": ("retry", "--job", "may", "--reason", "generation_loop"),
        "net": ("show", "--job", "may", "--", "/in/stop"),
        "date": ("show", "--job", "may", "--", "/in/half"),
        "duplicate_invoice": ("show", "--job", "may", "--", "/in/b"),
        "same invoice": ("query", "--named", "duplicate-invoices"),
        "least sure": ("review", "--job", "may"),
        "passed": ("review", "--job", "may"),
    }
    assert (told["not read"].documents, told["passed"].documents) == (2, 1)
    assert told["net"].why == "nothing else stops 1 of them; for example: net is wrong"
    assert told["date"].why == "for example: date is wrong"
    assert told["least sure"].why == "they wait for a person and are the least sure, from 0.250 on"
    kinds = [one.kind for one in store.todo(job)]
    assert kinds == ["unread", *["failed"] * 3, *["check"] * 3, "duplicate", "unsure", "accepted"]


@pytest.mark.medium
def test_of_many_five_are_named_and_those_of_the_sample_are_scattered(store: Store) -> None:
    job = samples.job(store, "may")
    names = [f"{n:02}" for n in range(40)]
    store.ledger.add(job, refs(*names))
    for number, lease in enumerate(store.ledger.claim(job, "w", 40, 60)):
        doubtful = review("net", confidence=0.5 + number % 7 / 100, number=lease.uri)
        finish(store, lease, made(lease.uri) if number % 2 else doubtful)
    found = {one.kind: one for one in store.todo(job)}
    unsure, passed = found["unsure"], found["accepted"]
    assert (unsure.documents, unsure.examples) == (20, ("/in/00", "/in/14", "/in/28", "/in/08", "/in/22"))
    assert passed.documents == 20 and len(passed.examples) == 5
    first = int(min(store.queue.entries(job, "all"), key=lambda entry: entry.document_id).document_id)
    scattered = sorted(range(1, 40, 2), key=lambda n: (first + n) * 2654435761 % 2**32)
    assert passed.examples == tuple(f"/in/{n:02}" for n in scattered[:5])
