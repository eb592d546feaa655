"""What a report says of a job, counted on the fingers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

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


def beside(store: Store) -> None:
    """Another job with one of each, of which nothing counts here."""
    job = samples.job(store, "beside", settings={"review_below": 0.8})
    store.ledger.add(job, refs("x", "y", "z", "worse", "waits"))
    x, y, z, worse = store.ledger.claim(job, "w", 4, 3600)
    said = Said("total", "qr", "silent"), Said("total", "mrz", "agrees")
    finish(store, x, replace(made("91"), fields=sure(0.3), testimony=said, tier="clean"))
    stopped = replace(made("92", state="review"), checks=failed("net", "date"), fields=sure(0.4), tier="scan")
    finish(store, y, stopped)
    half = replace(stopped, state="partial", pages=2)
    store.results.commit(z, half, [samples.page(1, "z-1"), samples.failed_page(2)], sha256="z")
    store.ledger.quarantine(worse, Failure(Reason.pdf_encrypted, "locked"))
    store.decisions.add(job, "/in/x", [Decision(None, "accept", "an")])


@pytest.fixture
def job(store: Store, clock: Clock) -> Job:
    """Five documents, one of them quarantined ten minutes after the others, and one that is not read."""
    clock.pass_(-3600)
    beside(store)
    clock.pass_(3600)
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
    assert pace is not None and pace.seconds == 30, "twenty of them; of ten seconds it would be sixty"
    start = datetime(2026, 11, 22, 8, 0, tzinfo=UTC).timestamp()
    assert [(s.start - start, s.documents, s.pages, s.tokens) for s in pace.spans] == [
        (0, 4, 4, 1000),
        (600, 1, 0, 0),
    ]
    assert pace.running == 60
    assert store.figures.pace(samples.job(store, "empty")) is None


MINUTE, HOUR, DAY = 60, 3600, 86_400


@pytest.mark.medium
def test_spans_are_as_short_as_forty_of_them_allow_and_of_a_length_that_people_know(
    store: Store, clock: Clock
) -> None:
    job = samples.job(store)
    hours, days = (HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR), (DAY, 7 * DAY, 30 * DAY)
    widths = (1, 5, 10, 30, MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, *hours, *days)
    store.ledger.add(job, refs(*map(str, range(len(widths) + 2))))
    first, *others = store.ledger.claim(job, "w", 99, 1e9)
    finish(store, first)
    began = clock.now
    for width in widths:
        clock.now = began + timedelta(seconds=40 * width - 1)
        finish(store, others.pop())
        pace = store.figures.pace(job)
        assert pace is not None and pace.seconds == width
        assert pace.running == min(40 * width, len(pace.spans) * width)
    clock.pass_(100 * 30 * DAY)
    finish(store, others.pop())
    longest = store.figures.pace(job)
    assert longest is not None and longest.seconds == 30 * DAY, "and then there are more of them"


def test_a_job_that_was_done_at_once_ran_for_a_second(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b"))
    a, b = store.ledger.claim(job, "w", 2, 60)
    finish(store, a, replace(made("1", state="partial"), pages=1))
    pages = [replace(samples.page(1, "b-1"), output_tokens=None), samples.failed_page(2)]
    store.results.commit(b, replace(made("2", state="partial"), pages=2), pages, sha256="b")
    pace = store.figures.pace(job)
    assert pace is not None and (pace.seconds, pace.running) == (1, 1.0)
    [span] = pace.spans
    assert (span.documents, span.pages, span.tokens) == (2, 3, 250)
    assert store.figures.pages(job) == (2, 1, 250)
    [accepted] = store.figures.accepted(job)
    assert (accepted.tier, accepted.partial, accepted.documents) == (None, 2, 2)


def test_what_is_said_of_each_is_put_in_order(store: Store) -> None:
    """The most frequent first; where two are alike, by their names."""
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b", "c", "d"))
    a, b, c, d = store.ledger.claim(job, "w", 4, 60)
    remark = Check("remark", False, "info", "by the way")
    passed = Check("sum", True, "error", "it adds up")
    doubled = (*failed("total"), Check("total", False, "error", "a second sentence"), remark, passed)
    said = Said("x", "text", "silent"), Said("x", "qr", "offers")
    at = (1.0, 0.999, 0.95, 0.9499)
    for lease, checks, tier, least in (
        (a, failed("net", "vat"), "scan", at[0]),
        (b, doubled, "photo", at[1]),
        (c, failed("vat"), "photo", at[2]),
        (d, failed("net"), "clean", at[3]),
    ):
        read = replace(made(lease.uri, state="partial"), checks=checks, tier=tier, testimony=said)
        finish(store, lease, replace(read, fields=sure(least, 1.0)))
    stops = [
        (stop.code, stop.documents, stop.alone, stop.uri, stop.message) for stop in store.figures.stops(job)
    ]
    assert stops == [
        ("net", 2, 1, "/in/d", "net is wrong"),
        ("vat", 2, 1, "/in/c", "vat is wrong"),
        ("total", 1, 1, "/in/b", "total is wrong"),
    ]
    assert [(one.tier, one.partial) for one in store.figures.accepted(job)] == [
        ("photo", 2), ("clean", 1), ("scan", 1)
    ]  # fmt: skip
    assert [(voice.source, voice.silent, voice.offers) for voice in store.figures.voices(job)] == [
        ("qr", 0, 4), ("text", 4, 0)
    ]  # fmt: skip
    assert [(bar.number, bar.partial) for bar in store.figures.sureness(job)] == [(18, 1), (19, 3)]


def test_pages_of_doubt_are_put_in_order_and_counted_below_the_threshold(store: Store) -> None:
    job = samples.job(store, settings={})  # 0.9, where a job does not say
    store.ledger.add(job, refs("a", "b", "c", "waits"))
    a, b, c = store.ledger.claim(job, "w", 3, 60)

    def read(*values: float | None, page: int | None = 1) -> tuple[Field, ...]:
        names = ("number", "series", "form_no")
        return tuple(
            Field(name, "x", "x", value, "read", page) for name, value in zip(names, values, strict=False)
        )

    finish(store, a, replace(made("1"), fields=(*read(0.5, 0.9, None), *read(0.1, page=None))))
    finish(store, b, replace(made("2"), fields=(*read(0.89, 0.5), *read(0.95, page=2))))
    finish(store, c, replace(made("3"), fields=read(0.5, 0.5)))
    found = store.figures.doubtful_pages(job, 9)
    assert [(p.uri, p.page, p.least, p.field, p.unsure, p.values) for p in found] == [
        ("/in/b", 1, 0.5, "series", 2, 2),
        ("/in/c", 1, 0.5, "number", 2, 2),
        ("/in/a", 1, 0.5, "number", 1, 2),
        ("/in/b", 2, 0.95, "number", 0, 1),
    ]
    [decision] = store.decisions.add(job, "/in/b", [Decision(None, "accept", "an")])
    assert [p.uri for p in store.figures.doubtful_pages(job, 9)] == ["/in/c", "/in/a"]
    store.decisions.undo([decision], "an")
    assert store.figures.decided(job) == [] and len(store.figures.doubtful_pages(job, 9)) == 4
