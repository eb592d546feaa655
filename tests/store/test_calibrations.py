"""Calibrations and promises in the store: who, when, and at once applied to what was read."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import update

from pipeline import calibrating, grammar, parse, reading
from pipeline import store as stores
from pipeline.errors import UsageError
from pipeline.records import Decision, PageResult
from pipeline.store import Job, Store
from pipeline.store.tables import calibrations
from pipeline.trust import Calibration, InForce, Promise
from pipeline.trust.fitting import Belongs, fitted
from pipeline.trust.promise import Threshold
from schemas.registry import resolve
from tests.e2e.conftest import VINBATCH
from tests.pipeline.walker import recite
from tests.store import samples
from tests.store.samples import Clock, refs
from tests.trust.examples import drawn

RECEIPT = resolve("receipt@1")
LINE = {"name": "Sữa", "quantity": "2", "unit_price": "15.000", "amount": "30.000"}
NUMERICS = "cpu float32"


def values(number: int) -> dict[str, object]:
    return {
        "store": f"Chợ {number}",
        "number": f"HD{number}",
        "date": "05/11/2026",
        "lines": [LINE],
        "total": "30.000",
    }


def page(number: int, doubt: float = 0.99999, name: str | None = None) -> PageResult:
    """A receipt whose store is read as sure as `doubt`."""
    printed = values(number) | ({} if name is None else {"store": name})
    said = recite(grammar.answer(RECEIPT.shape, printed), sure=0.99999, doubts={str(printed["store"]): doubt})
    record = replace(parse.page_record(said, RECEIPT, 1), read_on=date(2026, 11, 20))
    return PageResult(1, f"key-{number}", record, None, numerics=NUMERICS)


def filled(store: Store, pages: list[PageResult], name: str = "june") -> Job:
    job = samples.job(store, name, RECEIPT, settings={"review_below": 0.9})
    store.ledger.add(job, refs(*(f"{n}.png" for n in range(len(pages)))))
    for lease in store.ledger.claim(job, "worker", len(pages), lease_seconds=60):
        own = pages[int(Path(lease.uri).stem)]
        store.results.commit(lease, reading.merged([own], RECEIPT, 0.9), [own], sha256=lease.uri)
    return job


def calibration(*scores: float) -> Calibration:
    made = fitted(drawn(120), Belongs("receipt@1", "c" * 64, NUMERICS, "made up"))
    return replace(  # documents of a receipt have more values than those it was fitted on
        made,
        whole=(1.0, 3.0),
        outcomes=tuple(
            replace(made.outcomes[0], score=one, fields=10, right=10, stopped=False) for one in scores
        ),
    )


def states(store: Store, job: Job) -> dict[str, tuple[str, float | None]]:
    return {
        item.uri: (item.extraction.state, item.extraction.score) for item in store.results.extractions(job)
    }


def test_the_newest_one_holds_with_who_and_when(store: Store, clock: Clock) -> None:
    job = samples.job(store, spec=RECEIPT)
    assert store.calibrations.in_force(job) is None
    made = calibration(*[0.9] * 60)
    first = store.calibrations.add(made, Promise.of(made, 0.99), "an")
    found = store.calibrations.in_force(job)
    assert found == InForce(made, Promise.of(made, 0.99), first.id)
    assert store.calibrations.add_where_none(made, None, "packaged") == found  # there is one
    clock.pass_(60)
    store.calibrations.promise(first.id or 0, Promise.of(made, 0.95), "bình")
    found = store.calibrations.in_force(job)
    assert found is not None and found.promise is not None and found.promise.accept_at == 0.95
    assert [(one.by, one.promise and one.promise.accept_at) for one in store.calibrations.history(job)] == [
        ("an", None), ("an", 0.99), ("bình", 0.95),
    ]  # fmt: skip
    times = [one.at for one in store.calibrations.history(job)]
    assert (times[2] - times[0]).total_seconds() == 60
    other = samples.job(store, "other", RECEIPT, checkpoint="d" * 64)
    assert store.calibrations.in_force(other) is None  # of other weights


def test_of_several_the_newest_holds_with_its_own_promise(store: Store, clock: Clock) -> None:
    job, invoices = samples.job(store, spec=RECEIPT), samples.job(store, "invoices")
    old, new = calibration(*[0.9] * 60), replace(calibration(*[0.8] * 60), origin="newer")
    first = store.calibrations.add_where_none(old, Promise.of(old, 0.99), "an")
    assert first.id is not None and store.calibrations.in_force(job) == first
    second = store.calibrations.add(new, None, "bình")
    store.calibrations.promise(first.id, Promise.of(old, 0.5), "an")  # of one that does not hold any more
    assert store.calibrations.in_force(job) == InForce(new, None, second.id)
    store.calibrations.promise(second.id or 0, Promise.of(new, 0.9), "bình")
    store.calibrations.promise(second.id or 0, Promise.of(new, 0.8), "chi")
    assert store.calibrations.in_force(job) == InForce(new, Promise.of(new, 0.8), second.id)
    told = [
        (one.calibration_id, one.by, one.promise and one.promise.accept_at)
        for one in store.calibrations.history(job)
    ]
    assert told == [
        (first.id, "an", None), (first.id, "an", 0.99), (first.id, "an", 0.5),
        (second.id, "bình", None), (second.id, "bình", 0.9), (second.id, "chi", 0.8),
    ]  # fmt: skip
    assert [one.calibration for one in store.calibrations.history(job)] == [old] * 3 + [new] * 3
    assert store.calibrations.in_force(invoices) is None and list(store.calibrations.history(invoices)) == []
    asked = "SELECT numerics, origin, documents, field_values, made_by, schema FROM calibrations ORDER BY id"
    with store.query(asked) as rows:
        assert list(rows) == [
            (NUMERICS, "made up", old.documents, old.values, "an", "receipt@1"),
            (NUMERICS, "newer", new.documents, new.values, "bình", "receipt@1"),
        ]


def test_one_that_cannot_be_read_is_named_and_never_passed_over(store: Store) -> None:
    job, made = samples.job(store, spec=RECEIPT), calibration(*[0.9] * 60)
    first = store.calibrations.add(made, None, "an")
    with store._db.write() as connection:
        connection.execute(update(calibrations).values(model={"version": "of tomorrow"}))
    told = rf"calibration {first.id} of the store.*\(schema receipt@1\)"
    for ask in (store.calibrations.in_force, lambda job: list(store.calibrations.history(job))):
        with pytest.raises(UsageError, match=told):
            ask(job)


def test_the_jobs_of_a_calibration_are_those_of_its_schema_and_checkpoint(store: Store) -> None:
    samples.job(store, "other weights", RECEIPT, checkpoint="d" * 64)
    samples.job(store, "second", RECEIPT)
    samples.job(store, "another schema")
    samples.job(store, "first", RECEIPT)
    assert store.calibrations.jobs(calibration(0.9)) == ["second", "first"]


@pytest.mark.medium
def test_it_is_applied_at_once_and_decisions_stay(store: Store) -> None:
    pages = [page(0), page(1, 0.87), page(2, 0.87)]
    job = filled(store, pages)
    store.decisions.add(job, "/in/2.png", [Decision("store", "correct", "an", "Chợ Hai", "Chợ Hai")])
    assert states(store, job) == {
        "/in/0.png": ("done", None), "/in/1.png": ("review", None), "/in/2.png": ("done", None),
    }  # fmt: skip
    made = calibration(*[0.55] * 60)  # from there on everything passes
    trust = store.calibrations.add(made, Promise.of(made, 0.99), "an")
    calibrating.apply(store, job, RECEIPT)
    after = states(store, job)
    assert {state for state, _ in after.values()} == {"done"}
    assert after["/in/0.png"][1] > after["/in/1.png"][1] > 0.55  # type: ignore[operator]
    # Scores, fields and checks are to the last bit what a run under this calibration commits.
    [stored, *_] = store.results.extractions(job)
    assert stored.extraction == reading.merged([pages[0]], RECEIPT, 0.9, trust=trust)
    decided = next(item for item in store.results.extractions(job) if item.decisions)
    assert decided.extraction.record["store"] == "Chợ Hai" and decided.reading.record["store"] == "Chợ 2"
    with store.query("SELECT count(*) FROM fields WHERE score IS NULL OR score > 1") as rows:
        assert list(rows) == [(0,)]

    store.calibrations.promise(
        trust.id or 0, Promise(0.99, {"all": Threshold(0.9999, 60, 60, 600, None, None)}), "an"
    )
    calibrating.apply(store, job, RECEIPT)
    assert states(store, job)["/in/1.png"][0] == "review"
    [check] = [
        check
        for item in store.results.extractions(job)
        for check in item.extraction.checks
        if item.uri == "/in/1.png" and check.code == "low_confidence"
    ]
    assert "calibrated" in check.message and "store" in check.fields


@pytest.mark.slow
def test_from_the_command_line(tmp_path: Path) -> None:
    """Calibrated from a file of the truth; then another promise; then who and when."""
    url, folder = f"sqlite:///{tmp_path / 's.db'}", tmp_path
    # The store's name is read wrongly where it is unsure, and once where it is sure.
    wrong = {n for n in range(60) if n % 5 == 0} | {7}
    pages = [page(n, 0.4 if n % 5 == 0 else 0.99999, f"Chọ {n}" if n in wrong else None) for n in range(60)]
    with stores.open(url) as store:
        filled(store, pages)
    lines = [{"file": f"{n}.png", **values(n)} for n in range(60)]
    (folder / "truth.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    said = vinbatch(tmp_path, "status", "--store", url)
    assert "uncalibrated" in said
    refused = vinbatch(tmp_path, "accept", "--job", "june", "--at", "0.9", "--store", url, code=2)
    assert "uncalibrated" in refused
    known = ("--job", "june", "--truth", "truth.jsonl", "--store", url)
    out = vinbatch(tmp_path, "calibrate", *known, "--at", "0.9", "--by", "an")
    assert "60 documents" in out and "AUROC" in out and "review" in out
    assert "90.0% right values are promised" in vinbatch(tmp_path, "status", "--store", url)
    told = vinbatch(tmp_path, "accept", "--job", "june", "--store", url)
    assert "an: calibration 1, on 60 documents (truth in truth.jsonl)" in told
    with stores.open(url) as store:
        found = states(store, store.jobs.find("june"))
    assert all(found[f"/in/{n}.png"][0] == ("review" if n % 5 == 0 else "done") for n in range(60))

    vinbatch(tmp_path, "calibrate", *known, "--out", "calibration.json")
    [kept] = json.loads((tmp_path / "calibration.json").read_text(encoding="utf-8"))
    assert (kept["schema"], kept["checkpoint"], kept["numerics"]) == ("receipt@1", "c" * 64, NUMERICS)


def vinbatch(folder: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [VINBATCH, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, done.stderr
    return " ".join((done.stdout + done.stderr).split())
