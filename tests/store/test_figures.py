"""What a report says of a job, counted on the fingers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.errors import Reason
from pipeline.records import Check, Decision, Failure, Field
from pipeline.records import Testimony as Said
from pipeline.store import Job, Store
from tests.store import samples
from tests.store.samples import Clock, finish, refs
from tests.store.test_input_vat import made


def failed(*codes: str) -> tuple[Check, ...]:
    return tuple(Check(code, False, "error", f"{code} is wrong") for code in codes)


def sure(*confidences: float, score: float | None = None) -> tuple[Field, ...]:
    return tuple(
        Field(name, "x", "x", value, "read", page, score=score)
        for name, page, value in zip(("number", "series", "form_no"), (1, 2, 1), confidences, strict=False)
    )


@pytest.fixture
def job(store: Store, clock: Clock) -> Job:
    """Five documents, one of them quarantined ten minutes after the others, and one that is not read."""
    job = samples.job(store, settings={"review_below": 0.8})
    store.ledger.add(job, refs("a", "b", "c", "d", "bad", "left"))
    a, b, c, d, bad = store.ledger.claim(job, "w", 5, 3600)
    qr = Said("total", "qr", "agrees"), Said("total", "qr", "differs"), Said("total", "text", "offers")
    finish(store, a, replace(made("1"), fields=sure(1.0, 0.95), testimony=qr, tier="clean"))
    finish(store, b, replace(made("2", state="review"), checks=failed("net", "total"), fields=sure(0.5, 0.7)))
    both = failed("total", "total"), sure(0.9, 0.1, 0.85)
    finish(store, c, replace(made("3", state="review"), checks=both[0], fields=both[1], tier="photo"))
    finish(store, d, replace(made("4"), fields=sure(0.2, score=0.99), tier="photo", score=0.97))
    clock.pass_(600)
    store.ledger.quarantine(bad, Failure(Reason.pdf_damaged, "bad"))
    return job


def test_what_stops_documents(store: Store, job: Job) -> None:
    found = [
        (stop.code, stop.documents, stop.alone, stop.uri, stop.message) for stop in store.figures.stops(job)
    ]
    assert found == [
        ("total", 2, 1, "/in/c", "total is wrong"),
        ("net", 1, 0, "/in/b", "net is wrong"),
    ]


def test_who_bears_values_out_and_what_passes_by_tier(store: Store, job: Job) -> None:
    voices = [(v.source, v.agrees, v.differs, v.silent, v.offers) for v in store.figures.voices(job)]
    assert voices == [("qr", 1, 1, 0, 0), ("text", 0, 0, 0, 1)]
    assert {(a.tier, a.done, a.review, a.partial) for a in store.figures.accepted(job)} == {
        ("clean", 1, 0, 0), ("photo", 1, 1, 0), (None, 0, 1, 0),
    }  # fmt: skip
    bars = [(bar.number, bar.done, bar.review) for bar in store.figures.sureness(job)]
    assert bars == [(2, 0, 1), (10, 0, 1), (19, 2, 0)], "0.1, 0.5, and 0.95 and the score of 0.97"
    assert store.figures.unscored(job) == 3


def test_pages_that_are_least_sure_and_not_decided(store: Store, job: Job) -> None:
    found = store.figures.doubtful_pages(job, 3)
    assert [(p.uri, p.page, p.least, p.field, p.unsure, p.values) for p in found] == [
        ("/in/c", 2, 0.1, "series", 1, 1),
        ("/in/b", 1, 0.5, "number", 1, 1),
        ("/in/b", 2, 0.7, "series", 1, 1),
    ]
    store.decisions.add(job, "/in/c", [Decision(None, "accept", "an")])
    assert store.figures.decided(job) == ["/in/c"]
    assert [page.uri for page in store.figures.doubtful_pages(job, 1)] == ["/in/b"]


def test_what_was_done_when(store: Store, job: Job, clock: Clock) -> None:
    assert store.figures.pages(job) == (4, 0, 4 * 250)
    pace = store.figures.pace(job)
    assert pace is not None and pace.seconds == 30
    start = datetime(2026, 11, 22, 8, 0, tzinfo=UTC).timestamp()
    assert [(s.start - start, s.documents, s.pages, s.tokens) for s in pace.spans] == [
        (0, 4, 4, 1000),
        (600, 1, 0, 0),
    ]
    assert pace.running == 60
    assert store.figures.pace(samples.job(store, "empty")) is None
