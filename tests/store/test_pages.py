"""All that a page said is kept with it, and pages of the time before something was kept can be read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from pipeline.records import PageResult, Quality, Signature, TextLayer, Word
from pipeline.store import page_rows
from tests.store import samples

WHOLE = replace(
    samples.page(),
    record=replace(
        samples.page().record,  # type: ignore[type-var]
        signature=Signature("valid", "it is right", "An", "9900000016", "2026-11-20T08:00:00", True, False),
        reader=TextLayer((Word("7", (0.5, 0.25, 0.75, 0.5)),), False, "blurred"),
        quality=Quality("photo", 12.5, 0.1, 0.2, 0.3, -4.0, ("blurred", "cut")),
        again=samples.page().record.fields[:2],  # type: ignore[union-attr]
    ),
)


def test_a_page_comes_back_as_it_was() -> None:
    assert page_rows.page_of(_stored(WHOLE)) == WHOLE


@pytest.mark.parametrize(
    ("name", "then"),
    [
        ("flags", ()),
        ("seams", ()),
        ("signature", None),
        ("text", None),
        ("reader", None),
        ("quality", None),
        ("again", ()),
        ("read_on", None),
    ],
)
def test_a_page_that_was_stored_without_something_has_none(name: str, then: object) -> None:
    row = _stored(WHOLE)
    record = json.loads(str(row["record"]))
    del record[name]
    page = page_rows.page_of({**row, "record": json.dumps(record)})
    assert page.record is not None and WHOLE.record is not None
    changed: dict[str, Any] = {name: then}
    assert page.record == replace(WHOLE.record, **changed)


def test_a_page_without_a_day_was_read_when_its_row_was_written() -> None:
    """In Viet Nam, where the evening in Greenwich is the next morning."""
    row = _stored(WHOLE)
    record = json.loads(str(row["record"]))
    del record["read_on"]
    for hour, day in ((16, 22), (17, 23)):
        written = {"record": json.dumps(record), "read_at": datetime(2026, 11, 22, hour, tzinfo=UTC)}
        page = page_rows.page_of({**row, **written})
        assert page.record is not None and page.record.read_on == date(2026, 11, day)


def _stored(page: PageResult) -> dict[str, object]:
    row = page_rows.row_of(page)
    return {**row, "record": json.dumps(row["record"])}
