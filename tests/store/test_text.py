"""A page's text layer is kept with it, and pages of the time before it was read have none."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pipeline.records import PageResult, TextLayer, Word
from pipeline.store import page_rows, rows
from tests.store import samples

LAYERS = {
    "trusted": TextLayer(
        (Word("Hóa", (0.0, 0.0001, 0.3333, 0.9999)), Word('"\\', (0.7, 0.7, 1.0, 1.0))), True
    ),
    "not trusted": TextLayer((Word("x", (0.2, 0.2, 0.2, 0.2)),), False, "it is under a picture"),
    "nothing could be read": TextLayer((), False, "the text cannot be read"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_text_comes_back_with_its_page(name: str) -> None:
    page = samples.page()
    assert page.record is not None
    page = replace(page, record=replace(page.record, text=LAYERS[name]))
    assert page_rows.page_of(_stored(page)) == page


@pytest.mark.parametrize("name", LAYERS)
def test_what_a_second_reader_saw_comes_back_with_its_page(name: str) -> None:
    page = samples.page()
    assert page.record is not None
    page = replace(page, record=replace(page.record, reader=LAYERS[name]))
    assert page_rows.page_of(_stored(page)) == page


def test_a_page_of_before_has_no_text() -> None:
    row = _stored(samples.page())
    record = json.loads(str(row["record"]))
    del record["text"]
    page = page_rows.page_of({**row, "record": json.dumps(record)})
    assert page.record is not None and page.record.text is None


def test_text_is_stored_compactly() -> None:
    """A word costs its letters and less than 25 characters for its place."""
    words = tuple(Word("word", (i / 1000, i / 1000, (i + 50) / 1000, (i + 8) / 1000)) for i in range(300))
    page = samples.page()
    assert page.record is not None
    bare = replace(page, record=replace(page.record, text=None))
    full = replace(page, record=replace(page.record, text=TextLayer(words, True)))
    sizes = [len(rows.dump(page_rows.row_of(each))) for each in (bare, full)]
    assert sizes[1] - sizes[0] < 300 * (len("word ") + 25)


def _stored(page: PageResult) -> dict[str, object]:
    row = page_rows.row_of(page)
    return {**row, "record": json.dumps(row["record"])}
