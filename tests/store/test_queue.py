"""Which documents people look at first, who has one open, and what is noted of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.errors import LeaseLost
from pipeline.records import Check, Decision, Extraction, Field
from pipeline.store import Job, Store
from tests.store import samples
from tests.store.samples import Clock, finish, refs
from tests.store.test_input_vat import made

NAMES = ("number", "series", "form_no", "total")


def read(state: str, *sure: float | None, failed: int = 0, number: str = "1", **more: object) -> Extraction:
    fields = tuple(Field(name, "1", "1", one, "read", 1) for name, one in zip(NAMES, sure, strict=False))
    checks = tuple(Check(f"check_{n}", False, "error", "wrong") for n in range(failed))
    beside = (Check("remark", False, "info", "a remark"), Check("sum", True, "error", "it adds up"))
    made_ = replace(made(number, state=state), fields=fields, checks=(*checks, *beside))
    return replace(made_, **more)  # type: ignore[arg-type]


def put(store: Store, job: Job, **documents: Extraction) -> None:
    store.ledger.add(job, refs(*documents))
    for lease in store.ledger.claim(job, "w", len(documents), 60):
        finish(store, lease, documents[lease.uri.removeprefix("/in/")], sha256=lease.uri)


@pytest.fixture
def job(store: Store) -> Job:
    other = samples.job(store, "other")
    put(store, other, alien=read("review", 0.1, failed=3), passed=read("done", 0.99, number="2"))
    return samples.job(store)


def named(store: Store, job: Job, *asked: object, **more: object) -> list[str]:
    return [entry.uri.removeprefix("/in/") for entry in store.queue.entries(job, *asked, **more)]  # type: ignore[arg-type]


def test_what_is_wrong_most_for_the_time_it_takes_comes_first(store: Store, job: Job) -> None:
    put(
        store,
        job,
        sure=read("review", 0.95, 1.0, number="9"),
        half=read("partial", 0.1, 0.1, 0.1, number="3"),
        one=read("review", 0.5, 0.99, number="4", score=0.7, tier="scan"),
        two=read("review", 0.5, 0.5, number="5"),
        check=read("review", 1.0, failed=1, number="6"),
        none=read("review", None, number="7"),
        done=read("done", 0.2, number="8"),
    )
    entries = {entry.uri.removeprefix("/in/"): entry for entry in store.queue.entries(job)}
    assert list(entries) == ["none", "two", "one", "check", "sure", "half"]
    told = {name: (entry.unsure, round(entry.wrong, 6), entry.failed) for name, entry in entries.items()}
    assert told == {
        "none": (1, 1.0, 0), "two": (2, 1.0, 0), "one": (1, 0.5, 0), "check": (0, 0.0, 1),
        "sure": (0, 0.0, 0), "half": (3, 2.7, 0),
    }  # fmt: skip
    one = entries["one"]
    assert (one.state, one.score, one.tier, one.reviewer, one.sample) == ("review", 0.7, "scan", None, False)
    assert one.gain == pytest.approx(0.5 / 5.5) and entries["check"].gain == pytest.approx(1 / 12)
    assert store.queue.place(one.document_id) == (job.id, "/in/one", "review", None)
    assert store.queue.place(10**6) is None


def test_scores_count_where_there_are_any(store: Store, job: Job) -> None:
    scored = (
        Field("number", "1", "1", 0.1, "read", 1, score=0.95),
        Field("total", "1", "1", 1.0, "read", 1, score=0.94),
    )
    put(store, job, a=replace(read("review"), fields=scored))
    [entry] = store.queue.entries(job)
    assert (entry.unsure, round(entry.wrong, 6)) == (1, 0.06)


@pytest.mark.medium
def test_each_kind_of_document_can_be_asked_for(store: Store, job: Job) -> None:
    put(
        store,
        job,
        doubtful=read("review", 0.5),
        half=read("partial", 0.5, number="2"),
        passed=read("done", 0.99, number="3"),
        seen=read("done", 0.99, number="4"),
        back=read("done", 0.99, number="5"),
        no=read("done", 0.99, number="6"),
        **{"50%_a!": read("review", 0.6, number="7"), "50xxab": read("review", 0.6, number="8")},
    )
    store.ledger.add(job, refs("waits"))
    store.decisions.add(job, "/in/seen", [Decision(None, "accept", "an")])
    store.decisions.undo(store.decisions.add(job, "/in/back", [Decision(None, "accept", "an")]), "an")
    store.decisions.add(job, "/in/no", [Decision(None, "reject", "an")])
    assert set(named(store, job)) == {"doubtful", "half", "50%_a!", "50xxab"}
    assert set(named(store, job, "sample", share=1.0)) == {"passed", "back"}
    assert named(store, job, "decided") == ["seen", "no"]
    assert named(store, job, "rejected") == ["no"]
    assert set(named(store, job, "all")) == {
        *("doubtful", "half", "passed", "seen", "back", "no", "50%_a!", "50xxab")
    }  # fmt: skip
    assert named(store, job, "all")[-1] == "half"
    assert named(store, job, search="50%_") == named(store, job, search="a!") == ["50%_a!"]
    assert named(store, job, search="%") == ["50%_a!"]


def test_one_of_the_sample_comes_after_each_seven(store: Store, job: Job) -> None:
    doubtful = {f"d{n:02}": read("review", 0.5, number=f"1{n}") for n in range(15)}
    passed = {f"p{n}": read("done", 0.99, number=f"2{n}") for n in range(4)}
    put(store, job, **doubtful, **passed)
    mixed = named(store, job, share=1.0)
    assert [place for place, name in enumerate(mixed) if name[0] == "p"] == [7, 15, 17, 18]
    assert [name for name in mixed if name[0] == "d"] == sorted(doubtful) and mixed[7] == "p0"
    entries = store.queue.entries(job, share=1.0)
    assert [entry.sample for entry in entries] == [entry.uri.startswith("/in/p") for entry in entries]
    # The same ones whenever it is asked for, and those of a smaller share among them.
    ids = {entry.uri: entry.document_id for entry in entries}
    for share in (0.5, 0.2, 0.0):
        chosen = {uri for uri, id in ids.items() if id * 2654435761 % 2**32 % 100_000 < share * 100_000}
        assert {f"/in/{name}" for name in named(store, job, "sample", share=share)} == {
            uri for uri in chosen if uri.startswith("/in/p")
        }


def test_a_document_is_one_reviewers_until_they_are_gone(store: Store, job: Job, clock: Clock) -> None:
    put(store, job, a=read("review", 0.5), b=read("review", 0.5, number="2"))
    a, b = (entry.document_id for entry in store.queue.entries(job))
    mine = store.claims.take(a, "lan", 60)
    assert mine is not None and (mine.document_id, mine.reviewer) == (a, "lan")
    assert (mine.expires - clock.now).total_seconds() == 60
    assert store.claims.holder(a) == "lan" and store.claims.holder(b) is None
    assert [entry.reviewer for entry in store.queue.entries(job)] == ["lan", None]
    other = store.claims.take(b, "minh")
    assert other is not None and (other.expires - clock.now).total_seconds() == 120
    # Another window of the same person takes it over; the first one's is void.
    again = store.claims.take(a, "lan", 60)
    assert again is not None and not store.claims.renew(a, mine.token, 600)
    store.claims.release(a, mine.token)
    assert store.claims.holder(a) == "lan"
    with pytest.raises(LeaseLost, match="/in/a: this claim is over"):
        store.decisions.add(job, "/in/a", [Decision(None, "accept", "lan")], claim=mine.token)
    assert store.claims.renew(a, again.token, 90) and not store.claims.renew(b, again.token, 90)
    clock.pass_(89)
    assert store.claims.take(a, "minh", 60) is None
    clock.pass_(1)
    assert store.claims.holder(a) is None and not store.claims.renew(a, again.token)
    assert [entry.reviewer for entry in store.queue.entries(job)] == [None, "minh"]
    with pytest.raises(LeaseLost):
        store.decisions.add(job, "/in/a", [Decision(None, "accept", "lan")], claim=again.token)
    store.claims.release(b, other.token)
    assert store.claims.holder(b) is None and store.claims.take(b, "lan", 60) is not None
    assert store.claims.take(10**6, "lan") is None


def test_the_audit_tells_the_newest_first_and_of_one_document_alone(
    store: Store, job: Job, clock: Clock
) -> None:
    put(store, job, a=read("review", 0.5), b=read("review", 0.5, number="2"))
    a, b = (entry.document_id for entry in store.queue.entries(job))
    store.audit.note("lan", "opened", a)
    store.audit.note("minh", "refused", detail="token")
    clock.pass_(60)
    [one] = store.decisions.add(job, "/in/b", [Decision("total", "illegible", "lan")], batch="sheet 1")
    store.decisions.undo([one], "minh")
    told = [(row.who, row.action, row.document_id, row.field, row.detail) for row in store.audit.rows()]
    assert told == [
        ("minh", "undo", b, "total", None),
        ("lan", "illegible", b, "total", "sheet 1"),
        ("minh", "refused", None, None, "token"),
        ("lan", "opened", a, None, None),
    ]
    assert [row.action for row in store.audit.rows(b)] == ["undo", "illegible"]
    assert [row.action for row in store.audit.rows(limit=1)] == ["undo"]
    assert (store.audit.rows()[0].at - store.audit.rows(a)[0].at).total_seconds() == 60
