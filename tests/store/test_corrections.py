"""What a person corrects in an exported sheet comes in again, on both databases, by the command itself."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from sqlalchemy import update

from pipeline import store as stores
from pipeline.records import Decision
from pipeline.store.tables import jobs
from tests.store import sheets
from tests.store.conftest import Typed

WRONG, UNSURE = {"total": "80.000"}, {"total": 0.6, "lines": 0.8}


@pytest.fixture
def june(url: str) -> Iterator[stores.Store]:
    """Three receipts: "a" and "b" with a misread total and one more doubt each, "c" all right."""
    with stores.open(url) as store:
        sheets.filled(
            store,
            {
                "a": sheets.receipt(WRONG, UNSURE),
                "b": sheets.receipt(WRONG, UNSURE),
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


@pytest.mark.medium
def test_a_corrected_workbook_comes_in_again(june: stores.Store, typed: Typed) -> None:
    typed("export", "--job", "june", "--out", "june.xlsx")
    answered(
        Path("june.xlsx"),
        {
            ("/in/a", "total"): {"correction": "30.000"},
            ("/in/a", "lines"): {"ruling": "đúng · accept"},
            ("/in/b", "total"): {"ruling": "illegible"},
            ("/in/b", "lines"): {"correction": "2"},
        },
    )
    words = ("corrections", "--job", "june", "--from", "june.xlsx", "--by", "Lan")
    shown = typed(*words)
    assert "total (Tổng cộng): 80000 → 30000" in shown and "nothing is changed yet" in shown
    assert june.results.extraction(june.jobs.find("june"), "/in/a").decisions == ()  # type: ignore[union-attr]

    applied = typed(*words, "--apply")
    batch = applied.rpartition("--undo ")[2].strip()
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

    assert "0 decisions on 0 documents, 0 refused, 4 decided so already" in typed(*words, "--apply")
    assert "4 decisions" in typed("corrections", "--job", "june", "--undo", batch, "--by", "Lan")
    [a, *_] = june.results.extractions(job)
    assert (a.extraction.state, a.extraction.record["total"]) == ("review", "80000")
    assert all(one.undone_by == "Lan" for one in june.decisions.history(job, "/in/a"))


@pytest.mark.medium
def test_a_csv_comes_in_as_excel_saves_it(june: stores.Store, typed: Typed) -> None:
    """With semicolons, and dates and numbers as its cells show them."""
    typed("export", "--job", "june", "--out", "june.csv")
    rows = list(csv.DictReader(io.StringIO(Path("june_to_check.csv").read_text("utf-8-sig"), newline="")))
    [total] = [row for row in rows if (row["document_uri"], row["field"]) == ("/in/a", "total")]
    assert (total["value"], total["printed"], total["confidence"]) == ("80000", "80.000", "0.6")
    assert (total["label"], total["calibration"]) == ("Tổng cộng", "uncalibrated") and "total: " in total[
        "why"
    ]
    total["correction"] = " 30.000đ "
    with Path("back.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    assert "80000 → 30000" in typed("corrections", "--job", "june", "--from", "back.csv", "--apply")


@pytest.mark.medium
def test_lines_are_taken_out_and_added_in_a_sheet(june: stores.Store, typed: Typed) -> None:
    """In a workbook's free rows; what would change is shown first; the same file again changes nothing."""
    typed("export", "--job", "june", "--out", "june.xlsx")
    book = openpyxl.load_workbook("june.xlsx")
    sheet = book["to check"]
    heads = {str(cell.value): cell.column for cell in sheet[1]}
    used = max(row for row in range(1, sheet.max_row + 1) if sheet.cell(row, heads["key"]).value)
    written = (
        ("lines[0]", None, "bỏ cả dòng · remove line"),
        ("lines[+1].name", "Thước kẻ", None),
        ("lines[+1].amount", "4.000", None),
        ("lines[+2].name", "Tẩy", None),
        ("lines[+2].amount", 6000, None),
    )
    for row, answer in enumerate(written, used + 1):
        for name, value in zip(("field", "correction", "ruling"), answer, strict=True):
            sheet.cell(row, heads[name]).value = value
            assert not sheet.cell(row, heads[name]).protection.locked
        sheet.cell(row, heads["document_uri"]).value = "/in/a"
    book.save("june.xlsx")
    words = ("corrections", "--job", "june", "--from", "june.xlsx", "--by", "Lan")
    shown = typed(*words)
    assert "the line is taken out: amount 10000; name Bút bi; quantity 2; unit_price 5000" in shown
    assert "lines (Hàng hóa): 2 → 4" in shown and "lines[3].amount" in shown and "nothing → 6000" in shown
    assert "nothing is changed yet" in shown
    typed(*words, "--apply")
    job = june.jobs.find("june")
    [a, b, _] = june.results.extractions(job)
    assert [(line["name"], line["amount"]) for line in a.extraction.record["lines"]] == [
        ("Vở", "20000"),
        ("Thước kẻ", "4000"),
        ("Tẩy", "6000"),
    ]
    assert len(b.extraction.record["lines"]) == 2
    assert "0 decisions on 0 documents, 0 refused, 5 decided so already" in typed(*words, "--apply")
    # One more, by a CSV that holds nothing else.
    head = "document_uri,field,correction,ruling,key\n"
    Path("more.csv").write_text(head + "/in/a,lines[+].name,Kẹo,,\n/in/a,lines[2].name,,remove_line,\n")
    more = ("corrections", "--job", "june", "--from", "more.csv", "--apply")
    assert "3 decisions on 1 documents, 0 refused" in typed(*more)
    [a, *_] = june.results.extractions(job)
    assert [line["name"] for line in a.extraction.record["lines"]] == ["Vở", "Tẩy", "Kẹo"]


@pytest.mark.medium
def test_what_is_no_longer_as_it_was_shown_is_refused(june: stores.Store, typed: Typed) -> None:
    typed("export", "--job", "june", "--out", "june.xlsx")
    answered(
        Path("june.xlsx"),
        {
            ("/in/a", "total"): {"correction": "30.000"},
            ("/in/b", "total"): {"correction": "30.000"},
            ("/in/a", "lines"): {"correction": "hai"},
            ("/in/b", "lines"): {"ruling": "accept", "document_uri": "/in/c"},
        },
    )
    job = june.jobs.find("june")
    june.decisions.add(job, "/in/a", [Decision("total", "correct", "Minh", "31.000")])
    row = next(row for row in june.results.finished(job) if row.uri == "/in/b")
    june.results.replace(job, row, sheets.receipt({"total": "50.000"}, {"total": 0.6}))
    said = typed("corrections", "--job", "june", "--from", "june.xlsx", "--by", "Lan", "--apply", code=3)
    assert "/in/a total: Minh has decided otherwise meanwhile (correct)" in said
    assert "/in/b total: it has been read anew since the file was written" in said
    assert "/in/a lines: lines: how many there are is a number" in said
    assert "/in/c lines: document, field and key do not belong together" in said
    assert "0 decisions on 0 documents, 4 refused" in said
    assert [one.by for one in june.decisions.history(job, "/in/a")] == ["Minh"]
    assert june.decisions.history(job, "/in/b") == []


@pytest.mark.medium
def test_decisions_that_were_refused_when_they_were_to_be_applied_are_not_counted_as_applied(
    june: stores.Store, typed: Typed
) -> None:
    typed("export", "--job", "june", "--out", "june.xlsx")
    answered(Path("june.xlsx"), {("/in/a", "total"): {"correction": "30.000"}})
    with june._db.write() as connection:
        connection.execute(update(jobs).values(schema_hash="that of another schema"))
    said = typed("corrections", "--job", "june", "--from", "june.xlsx", "--by", "Lan", "--apply", code=3)
    assert "has been changed since job june began" in said
    assert "0 decisions on 0 documents, 1 refused" in said and "applied as" not in said


@pytest.mark.medium
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"correction": "ba mươi"}, "this is no decimal as 'Tổng cộng' is printed"),
        ({"correction": "=30000"}, "row 4 has a formula"),
        ({"correction": "30.000", "ruling": "accept"}, "row 4 has a correction, and the ruling accept"),
        ({"ruling": "correct"}, "the correction is empty"),
        ({"ruling": "maybe"}, "no ruling 'maybe'"),
    ],
)
def test_an_answer_that_says_nothing_clear_is_told(
    june: stores.Store, typed: Typed, answer: dict[str, Any], why: str
) -> None:
    typed("export", "--job", "june", "--out", "june.xlsx")
    answered(Path("june.xlsx"), {("/in/a", "total"): answer})
    code = 3 if "printed" in why else 2
    assert why in typed("corrections", "--job", "june", "--from", "june.xlsx", "--apply", code=code)
    assert june.decisions.history(june.jobs.find("june"), "/in/a") == []


@pytest.mark.medium
def test_a_number_of_a_cell_is_taken_as_it_is_and_a_document_can_be_rejected(
    june: stores.Store, typed: Typed
) -> None:
    typed("export", "--job", "june", "--out", "june.xlsx")
    answers = {
        ("/in/a", "total"): {"correction": 30000.0},
        ("/in/b", "total"): {"ruling": "loại cả tài liệu · reject document"},
    }
    answered(Path("june.xlsx"), answers)
    typed("corrections", "--job", "june", "--from", "june.xlsx", "--apply")
    job = june.jobs.find("june")
    assert june.results.extraction(job, "/in/a").extraction.record["total"] == "30000"  # type: ignore[union-attr]
    assert june.results.extraction(job, "/in/b") is None
    assert june.books.counts(job)["quarantined"] == 1
