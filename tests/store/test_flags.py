"""A page's flags are kept with it, and pages of the time before there were flags can be read."""

from __future__ import annotations

import json

from pipeline.records import PageResult
from pipeline.store import rows
from tests.store import samples


def test_flags_come_back_with_their_page() -> None:
    page = samples.page()
    assert page.record is not None and page.record.flags
    assert rows.page_from(_stored(page)) == page


def test_a_page_without_flags_in_its_row_has_none() -> None:
    row = _stored(samples.page())
    record = json.loads(str(row["record"]))
    del record["flags"]
    page = rows.page_from({**row, "record": json.dumps(record)})
    assert page.record is not None and page.record.flags == ()


def _stored(page: PageResult) -> dict[str, object]:
    row = rows.page(page)
    return {**row, "record": json.dumps(row["record"])}
