"""A finished job is judged by another threshold, from its pages, without a model."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline import grammar, judging, merge, parse
from pipeline import store as stores
from pipeline.errors import Reason, UsageError
from pipeline.records import Code, Extraction, Failure, PageResult
from pipeline.store import Job, Store
from schemas import qr
from schemas.registry import resolve
from tests.e2e.conftest import VINBATCH
from tests.pipeline.walker import recite
from tests.store import samples
from tests.store.samples import refs

RECEIPT = resolve("receipt@1")
LINE = {"name": "Sữa", "quantity": "2", "unit_price": "15.000", "amount": "30.000"}
WHOLE = {"store": "Chợ Mới", "date": "05/11/2026", "lines": [LINE], "total": "30.000"}
READ_ON = date(2026, 11, 20)
SURE, UNSURE = {}, {"Chợ": 0.7}


def read(number: int, key: str, doubts: dict[str, float]) -> PageResult:
    said = recite(grammar.answer(RECEIPT.shape, WHOLE), doubts=doubts)
    record = replace(parse.page_record(said, RECEIPT, number), read_on=READ_ON)
    return PageResult(number, key, record, None)


def lost(number: int, key: str) -> PageResult:
    return PageResult(number, key, None, Failure(Reason.generation_loop, "it went round", number))


def filled(store: Store) -> Job:
    """Documents a, b, c: sure, unsure, and partial; d waits."""
    job = samples.job(store, spec=RECEIPT, settings={"review_below": 0.9})
    store.ledger.add(job, refs("a", "b", "c", "d"))
    leases = store.ledger.claim(job, "worker", 3, lease_seconds=60)
    pages: list[list[PageResult]] = [
        [read(1, "a1", SURE)],
        [read(1, "b1", UNSURE)],
        [read(1, "c1", SURE), lost(2, "c2")],
    ]
    for lease, own in zip(leases, pages, strict=True):
        store.results.commit(lease, merged(own, 0.9), own, sha256=lease.uri)
    return job


def merged(pages: list[PageResult], below: float) -> Extraction:
    records = [page.record for page in pages if page.record is not None]
    failed = [page.failure for page in pages if page.failure is not None]
    return merge.document(records, RECEIPT, failed=failed, review_below=below)


def found(store: Store, job: Job) -> dict[str, Extraction]:
    return {stored.uri: stored.extraction for stored in store.results.extractions(job)}


@pytest.mark.medium
def test_a_threshold_applies_to_what_was_read(store: Store) -> None:
    job = filled(store)
    before = found(store, job)
    assert [before[uri].state for uri in ("/in/a", "/in/b", "/in/c")] == ["done", "review", "partial"]
    moves: Any = judging.judge(store, job, RECEIPT, 0.6)
    assert moves == {("done", "done"): 1, ("review", "done"): 1, ("partial", "partial"): 1}
    after = found(store, job)
    # To the last field and check what a run with this threshold makes of the same pages.
    assert after["/in/b"] == merged([read(1, "b1", UNSURE)], 0.6)
    assert after["/in/a"] == before["/in/a"]
    assert {row.uri: row.state for row in store.results.documents(job)} == {
        "/in/a": "done",
        "/in/b": "done",
        "/in/c": "partial",
        "/in/d": "pending",
    }
    assert store.books.verify(job).review == 0
    # Later runs have it too, and none is refused that has it.
    assert samples.job(store, spec=RECEIPT, settings={"review_below": 0.6}).id == job.id
    with pytest.raises(UsageError, match=r"review_below was 0\.6 and is 0\.9.*vinbatch judge --job june"):
        samples.job(store, spec=RECEIPT, settings={"review_below": 0.9})
    assert judging.judge(store, store.jobs.find("june"), RECEIPT, 0.9)["done", "review"] == 1
    assert found(store, job) == before


def test_witnesses_are_heard_anew_under_other_sources_of_authority(store: Store) -> None:
    card = resolve("id_card@1")
    code = qr.build("079199000007", "Nguyễn Thị Hoà", date(1999, 1, 1), "Nữ", "Hà Nội", date(2021, 3, 4))
    printed = {"number": "079199000007", "full_name": "Nguyên Thị Hoà"}
    said = recite(grammar.answer(card.shape, printed))
    record = replace(parse.page_record(said, card, 1, [Code("qr", code)]), read_on=READ_ON)
    pages = [PageResult(1, "a1", record, None)]
    job = samples.job(store, spec=card, settings={"review_below": 0.9})
    store.ledger.add(job, refs("a"))
    [lease] = store.ledger.claim(job, "worker", 1, lease_seconds=60)
    store.results.commit(lease, merge.document([record], card), pages, sha256="a")

    judging.judge(store, job, card, 0.9, ("qr",))
    made = found(store, job)["/in/a"]
    assert made == merge.document([record], card, authority=("qr",))
    assert made.record["full_name"] == "Nguyễn Thị Hoà" and made.record["date_of_birth"] == "1999-01-01"
    assert [(said.source, said.verdict) for said in made.testimony if said.field == "full_name"] == [
        ("read", "differs")
    ]
    with store.query("SELECT full_name FROM id_card_v1") as rows:
        assert list(rows) == [("Nguyễn Thị Hoà",)]
    with store.query("SELECT field, raw FROM witnesses WHERE verdict = 'differs'") as rows:
        assert list(rows) == [("full_name", "Nguyên Thị Hoà")]
    same = {"review_below": 0.9, "sources_of_authority": ("qr",)}
    assert samples.job(store, spec=card, settings=same).id == job.id
    with pytest.raises(UsageError, match=r"sources_of_authority was \['qr'\] and is None.*vinbatch judge"):
        samples.job(store, spec=card, settings={"review_below": 0.9})

    judging.judge(store, store.jobs.find("june"), card, 0.9)
    assert found(store, job)["/in/a"] == merge.document([record], card)


def test_a_job_at_work_or_of_another_schema_is_not_judged(store: Store) -> None:
    job = filled(store)
    with pytest.raises(UsageError, match="receipt@1 has been changed since job june began"):
        judging.judge(store, job, replace(RECEIPT, hash="0" * 64), 0.5)
    store.ledger.claim(job, "worker", 1, lease_seconds=60)
    with pytest.raises(UsageError, match="june is being worked on"):
        judging.judge(store, job, RECEIPT, 0.5)


@pytest.mark.medium
def test_a_document_that_changed_meanwhile_is_left_alone(store: Store) -> None:
    job = filled(store)
    rows = {row.uri: row for row in store.results.finished(job)}
    stale = replace(rows["/in/a"], sha256="other bytes")
    assert not store.results.replace(job, stale, merged([read(1, "a1", UNSURE)], 0.9))
    assert found(store, job)["/in/a"].state == "done"


@pytest.mark.medium
def test_the_command_judges(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'rows.db'}"
    with stores.open(url) as store:
        job = filled(store)
        asked = ("judge", "--job", job.name, "--store", url, "--review-below", "0.6")
        said = subprocess.run([str(VINBATCH), *asked], capture_output=True, text=True, check=True).stdout
        assert said.splitlines() == [
            "job june: 3 documents judged with review_below 0.6",
            "1 done as before",
            "1 partial as before",
            "1 review → done",
        ]
        assert found(store, job)["/in/b"].state == "done"
