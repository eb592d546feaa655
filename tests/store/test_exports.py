"""Exports keep the promise: each value with how sure, from where, on which page; each document with why."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UsageError
from pipeline.records import Decision, Extraction
from pipeline.store import Job, Store
from pipeline.store.export import format_of
from tests.store import sheets


def scored(read: Extraction, **scores: float) -> Extraction:
    """The reading under a calibration."""
    fields = tuple(field._replace(score=scores.get(field.path, 0.97)) for field in read.fields)
    return replace(read, fields=fields, score=0.8, tier="scan")


@pytest.fixture
def june(store: Store) -> Job:
    """ "a" is scored and in review, "b" is not scored, of "c" a person has decided the total."""
    wrong = {"total": "80.000"}, {"total": 0.6, "lines": 0.8}
    readings = {
        "a": scored(sheets.receipt(wrong[0], wrong[1] | {"lines": 0.8}), total=0.4),
        "b": sheets.receipt(),
        "c": sheets.receipt(*wrong),
    }
    job = sheets.filled(store, readings)
    decided = [Decision("total", "correct", "Lan", "30.000"), Decision("lines", "accept", "Lan")]
    store.decisions.add(job, "/in/c", decided)
    return job


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


@pytest.mark.medium
def test_a_csv_says_how_sure_each_value_is_and_why_a_person_should_look(
    store: Store, june: Job, tmp_path: Path
) -> None:
    store.export(june, tmp_path / "out.csv")
    assert (
        (tmp_path / "out.csv").read_bytes().startswith(b"\xef\xbb\xbfdocument_uri,job,state,reasons,score,")
    )
    a, b, c = rows_of(tmp_path / "out.csv")
    told = [(row["calibration"], row["score"], row["state"], row["reasons"]) for row in (a, b, c)]
    assert told == [
        ("calibrated", "0.8", "review", "low_confidence; total"),
        ("uncalibrated", "", "done", ""),
        ("uncalibrated", "", "done", ""),
    ]
    names = ("total", "total_confidence", "total_source", "total_page")
    assert [tuple(row[name] for name in names) for row in (a, b, c)] == [
        ("80000", "0.4", "read", "1"),
        ("30000", "0.995", "read", "1"),
        ("30000", "", "review", "1"),
    ]
    columns = list(a)
    assert columns.index("change") < columns.index("store_confidence") < columns.index("witnesses")
    assert (a["paid"], a["paid_confidence"], a["paid_source"]) == ("", "0.97", "")  # how sure there is none
    line = rows_of(tmp_path / "out_lines.csv")[0]
    assert (line["line"], line["amount"], line["amount_confidence"], line["amount_source"]) == (
        ("1", "10000", "0.97", "read")
    )
    store.export(june, tmp_path / "bare.csv", bom=False)
    assert (tmp_path / "bare.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()[3:]


def test_plain_exports_have_the_columns_of_the_views(store: Store, june: Job, tmp_path: Path) -> None:
    exported = store.export(june, tmp_path / "out.csv", plain=True)
    assert [Path(path).name for path, _ in exported.files] == ["out.csv", "out_lines.csv"]
    with store.query("SELECT * FROM receipt_v1") as rows:
        assert tuple(rows_of(tmp_path / "out.csv")[0]) == rows.columns
    store.export(june, tmp_path / "out.xlsx", plain=True)
    assert openpyxl.load_workbook(tmp_path / "out.xlsx").sheetnames == ["receipt_v1", "receipt_v1_lines"]
    store.export(june, tmp_path / "out.jsonl", plain=True)
    first = json.loads((tmp_path / "out.jsonl").read_text("utf-8").splitlines()[0])
    assert {"fields", "reasons", "score"}.isdisjoint(first)


def test_the_files_of_an_export_are_named_by_their_own_ending(
    store: Store, june: Job, tmp_path: Path
) -> None:
    folder = tmp_path / "v1.0"
    folder.mkdir()
    for given, names in (
        ("out", ["out", "out_lines", "out_to_check"]),
        ("out.v2.csv", ["out.v2.csv", "out.v2_lines.csv", "out.v2_to_check.csv"]),
    ):
        exported = store.export(june, folder / given, "csv")
        assert [path for path, _ in exported.files] == [str(folder / name) for name in names]
        assert all((folder / name).is_file() for name in names)
    for out, format in (("a/b.jsonl", "jsonl"), ("a.b/c/", "parquet"), ("s3://b.c/d.xlsx", "xlsx")):
        assert format_of(out) == format
    assert format_of("a.csv", "jsonl") == "jsonl" and format_of(str(folder)) == "parquet"
    for unknown in ("a.b/c", "s3://b.c/d"):
        with pytest.raises(
            UsageError, match=f"^{unknown} has no ending; give --format: csv, jsonl, parquet, xlsx"
        ):
            format_of(unknown)


def test_json_lines_have_the_evidence_by_path(store: Store, june: Job, tmp_path: Path) -> None:
    store.export(june, tmp_path / "out.jsonl")
    a, _, c = map(json.loads, (tmp_path / "out.jsonl").read_text("utf-8").splitlines())
    assert (a["score"], a["calibration"], a["reasons"]) == (0.8, "calibrated", ["low_confidence", "total"])
    assert a["fields"]["total"] == {
        "confidence": 0.4,
        "source": "read",
        "page": 1,
        "box": list(sheets.BOX),
        "printed": "80.000",
        "absence": None,
    }
    assert c["record"]["total"] == "30000" and c["fields"]["total"]["source"] == "review"
    assert "@signature" not in a["record"]


def test_parquet_has_typed_evidence_whatever_the_data(store: Store, june: Job, tmp_path: Path) -> None:
    store.export(june, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    types = {name: table.schema.field(name).type for name in table.column_names}
    assert (types["total"], types["date"]) == (pa.decimal128(38, 10), pa.date32())
    assert (types["total_confidence"], types["total_page"]) == (pa.float64(), pa.int64())
    assert table.column("total").to_pylist() == [Decimal(80000), Decimal(30000), Decimal(30000)]
    empty = sheets.filled(store, {}, "empty")
    store.export(empty, tmp_path / "empty.parquet")
    assert pq.read_schema(tmp_path / "empty.parquet") == table.schema


def fill(cell: Any) -> str | None:
    return None if cell.fill.fill_type is None else cell.fill.fgColor.rgb[2:]


def test_a_workbook_is_for_people(store: Store, june: Job, tmp_path: Path) -> None:
    store.export(june, tmp_path / "out.xlsx", review_url="http://127.0.0.1:8000/")
    book = openpyxl.load_workbook(tmp_path / "out.xlsx")
    assert book.sheetnames == ["receipt_v1", "to check", "receipt_v1_lines", "not read", "legend"]
    sheet = book["receipt_v1"]
    heads = {cell.value: cell.column for cell in sheet[1]}
    assert (
        sheet.freeze_panes == "B3"
        and sheet.auto_filter.ref == f"A2:{sheet.cell(5, sheet.max_column).coordinate}"
    )
    assert sheet.cell(2, heads["total"]).value == "Tổng cộng"
    assert sheet.cell(2, heads["total_page"]).value == "Tổng cộng: trang"
    a, b, c = (row for row in range(3, 6))
    assert [fill(sheet.cell(row, heads["total"])) for row in (a, b, c)] == ["FFC7CE", "E2EFDA", "BDD7EE"]
    total, day = sheet.cell(b, heads["total"]), sheet.cell(b, heads["date"])
    assert (total.value, total.number_format) == (30000, "#,##0")
    assert (day.value.date(), day.number_format) == (date(2026, 5, 1), "dd/mm/yyyy")
    assert sheet.cell(a, heads["file"]).value == '=HYPERLINK("file:///in/a","mở")'
    assert "http://127.0.0.1:8000/documents/" in sheet.cell(a, heads["review"]).value
    assert sheet.column_dimensions["A"].width > 10


def test_only_the_cells_for_an_answer_are_open(store: Store, june: Job, tmp_path: Path) -> None:
    store.export(june, tmp_path / "out.xlsx")
    book = openpyxl.load_workbook(tmp_path / "out.xlsx")
    sheet = book["to check"]
    assert sheet.protection.sheet
    heads = [cell.value for cell in sheet[1]]
    open_ = {head for head, cell in zip(heads, sheet[3], strict=True) if not cell.protection.locked}
    assert open_ == {"correction", "ruling"}
    letters = dict(zip(heads, (cell.column_letter for cell in sheet[1]), strict=True))
    assert sheet.column_dimensions[letters["key"]].hidden
    [rule] = sheet.data_validations.dataValidation
    assert str(rule.sqref).startswith(f"{letters['ruling']}3:") and "không đọc được" in rule.formula1
    asked = [
        tuple(row[heads.index(name)].value for name in ("document_uri", "field", "label")) for row in sheet
    ]
    assert asked[2:4] == [("/in/a", "lines", "Hàng hóa"), ("/in/a", "total", "Tổng cộng")]
    assert set(asked[4:]) == {(None, None, None)}  # for lines that are missing
    free = {head for head, cell in zip(heads, sheet[5], strict=True) if not cell.protection.locked}
    assert free == {"document_uri", "field", "correction", "ruling"}
    # Office programs refuse a part that is no XML, or a list of choices that is too long.
    with zipfile.ZipFile(tmp_path / "out.xlsx") as parts:
        assert parts.testzip() is None and len(rule.formula1) <= 255
