"""A second look at a page says whether it reads the same; by itself it stops nothing and changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline import merge, records
from pipeline.records import Extraction, PageRecord
from tests.pipeline.test_merge import LINE, OTHER, RECEIPT, page

READ = {"store": "Chợ Mới", "date": "05/11/2026", "lines": [LINE], "total": "30.000"}


def looked(number: int, first: dict[str, Any], second: dict[str, Any]) -> PageRecord:
    return replace(page(number, first), again=page(number, second).fields)


def said(made: Extraction) -> dict[str, records.Testimony]:
    """What the second look says, by the field."""
    found = [one for one in made.testimony if one.source == "again" and one.verdict != "offers"]
    assert len({one.field for one in found}) == len(found)
    return {one.field: one for one in found}


def test_what_reads_alike_agrees_however_it_is_printed() -> None:
    verdicts = said(merge.document([looked(1, READ, READ | {"total": "30,000"})], RECEIPT))
    assert {one.verdict for one in verdicts.values()} == {"agrees"}
    assert {"store", "total", "lines", "lines[0].amount", "address"} <= verdicts.keys()
    assert (verdicts["total"].raw, verdicts["total"].value, verdicts["total"].page) == ("30,000", "30000", 1)


def test_what_reads_otherwise_is_told_and_stops_nothing() -> None:
    plain = merge.document([page(1, READ)], RECEIPT)
    made = merge.document(
        [looked(1, READ, READ | {"store": "Chợ Mái", "date": None, "number": "HD7"})], RECEIPT
    )
    assert (made.state, made.record) == (plain.state, plain.record) == ("done", plain.record)
    verdicts = said(made)
    assert (verdicts["store"].verdict, verdicts["store"].raw) == ("differs", "Chợ Mái")
    assert (verdicts["date"].verdict, verdicts["date"].raw) == ("differs", None)
    assert "number" not in verdicts
    [offer] = [one for one in made.testimony if one.verdict == "offers"]
    assert (offer.field, offer.source, offer.raw) == ("number", "again", "HD7")
    told = {check.code: check for check in made.checks if check.code.startswith("again")}
    assert {(check.passed, check.severity) for check in told.values()} == {(False, "info")}
    assert told.keys() == {"again_store", "again_date"}
    assert told["again_store"].message == "store: the second look says Chợ Mái, the print Chợ Mới"


def test_texts_without_a_value_agree_by_what_is_printed() -> None:
    for date, verdict in (("31/02/2026", "agrees"), ("30/02/2026", "differs")):
        first, second = READ | {"date": "31/02/2026"}, READ | {"date": date}
        assert said(merge.document([looked(1, first, second)], RECEIPT))["date"].verdict == verdict


def test_a_line_that_was_not_seen_again_differs() -> None:
    verdicts = said(merge.document([looked(1, READ | {"lines": [LINE, OTHER]}, READ)], RECEIPT))
    assert (verdicts["lines"].verdict, verdicts["lines"].value) == ("differs", 1)
    assert {verdicts[f"lines[0].{name}"].verdict for name in LINE} == {"agrees"}
    assert {verdicts[f"lines[1].{name}"].verdict for name in OTHER} == {"differs"}


def test_it_speaks_of_the_pages_that_it_looked_at_alone() -> None:
    """The others stand in as they were read, so that lists go on from page to page."""
    first = page(1, {"store": "Chợ Mới", "lines": [LINE]})
    second = looked(2, {"lines": [OTHER], "total": "35.000"}, {"lines": [OTHER], "total": "36.000"})
    verdicts = said(merge.document([first, second], RECEIPT))
    assert verdicts["total"].verdict == "differs" and verdicts["lines[1].amount"].verdict == "agrees"
    assert "store" not in verdicts and "lines[0].amount" not in verdicts
    assert said(merge.document([first, page(2, {"total": "35.000"})], RECEIPT)) == {}
