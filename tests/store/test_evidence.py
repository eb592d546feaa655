"""What goes out beside values, by rule: confidence and source, doubts and their keys, colours and labels."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select, update

from pipeline.records import Check, Decision, Extraction, Field
from pipeline.records import Testimony as Said
from pipeline.store import Store, StoredExtraction, doubts, evidence, to_check, workbook
from pipeline.store.doubts import Called
from pipeline.store.entities import Column
from pipeline.store.evidence import Known
from pipeline.store.tables import jobs
from pipeline.store.xlsx import Book
from tests.store import samples, sheets


def test_what_is_beside_a_list_in_a_line_is_that_of_its_items() -> None:
    fields = {
        field.path: field
        for field in (
            Field("goods[0].marks[0]", "a", "a", 0.5, "xml", 3, score=0.75),
            Field("goods[0].marks[1]", "b", "b", 0.9, "read", 2, score=0.7),
            Field("goods[0].marks[2]", None, None, 0.8, "text", 1),  # nothing stands there
            Field("goods[0].marks[3]", None, None, None, "review", None),
            Field("goods[0].marks_of", "c", "c", 0.1, "qr", 1),
            Field("goods[1].marks[0]", "d", "d", 0.2, "qr", 1),
        )
    }
    marks, of = Column("marks", ("marks",), "json"), Column("marks_of", ("marks_of",), "text")
    known = Known(7, "", None, False, fields)
    assert evidence._of_value(marks, "goods[0]", known) == (0.5, "read+review+xml", 2)
    assert evidence._of_value(marks, "goods[0]", replace(known, calibrated=True)) == (
        0.7,
        "read+review+xml",
        2,
    )
    assert evidence._of_value(of, "goods[0]", known) == (0.1, "qr", 1)
    assert evidence._of_value(marks, "goods[2]", known) == (None, None, None)
    group = Field("party.name", "An", "An", 0.6, "read", 1)
    known = replace(known, fields={"party.name": group})
    assert evidence._of_value(Column("party", ("party",), "json"), None, known) == (0.6, "read", 1)
    assert evidence._of_value(Column("party_name", ("party", "name"), "text"), None, known) == (
        0.6,
        "read",
        1,
    )


def test_reasons_are_told_once_and_scales_by_their_names() -> None:
    assert evidence.reasons(["total", "net", "total"]) == "total; net" and evidence.reasons([]) == ""
    assert (evidence.scale(True), evidence.scale(False)) == ("calibrated", "uncalibrated")


NAMES = {
    "total": Called("Tổng cộng", "decimal"),
    "store": Called("Cửa hàng", "text"),
    "lines": Called("Hàng hóa", "integer"),
    "lines[].amount": Called("Thành tiền", "decimal"),
}


def test_a_value_is_called_by_its_label_and_its_line(store: Store) -> None:
    known = doubts.names(samples.job(store, "june", sheets.RECEIPT))
    assert NAMES.items() <= known.items()
    assert doubts.called("lines[0].amount", known) == Called("Hàng hóa 1: Thành tiền", "decimal")
    assert doubts.called("lines[1]", known) == Called("Hàng hóa 2", "text")
    assert doubts.called("lines", known) == Called("Hàng hóa", "integer")
    assert doubts.called("nowhere", known) == Called("nowhere", "text")
    assert doubts.called("odd[2].x", {}) == Called("odd 3", "text")
    assert not [path for path in known if "@" in path]


def test_a_key_names_document_value_and_what_it_was() -> None:
    """Sheets are out for weeks: a newer Vinbatch has to know their keys."""
    total = doubts.key("june", "/in/a", "total", "80000")
    assert total == "k29f422404d6e0497-714bdb4ba7da01e5-faaaab7ee8dc03af"
    whole = doubts.key("june", "/in/a", None, {"b": 1, "a": 2})
    assert whole == "k29f422404d6e0497-74234e98afe7498f-21501dbaf73f5223"
    assert doubts.is_in(total, "june", "/in/a") and not doubts.is_in(total, "june", "/in/b")
    assert doubts.is_of(total, "june", "/in/a", "total") and not doubts.is_of(total, "june", "/in/a", None)
    assert not doubts.is_of(total, "july", "/in/a", "total")


def test_what_a_sheet_to_check_says_and_takes() -> None:
    """By these names and words it is read when it comes in again, weeks later."""
    assert (
        *("document_uri", "field", "label", "value", "printed", "confidence", "calibration", "why"),
        *("correction", "ruling", "page", "key"),
    ) == to_check.NAMES
    assert to_check.CHOICES == {
        "accept": "đúng · accept",
        "correct": "sửa · correct",
        "not_on_page": "không có trên trang · not on page",
        "illegible": "không đọc được · illegible",
        "reject": "loại cả tài liệu · reject document",
        "remove_line": "bỏ cả dòng · remove line",
    }
    assert to_check.SHEET == "to check"


def stored(extraction: Extraction, *decisions: Decision) -> StoredExtraction:
    return StoredExtraction("/in/a", "sha", extraction, (), decisions, None, 7)


def check(code: str, *fields: str, severity: Any = "error", passed: bool = False, **more: Any) -> Check:
    return Check(code, passed, severity, f"{code} is wrong", fields, **more)


def test_doubts_are_what_failed_checks_point_at_and_nobody_has_decided(store: Store) -> None:
    job = samples.job(store, "june", sheets.RECEIPT)
    fields = (
        Field("store", "Chợ", "Chợ", 0.75, "read", 1),
        Field("lines", None, 2, 0.9, "read", 1),
        Field("lines[0].amount", "1", "1", 0.8, "read", 2),
        Field("total", "80.000", "80000", 0.5, "read", 2),
    )
    record = {"store": "Chợ", "lines": [{"amount": "1"}, {}], "total": "80000"}
    checks = (
        check("sum", "total", "lines[0].amount", "lines", "store"),  # four: its sentence says little of each
        check("three", "total", "lines", "store"),
        check("pointed", "store", suspects=("total",)),
        check("low_confidence", "store"),
        check("new", "paid"),
        check("whole"),
        check("remark", "total", severity="info"),
        check("right", "total", passed=True),
        check("decided", "number"),
    )
    said = (
        Said("total", "qr", "differs", "30.000", "30000"),
        Said("total", "text", "offers", None, "31000"),
        Said("total", "mrz", "agrees", "x", "x"),
        Said("total", "xml", "silent", "y", "y"),
    )
    found = stored(
        Extraction("review", record, fields, checks, 2, said), Decision("number", "illegible", "an")
    )
    told = list(doubts.of(found, job, doubts.names(job)))
    assert [(doubt.field, doubt.why) for doubt in told] == [
        (None, "whole: whole is wrong"),
        ("store", "sum; three: three is wrong; low_confidence"),
        ("lines", "sum; three: three is wrong"),
        ("lines[0].amount", "sum"),
        ("total", "sum; three: three is wrong; pointed: pointed is wrong; qr: 30.000; text: 31000"),
        ("paid", "new: new is wrong"),
    ]
    whole, _, lines, _, total, paid = told
    assert (whole.document, whole.uri, whole.label, whole.kind, whole.value) == (
        7, "/in/a", "Cả tài liệu", "text", None
    )  # fmt: skip
    assert whole.key == doubts.key("june", "/in/a", None, record)
    assert (lines.value, lines.key) == (2, doubts.key("june", "/in/a", "lines", 2))
    assert (total.document, total.label, total.kind, total.value, total.raw) == (
        7, "Tổng cộng", "decimal", "80000", "80.000"
    )  # fmt: skip
    assert (total.confidence, total.calibrated, total.page) == (0.5, False, 2)
    assert total.key == doubts.key("june", "/in/a", "total", "80000")
    assert (paid.value, paid.raw, paid.confidence, paid.page) == (None, None, None, None)


def test_a_document_that_is_done_has_no_doubts_and_a_partial_one_is_one(store: Store) -> None:
    job = samples.job(store, "june", sheets.RECEIPT)
    read = Extraction("partial", {}, (Field("total", "1", "1", 0.5, "read", 1, score=0.4),), (), 1, score=0.3)
    [whole] = doubts.of(stored(read), job, {})
    assert (whole.why, whole.confidence, whole.calibrated) == (
        "partial: some of its pages could not be read", 0.3, True
    )  # fmt: skip
    both = replace(read, checks=(check("sum", "total"),), state="review")
    [total] = doubts.of(stored(both), job, {})
    assert (total.field, total.confidence) == ("total", 0.4)
    assert list(doubts.of(stored(replace(both, state="done")), job, {})) == []


@pytest.mark.parametrize(
    ("confidence", "source", "colour"),
    [
        (1.0, "read", "#e2efda"),
        (0.99, "read", "#e2efda"),
        (0.9899, "read", "#fff2cc"),
        (0.9, "read", "#fff2cc"),
        (0.8999, "read", "#ffc7ce"),
        (None, "review", "#bdd7ee"),
        (0.5, "review", "#bdd7ee"),
    ],
)
def test_a_value_has_the_colour_of_its_confidence(confidence: float | None, source: str, colour: str) -> None:
    assert workbook.band(confidence, source) == {"bg_color": colour}
    assert workbook.band(None, "read") is None


@pytest.mark.medium
def test_the_sheets_of_a_workbook_say_what_they_are(store: Store, tmp_path: Path) -> None:
    wrong = sheets.receipt({"total": "80.000"}, {"total": 0.6})
    job = sheets.filled(store, {"a": wrong, "b": sheets.receipt()})
    store.export(job, tmp_path / "out.xlsx")
    book = openpyxl.load_workbook(tmp_path / "out.xlsx")
    legend = [[cell.value for cell in row] for row in book["legend"]]
    assert legend == [
        ["Màu", "Ý nghĩa", "Meaning"],
        [None, "độ tin cậy từ 0,99", "confidence of 0.99 or more"],
        [None, "từ 0,9 đến dưới 0,99", "from 0.9 to below 0.99"],
        [None, "dưới 0,9", "below 0.9"],
        [None, "do người quyết định", "decided by a person"],
        ["Đợt", "job", "june"],
        ["Loại giấy tờ", "schema", "receipt@1"],
        ["Mô hình", "model", f"demo ({'c' * 12})"],
        ["Bắt đầu", "begun", job.created_at.replace(tzinfo=None)],
    ]
    colours = [book["legend"].cell(row, 1).fill.fgColor.rgb[2:] for row in range(2, 6)]
    assert colours == ["E2EFDA", "FFF2CC", "FFC7CE", "BDD7EE"]
    to_check = book["to check"]
    heads = [cell.value for cell in to_check[1]]
    assert heads[:4] == ["document_uri", "file", "review", "field"]
    assert [cell.value for cell in to_check[2]][:4] == ["Tài liệu", "Tệp", "Xem trang", "Trường"]
    assert to_check.max_row == 2 + 1 + 50 and to_check.freeze_panes == "B3"
    row = dict(zip(heads, (cell for cell in to_check[3]), strict=True))
    assert (row["field"].value, row["value"].value, row["printed"].value) == ("total", 80000, "80.000")
    assert row["value"].fill.fgColor.rgb[2:] == "FFC7CE" and row["confidence"].number_format == "0.000"
    assert row["why"].alignment.wrap_text and row["correction"].number_format == "@"
    assert row["correction"].fill.fgColor.rgb[2:] == "FFFFE0" and row["ruling"].border.left.style == "thin"
    assert row["why"].alignment.vertical == "top"
    values = book["receipt_v1"]
    named = dict(zip(*([cell.value for cell in values[row]] for row in (1, 2)), strict=True))
    fixed = {
        "document_uri": "Tài liệu",
        "file": "Tệp",
        "review": "Xem trang",
        "job": "Đợt",
        "state": "Trạng thái",
        "reasons": "Lý do cần xem",
        "score": "Độ tin cậy cả tài liệu",
        "calibration": "Thang độ tin cậy",
        "total_confidence": "Tổng cộng: độ tin cậy",
        "total_source": "Tổng cộng: nguồn",
        "total_page": "Tổng cộng: trang",
        "witnesses": "Đối chứng",
    }
    assert {name: named[name] for name in fixed} == fixed
    assert book["receipt_v1_lines"]["D2"].value == "Dòng"
    letters = {cell.value: cell.column_letter for cell in values[1]}
    folded = {name for name, letter in letters.items() if values.column_dimensions[letter].outlineLevel}
    assert folded == {name for name in letters if name.endswith(("_confidence", "_source", "_page"))}
    assert values[f"{letters['total_confidence']}3"].number_format == "0.000"
    lines = book["receipt_v1_lines"]
    assert [cell.value for cell in lines[1]][:4] == ["document_uri", "job", "state", "line"]  # without links
    assert lines.max_row == 2 + 4
    missing = book["not read"]
    assert [cell.value for cell in missing[2]] == ["Tài liệu", "Lý do", "Giải thích"]


def test_what_an_older_job_had_no_label_for_has_none(store: Store, tmp_path: Path) -> None:
    sheets.filled(store, {"a": sheets.receipt({"total": "80.000"})})
    with store._db.write() as connection:
        stored_views = connection.execute(select(jobs.c.views)).scalar_one()
        old = [
            {key: value for key, value in view.items() if key != "label"}
            | {"columns": [column[:3] for column in view["columns"]]}
            for view in stored_views
        ]
        connection.execute(update(jobs).values(views=old))
    job = store.jobs.find("june")
    store.export(job, tmp_path / "out.xlsx")
    book = openpyxl.load_workbook(tmp_path / "out.xlsx")
    sheet = book["receipt_v1"]
    labels = dict(zip((cell.value for cell in sheet[1]), (cell.value for cell in sheet[2]), strict=True))
    assert labels["total"] is labels["total_page"] is None and labels["reasons"] == "Lý do cần xem"
    assert labels["document_uri"] == "Tài liệu" and labels["witnesses"] == "Đối chứng"
    assert doubts.called("lines[0].amount", doubts.names(job)).label == "lines 1: amount"


@pytest.mark.medium
def test_evidence_is_typed_and_whole_however_documents_are_grouped(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_CHUNK", 3)
    readings = {name: sheets.receipt({"number": f"00{name}"}) for name in "abcd"}
    other = sheets.filled(store, {name: sheets.receipt({"total": "1"}) for name in "abcd"}, "other")
    job = sheets.filled(store, readings)
    assert other.id != job.id
    store.export(job, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    kinds = {name: table.schema.field(name).type for name in table.column_names}
    for name in ("reasons", "calibration", "total_source", "document_uri", "job", "state", "witnesses"):
        assert kinds[name] == pa.string()
    assert kinds["score"] == kinds["total_confidence"] == pa.float64() and kinds["total_page"] == pa.int64()
    assert table.column("number").to_pylist() == ["00a", "00b", "00c", "00d"]
    assert table.column("reasons").to_pylist() == [None] * 4
    lines = pq.read_table(tmp_path / "out_lines.parquet")
    assert list(zip(*(lines.column(name).to_pylist() for name in ("document_uri", "line")), strict=True)) == [
        (f"/in/{name}", line) for name in "abcd" for line in (1, 2)
    ]
    assert set(lines.column("amount_source").to_pylist()) == {"read"}
    assert lines.schema.field("line").type == pa.int64()


def test_a_rejected_and_a_failed_document_are_lines_with_their_reason(store: Store, tmp_path: Path) -> None:
    job = sheets.filled(store, {"a": sheets.receipt(), "no": sheets.receipt()})
    store.decisions.add(job, "/in/no", [Decision(None, "reject", "an")])
    store.ledger.add(job, samples.refs("waits"))
    assert store.export(job, tmp_path / "out.jsonl").left_out == 2
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [(one["document_uri"], one["job"], one["state"], one["reason"]) for one in found] == [
        ("/in/a", "june", "done", None),
        ("/in/no", "june", "quarantined", "rejected"),
    ]
    assert found[1]["record"] is None


def test_a_book_that_breaks_off_leaves_no_files_of_its_own() -> None:
    with pytest.raises(RuntimeError), Book(io.BytesIO()) as book:
        folder = Path(book._parts.name)
        assert folder.is_dir() and folder.stat().st_mode & 0o077 == 0
        raise RuntimeError
    assert not folder.exists()
