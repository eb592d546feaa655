"""Truth in each of its forms comes to the same, and what is unclear is refused by file and line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.evaluation.truth import Truth, load
from tests.evaluation.papers import RECEIPT

PRINTED = {"store": "Chợ Mới", "total": "65.000"}
LINES = [{"name": "Sữa", "amount": "30.000"}, {"name": "Kẹo", "amount": "35.000"}]
EXPECTED = {
    "store": ("Chợ Mới", "Chợ Mới"),
    "total": ("65.000", "65000"),
    "lines[0].name": ("Sữa", "Sữa"),
    "lines[0].amount": ("30.000", "30000"),
    "lines[1].name": ("Kẹo", "Kẹo"),
    "lines[1].amount": ("35.000", "35000"),
}


def values(truth: Truth, name: str) -> dict[str, tuple[str, Any]]:
    (document,) = (document for document in truth.documents if document.name == name)
    return {path: (value.text, value.value) for path, value in document.values.items()}


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_our_own_lines_hold_normal_forms_and_printed_texts(tmp_path: Path) -> None:
    fields = [{"path": path, "raw": raw, "page": 1} for path, (raw, _) in EXPECTED.items()]
    record: dict[str, Any] = {"store": "Chợ Mới", "total": "65000", "date": None, "lines": []}
    record["lines"] = [{"name": "Sữa", "amount": "30000"}, {"name": "Kẹo", "amount": "35000"}]
    row = {"file": "a.png", "schema": "receipt@1", "record": record, "fields": fields}
    other = {"file": "b.png", "schema": "invoice@1", "record": {}, "fields": []}
    truth = load(jsonl(tmp_path / "truth.jsonl", row, other), RECEIPT)
    assert values(truth, "a.png") == EXPECTED
    assert truth.labelled == {path for path, _ in RECEIPT.shape.leaves()}
    assert truth.other_schema == ("b.png",)


def test_donut_and_cord_hold_json_inside_json(tmp_path: Path) -> None:
    held = json.dumps({"gt_parse": {**PRINTED, "lines": LINES}})
    single = json.dumps({"gt_parse": {"total": "1", "lines": LINES[0]}})
    path = jsonl(
        tmp_path / "metadata.jsonl",
        {"file_name": "a.png", "ground_truth": held},
        {"file_name": "b.png", "ground_truth": single},
    )
    for where in (path, tmp_path):
        truth = load(where, RECEIPT)
        assert values(truth, "a.png") == EXPECTED
        assert values(truth, "b.png")["lines[0].name"] == ("Sữa", "Sữa")
        assert truth.labelled == {"store", "total", "lines[].name", "lines[].amount"}


@pytest.mark.parametrize("suffix", [".json", ".txt"])
def test_sroie_has_a_file_for_each_image(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"X001{suffix}").write_text(json.dumps({**PRINTED, "date": ""}), encoding="utf-8")
    truth = load(tmp_path, RECEIPT)
    assert values(truth, "X001") == {"store": EXPECTED["store"], "total": EXPECTED["total"]}
    assert truth.labelled == {"store", "total", "date"}


def test_a_table_has_a_column_for_each_field_by_name_path_or_label(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        out = csv.writer(file)
        out.writerow(
            [
                "File_Name",
                "cửa hàng",
                "TOTAL",
                "lines[0].name",
                "lines[0].Thành tiền",
                "lines[1].name",
                "lines[1].amount",
                "paid",
            ]
        )
        out.writerow(["a.png", "Chợ Mới", "65.000", "Sữa", "30.000", "Kẹo", "35.000", ""])
    truth = load(path, RECEIPT)
    assert values(truth, "a.png") == EXPECTED
    assert truth.labelled == {"store", "total", "paid", "lines[].name", "lines[].amount"}


def test_a_flat_line_may_hold_numbers(tmp_path: Path) -> None:
    truth = load(jsonl(tmp_path / "t.jsonl", {"document": "a.png", "total": 65000, "store": None}), RECEIPT)
    assert values(truth, "a.png") == {"total": ("65000", "65000")}
    assert truth.labelled == {"total", "store"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("{", "line 1 is no JSON"),
        ("[1]", "line 1 is no JSON object"),
        ('{"total": "1"}', "line 1 does not name its document"),
        ('{"file": "a"}\n{"file": "a", "total": "1"}', "line 2: a has its truth there a second time"),
        ('{"file": "a", "total": [1]}', "total is one value in the schema and list in the truth"),
        ('{"file": "a", "lines": "x"}', "lines is a list in the schema and str in the truth"),
        ('{"file": "a", "lines": ["x"]}', r"lines\[0\] has fields of its own"),
        ('{"file": "a", "colour": "red"}', "holds no field of receipt@1"),
        ("", "holds no field of receipt@1"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(tmp_path: Path, rows: str, said: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(rows)
    with pytest.raises(UsageError, match=said):
        load(path, RECEIPT)


def test_no_file_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no truth at"):
        load(tmp_path / "none.jsonl", RECEIPT)
    with pytest.raises(UsageError, match=r"holds no truth\.jsonl"):
        load(tmp_path, RECEIPT)


def named(tmp_path: Path, *names: str) -> Truth:
    return load(jsonl(tmp_path / "t.jsonl", *({"file": name, "total": "1"} for name in names)), RECEIPT)


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("s3://b/x/a.png", "s3://b/x/a.png"),
        ("x/a.png", "s3://b/x/a.png"),
        ("a.png", "/data/x/a.png"),
        ("x/a.png", "/data/papers.zip!/x/a.png"),
        ("other/a.png", "/data/x/a.png"),
        ("a", "/data/x/a.jpg"),
        ("a.png", "/data/x/a.jpg"),
    ],
)
def test_a_document_is_found_by_uri_ending_name_or_stem(tmp_path: Path, name: str, uri: str) -> None:
    assert named(tmp_path, name, "b.png").match([uri])[uri].name == name


def test_the_longest_ending_wins_and_strangers_stay_out(tmp_path: Path) -> None:
    truth = named(tmp_path, "x/a.png", "y/a.png")
    found = truth.match(["/d/y/a.png", "/d/x/a.png", "/d/c.png"])
    assert {uri: document.name for uri, document in found.items()} == {
        "/d/y/a.png": "y/a.png",
        "/d/x/a.png": "x/a.png",
    }


def test_an_unclear_match_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fits several documents of the truth"):
        named(tmp_path, "x/a.png", "y/a.png").match(["/d/z/a.png"])
    with pytest.raises(UsageError, match="fits both"):
        named(tmp_path, "a.png").match(["/d/x/a.png", "/d/y/a.png"])
