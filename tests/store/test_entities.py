"""What the store hands out, and a job as it is named, kept and told."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from pipeline import store as stores
from pipeline.errors import UsageError
from pipeline.records import Field
from pipeline.records import Testimony as Said
from pipeline.store import Balance, Lease, Store, rows
from pipeline.store.entities import Column, View
from tests.store import samples
from tests.store.samples import INVOICE, Clock


def test_a_job_says_who_reads_it_and_how_another_one_is_read_alike(store: Store) -> None:
    job = samples.job(store)
    assert (job.server, job.reader, job.flags) == (None, "demo", ("--schema=invoice@1", "--model=demo"))
    served = replace(job, settings={"server": "http://h:8000/v1"})
    assert served.reader == "demo at openai:http://h:8000/v1"
    assert served.flags == ("--schema=invoice@1", "--model=demo", "--engine=openai:http://h:8000/v1")
    assert (job.weight, job.priority, job.cancelled_at, job.shadow_of, job.shadow_share) == (
        1.0, 0, None, None, None
    )  # fmt: skip


def test_the_package_names_what_it_has() -> None:
    assert [name for name in stores.__all__ if not hasattr(stores, name)] == []


def test_a_try_is_no_worker_that_vanished(clock: Clock) -> None:
    assert Lease(1, 2, "/in/a", None, "t", 5, clock.now, losses=2).tries == 3


def test_books_are_balanced_when_nothing_differs() -> None:
    books = Balance(10, 1, 2, 3, 0, 1, 3, (), 0)
    assert books.balanced and books.unfinished == 4
    assert not replace(books, difference_count=1).balanced


def test_what_a_column_is_called_makes_it_no_other() -> None:
    assert Column("a", ("a",), "text", "Một") == Column("a", ("a",), "text") != Column("b", ("a",), "text")
    assert View("v", (), label="Một") == View("v", ()) != View("v", (), ("lines",))


def test_a_job_is_kept_with_all_that_it_was_begun_with(store: Store, clock: Clock) -> None:
    settings = {"render": {"dpi": 200, "sides": ["a", "b"]}, "review_below": 0.5}
    spec = replace(INVOICE, reference="mine.py:Invoice")
    job = samples.job(store, "june", spec, settings=settings, sources=["in", "more", "in"])
    assert (job.schema, job.schema_reference, job.model) == ("invoice@1", "mine.py:Invoice", "demo")
    assert (job.checkpoint, job.settings, job.sources) == ("c" * 64, settings, ("in", "more"))
    assert job.created_at == clock.now and job == store.jobs.find("june")
    [view, lines, *_] = job.views
    assert (view.name, view.list_path, lines.name, lines.list_path) == (
        "invoice_v1", None, "invoice_v1_lines", ("lines",)
    )  # fmt: skip
    total = next(column for column in view.columns if column.name == "total")
    assert (total.path, total.kind, total.label) == (("total",), "decimal", "Tổng cộng tiền thanh toán")
    assert lines.label is not None and view.label is None
    clock.pass_(60)
    again = samples.job(store, "june", spec, settings=settings, sources=["more"])
    assert again == job
    # A tuple of settings is what JSON gives back of it.
    assert samples.job(store, "june", spec, settings=settings | {"render": {"dpi": 200, "sides": ("a", "b")}})


def test_all_that_differs_is_told_and_what_could_be_judged_anew(store: Store) -> None:
    samples.job(store, settings={"review_below": 0.9, "render": {"dpi": 200}})
    with pytest.raises(UsageError) as caught:
        samples.job(store, settings={"review_below": 0.8, "render": {"dpi": 300}}, checkpoint="d" * 64)
    assert caught.value.message == (
        "job june was begun otherwise: checkpoint was cccccccccccc (demo) and is dddddddddddd; "
        "render.dpi was 200 and is 300; review_below was 0.9 and is 0.8. "
        "Give this run another --job name, or the settings of the first. "
        "`vinbatch judge --job june` applies another review_below or sources_of_authority to what was read."
    )
    with pytest.raises(UsageError) as caught:
        samples.job(store, settings={"review_below": 0.9, "render": {"dpi": 300}})
    assert caught.value.message.endswith("or the settings of the first.")


def test_jobs_come_the_newest_first_and_ten_are_named(store: Store) -> None:
    for number in range(12):
        samples.job(store, f"job-{number}")
    assert [job.name for job in store.jobs.all()] == [f"job-{number}" for number in reversed(range(12))]
    newest = ", ".join(f"job-{number}" for number in reversed(range(2, 12)))
    with pytest.raises(UsageError, match=f"the newest are {newest}$"):
        store.jobs.find("no")


def test_other_rules_than_a_job_began_with_judge_nothing_of_it(store: Store) -> None:
    job = samples.job(store)
    assert store.jobs.rules(job.id).hash == job.schema_hash
    other = replace(INVOICE, hash="0" * 64)
    with pytest.raises(UsageError, match="schema invoice@1 has been changed since job june began"):
        store.jobs.rules(job.id, other)
    mine = replace(INVOICE, name="mine", reference="/no/such.py:Model")
    away = samples.job(store, "away", mine)
    assert store.jobs.rules(away.id, mine) is mine and store.jobs.rules(away.id) is mine
    store.jobs._specs.clear()
    with pytest.raises(UsageError, match=r"/no/such\.py"):
        store.jobs.rules(away.id)
    assert store.jobs.indexed(job.id) and not store.jobs.indexed(away.id)
    assert store.jobs.views_of(job.id) == job.views


def test_what_judges_a_job_later_is_kept_beside_its_other_settings(store: Store) -> None:
    june, july = samples.job(store, "june"), samples.job(store, "july")
    store.jobs.set_judgement(june, 0.7, ("xml", "qr"))
    assert store.jobs.find("june").settings == june.settings | {
        "review_below": 0.7, "sources_of_authority": ["xml", "qr"]
    }  # fmt: skip
    store.jobs.set_judgement(june, 0.6, None)
    assert store.jobs.find("june").settings["sources_of_authority"] is None
    assert store.jobs.find("july") == july


def test_json_that_both_databases_take() -> None:
    given = {"a": math.nan, "b": [math.inf, (1, 2.5)], "c": "x\0\ud800", "đ\0": {"e": None, "f": True}}
    taken = '{"a":null,"b":[null,[1,2.5]],"c":"x\ufffd\ufffd","đ\ufffd":{"e":null,"f":true}}'
    assert rows.dump(given) == taken
    assert rows.dump({"a": "\\u0000 is six letters"}) == '{"a":"\\\\u0000 is six letters"}'
    assert rows.dump({"tên": ("Bút", 1)}) == '{"tên":["Bút",1]}'


@pytest.mark.parametrize("value", ["x", "7", 7, 1.5, True, False, None])
def test_a_value_comes_back_of_its_type(value: object) -> None:
    for back in (rows.field_from(_row(value)).value, rows.testimony_from(_row(value)).value):
        assert back == value and type(back) is type(value)


def _row(value: object) -> dict[str, Any]:
    field = rows.field(1, Field("a", "raw", value, 0.5, "read", 1, (0.0, 0.25, 0.5, 1.0)))
    said = rows.testimony(1, Said("a", "qr", "agrees", "raw", value, 1, (0.0, 0.25, 0.5, 1.0)))
    assert {name: said[name] for name in ("value", "type", "raw")} == {
        name: field[name] for name in ("value", "type", "raw")
    }
    return {**said, **field, "box": rows.dump(field["box"])}
