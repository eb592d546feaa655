"""What a person corrects in an exported sheet comes in again, on both databases, by the command itself."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from pipeline import store as stores
from tests.store import sheets
from tests.store.conftest import Typed

WRONG = {"total": "80.000"}


@pytest.fixture
def june(url: str) -> Iterator[stores.Store]:
    """Three receipts: "a" and "b" with a misread total, "c" all right."""
    with stores.open(url) as store:
        sheets.filled(
            store,
            {
                "a": sheets.receipt(WRONG, {"total": 0.6}),
                "b": sheets.receipt(WRONG, {"total": 0.6}),
                "c": sheets.receipt(),
            },
        )
        yield store


def answered(path: Path, answers: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Fills the sheet as a person would: answers by document and field."""
    book = openpyxl.load_workbook(path)
    sheet = book["to check"]
    heads = {cell.value: cell.column for cell in sheet[1]}
    left = dict(answers)
    for row in range(3, sheet.max_row + 1):
        place = tuple(sheet.cell(row, heads[name]).value for name in ("document_uri", "field"))
        for name, value in left.pop(place, {}).items():  # type: ignore[call-overload]
            sheet.cell(row, heads[name]).value = value
    assert not left
    book.save(path)


def test_a_corrected_workbook_comes_in_again(june: stores.Store, typed: Typed) -> None:
    typed("export", "--job", "june", "--out", "june.xlsx")
    answered(
        Path("june.xlsx"),
        {
            ("/in/a", "total"): {"correction": "30.000"},
            ("/in/a", "lines"): {"ruling": "đúng · accept"},
            ("/in/b", "total"): {"ruling": "illegible"},
        },
    )
    words = ("corrections", "--job", "june", "--from", "june.xlsx", "--by", "Lan")
    shown = typed(*words)
    assert "total (Tổng cộng): 80000 → 30000" in shown and "nothing is changed yet" in shown
    assert june.results.extraction(june.jobs.find("june"), "/in/a").decisions == ()  # type: ignore[union-attr]

    applied = typed(*words, "--apply")
    batch = applied.rpartition("--undo ")[2].strip(" )\n")
    assert f"applied as {batch}" in applied
    job = june.jobs.find("june")
    [a, b, _] = june.results.extractions(job)
    assert a.extraction.state == "done" and a.extraction.record["total"] == "30000"
    assert {field.path: field.value for field in a.extraction.fields}["total"] == "80000"  # what was read
    assert b.extraction.record["total"] is None
    assert {(one.field, one.ruling, one.by, one.batch) for one in june.decisions.history(job, "/in/a")} == {
        ("total", "correct", "Lan", batch),
        ("lines", "accept", "Lan", batch),
    }
    with june.query("SELECT document_uri, total FROM receipt_v1 ORDER BY 1") as rows:
        assert [(uri, total and int(total)) for uri, total in rows] == [
            ("/in/a", 30000),
            ("/in/b", None),
            ("/in/c", 30000),
        ]
    typed("export", "--job", "june", "--out", "again.csv")
    [a_row, b_row, c_row] = csv.DictReader(io.StringIO(Path("again.csv").read_text("utf-8-sig")))
    assert (a_row["total"], a_row["total_source"], a_row["total_confidence"]) == ("30000", "review", "")
    assert (c_row["total_source"], c_row["total_confidence"]) == ("read", "0.995")
    assert b_row["state"] == "done"

    assert "0 decisions on 0 documents, 0 refused, 3 decided so already" in typed(*words, "--apply")
    assert "3 decisions" in typed("corrections", "--job", "june", "--undo", batch, "--by", "Lan")
    [a, *_] = june.results.extractions(job)
    assert (a.extraction.state, a.extraction.record["total"]) == ("review", "80000")
    assert all(one.undone_by == "Lan" for one in june.decisions.history(job, "/in/a"))
