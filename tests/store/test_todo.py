"""What to look at first: groups in their order, each with a number, an example and a command."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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


def test_what_to_look_at_first(store: Store) -> None:
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
