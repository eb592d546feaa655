"""A job against its truth, by figures that can be counted on the fingers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.evaluation import Report, Truth, beside, evaluate, load, summary
from pipeline.evaluation.report import FieldScore
from pipeline.records import Tier
from pipeline.trust.measures import Point
from tests.evaluation.papers import RECEIPT, Paper, read

MILK = {"name": "Sữa", "quantity": "2", "unit_price": "15.000", "amount": "30.000"}
SWEET = {"name": "Kẹo", "quantity": "1", "unit_price": "5.000", "amount": "5.000"}
RICE = {"name": "Gạo", "quantity": "3", "unit_price": "10.000", "amount": "30.000"}
TRUE = {"store": "Chợ Mới", "date": "05/11/2026", "lines": [MILK, SWEET], "total": "35.000"}


def truth_of(folder: Path, **documents: dict[str, Any]) -> Truth:
    rows = [{"file": f"{name}.png", **values} for name, values in documents.items()]
    path = folder / "truth.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return load(path, RECEIPT)


def scored(report: Report, leaf: str) -> FieldScore:
    (field,) = (field for field in report.fields if field.leaf == leaf)
    return field


def counts(field: FieldScore) -> tuple[int, int, int, int, int]:
    return field.right, field.wrong, field.missing, field.hallucinated, field.absent


def test_a_perfect_reading_is_perfect_in_every_measure(tmp_path: Path) -> None:
    report = evaluate([read("/d/a.png", TRUE)], truth_of(tmp_path, a=TRUE))
    assert report.total.f1 == report.macro_f1 == report.anls == 1.0
    assert report.total.cer == 0.0 and report.ece == 0.0
    assert report.exact is not None and report.exact.share == 1.0
    assert report.worst == () and report.unread == () and report.unscored == ()
    assert report.total.printed == report.total.right == report.total.exact == 3 + 8


def test_each_kind_of_error_is_counted_as_itself(tmp_path: Path) -> None:
    truth = truth_of(
        tmp_path,
        a={"store": "Chợ Mới", "total": "35.000", "date": "05/11/2026", "paid": None, "change": None},
    )
    said = {"store": "Chợ Mái", "total": "35,000", "paid": "50.000", "date": None}
    report = evaluate([read("/d/a.png", said)], truth)
    assert counts(scored(report, "store")) == (0, 1, 0, 0, 0)
    assert counts(scored(report, "total")) == (1, 0, 0, 0, 0)
    assert counts(scored(report, "date")) == (0, 0, 1, 0, 0)
    assert counts(scored(report, "paid")) == (0, 0, 0, 1, 0)
    assert counts(scored(report, "change")) == (0, 0, 0, 0, 1)
    assert scored(report, "total").exact == 0, "right after normalisation, but not to the letter"
    total = report.total
    assert (total.precision, total.recall) == (1 / 3, 1 / 3)
    assert total.f1 == pytest.approx(1 / 3)
    assert report.macro_f1 == pytest.approx((0 + 1 + 0 + 0) / 4), "a field that is nowhere has no F1"
    # 1 letter of "Chợ Mới", the sign of "35.000", all 10 of the date
    assert total.cer == pytest.approx((1 + 1 + 10) / (7 + 6 + 10))
    assert report.exact is not None and report.exact.share == 0
    (worst,) = report.worst
    assert [(fault.path, fault.verdict) for fault in worst.faults] == [
        ("store", "wrong"), ("date", "missing"), ("paid", "hallucinated"),
    ]  # fmt: skip


def test_diacritics_are_told_apart(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, a={"store": "Hòa An"}, b={"store": "Hòa An"}, c={"store": "Hòa An"})
    papers = [
        read("/a.png", {"store": "Hòa An"}),
        read("/b.png", {"store": "Hoà An"}),
        read("/c.png", {"store": "Hoa An"}),
    ]
    store = scored(evaluate(papers, truth), "store")
    assert (store.right, store.exact, store.tone, store.unaccented) == (1, 1, 2, 3)


def test_lines_in_another_order_are_the_same_lines(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, a={"lines": [MILK, SWEET, RICE]})
    report = evaluate([read("/a.png", {"lines": [RICE, MILK, SWEET]})], truth)
    assert report.total.f1 == 1.0


def test_a_missing_line_does_not_shift_the_others(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, a={"lines": [MILK, SWEET, RICE]})
    report = evaluate([read("/a.png", {"lines": [SWEET, RICE]})], truth)
    assert counts(scored(report, "lines[].name")) == (2, 0, 1, 0, 0)
    assert counts(scored(report, "lines[].amount")) == (2, 0, 1, 0, 0)
    assert [fault.path for fault in report.worst[0].faults] == [f"lines[0].{name}" for name in MILK]


def test_an_invented_line_is_hallucinated_with_all_its_values(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, a={"lines": [MILK]})
    report = evaluate([read("/a.png", {"lines": [SWEET, MILK]})], truth)
    assert counts(scored(report, "lines[].name")) == (1, 0, 0, 1, 0)
    assert {fault.path for fault in report.worst[0].faults} == {f"lines[0].{name}" for name in SWEET}


def test_a_line_read_badly_is_wrong_not_missing_and_invented(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, a={"lines": [MILK]})
    report = evaluate([read("/a.png", {"lines": [{**MILK, "amount": "38.000", "name": None}]})], truth)
    assert counts(scored(report, "lines[].amount")) == (0, 1, 0, 0, 0)
    assert counts(scored(report, "lines[].name")) == (0, 0, 1, 0, 0)


def test_fields_that_the_truth_never_names_are_not_scored(tmp_path: Path) -> None:
    report = evaluate([read("/a.png", TRUE)], truth_of(tmp_path, a={"total": "35.000"}))
    assert [field.leaf for field in report.fields] == ["total"]
    assert report.total.f1 == 1.0 and report.anls == 1.0


def test_a_document_without_an_extraction_counts_as_all_missing(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, a={"store": "A", "total": "1"}, b={"store": "B", "total": "2"})
    report = evaluate([read("/a.png", {"store": "A", "total": "1"}), read("/z.png", {})], truth)
    assert report.unread == ("b.png",) and report.unscored == ("/z.png",)
    assert report.documents == 2
    assert (report.total.right, report.total.missing) == (2, 2)
    assert report.exact is not None and report.exact.share == 0.5
    assert report.accept.documents is not None and report.accept.documents.share == 0.5


def test_the_surest_documents_pass_while_precision_holds(tmp_path: Path) -> None:
    names = [f"d{i}" for i in range(10)]
    truth = truth_of(tmp_path, **{name: {"store": "Chợ Mới", "total": "35.000"} for name in names})
    right = {"store": "Chợ Mới", "total": "35.000"}
    papers = [
        read(f"/{name}.png", right, doubts={"Chợ Mới": 0.95 - i / 100}) for i, name in enumerate(names[:6])
    ]
    papers += [
        read(f"/{name}.png", {**right, "store": "Chợ Mái"}, doubts={"Chợ Mái": 0.5}) for name in names[6:]
    ]
    accept = evaluate(papers, truth).accept
    assert accept.accepted == 6
    assert accept.documents is not None and accept.documents.share == 0.6
    assert accept.threshold == pytest.approx(0.9)
    assert accept.precision is not None and accept.precision.share == 1.0 and accept.precision.low < 0.99


def test_a_document_with_a_failed_check_never_passes_alone(tmp_path: Path) -> None:
    wrong = {"date": "31/02/2026", "total": "35.000"}
    report = evaluate([read("/a.png", wrong)], truth_of(tmp_path, a=wrong))
    assert report.total.f1 == 1.0, "the impossible day is what stands there, and was read"
    assert report.accept.accepted == 0 and report.accept.threshold is None
    assert report.done is not None and report.done.share == 0


def test_risk_is_told_by_tier_and_by_scores_where_there_are_some(tmp_path: Path) -> None:
    """Two scans, of which the surer one is right in both values and the other in one; a photo in none."""
    whole = {"store": "Chợ Mới", "total": "35.000"}
    truth = truth_of(tmp_path, a=whole, b=whole, c=whole)

    def paper(name: str, said: dict[str, str], score: float, tier: Tier) -> Paper:
        made = read(f"/{name}.png", said).extraction
        return Paper(f"/{name}.png", replace(made, score=score, tier=tier))

    wrong = {"store": "Chợ Mái", "total": "35.000"}
    papers = [paper("a", whole, 0.9, "scan"), paper("b", wrong, 0.4, "scan"), paper("c", wrong, 0.7, "photo")]
    report = evaluate(papers, truth)
    assert report.calibrated and "calibrated scores" in summary.scope(report)
    assert [(risk.tier, risk.items, risk.points) for risk in report.risk] == [
        ("scan", 2, (Point(0.9, 0.5, 0.0), Point(0.4, 1.0, 0.25))),
        ("photo", 1, (Point(0.7, 1.0, 0.5),)),
    ]


def test_calibration_counts_null_as_a_reading(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, a={"store": "Chợ Mới", "paid": None})
    paper = read("/a.png", {"store": "Chợ Mới"}, doubts={"Chợ": 0.75})
    report = evaluate([paper], truth)
    assert sum(b.count for b in report.bins) == 2
    assert report.ece == pytest.approx((0.25 + 0) / 2)


def test_the_report_is_json_a_table_and_a_sentence(tmp_path: Path) -> None:
    marked = read("/a.png", {"store": "<b>Chợ</b>", "total": "1"}, sure=0.9)
    whole = {"store": "B", "total": "1"}
    papers = [marked, read("/b.png", whole)]
    report = evaluate(papers, truth_of(tmp_path, a={"store": "Chợ", "total": "1"}, b=whole))
    plain = json.loads(json.dumps(report.as_json()))
    assert plain["total"]["right"] == 3 and plain["worst"][0]["faults"][0]["path"] == "store"
    table = summary.rows(report)
    assert all(len(row) == len(summary.HEADS) for row in table)
    assert [row[0] for row in table] == ["store", "total", "all"]
    assert summary.brief_rows(report)[0] == ("store", "1/2", "1", "0", "0", "50.0%", "175.0%")
    assert summary.headline(report).startswith(
        "50.0% (95% interval 0.0% to 100.0%) of the documents may pass"
    )


def test_a_document_is_shown_beside_its_truth(tmp_path: Path) -> None:
    paper = read("/a.png", {"store": "Chơ", "change": "1"})
    [(name, pairs)] = beside([paper], truth_of(tmp_path, a={"store": "Chợ", "paid": "5", "change": None}))
    assert name == "a.png"
    assert [summary.pair_row(each) for each in pairs] == [
        ("store", "Chơ", "Chợ", "wrong"),
        ("paid", "–", "5", "missing"),
        ("change", "1", "–", "hallucinated"),
    ]


def test_nothing_to_score_is_said_plainly(tmp_path: Path) -> None:
    report = evaluate([], truth_of(tmp_path, a={"store": "A"}))
    assert report.ece is None and report.bins == () and report.total.recall == 0
    assert "no threshold of confidence reaches it" in summary.headline(report)


def papers_of(specimens: list[dict[str, Any]]) -> list[Paper]:
    return [read(f"/d/{line['file']}", _raw(line)) for line in specimens]


def _raw(line: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {"lines": [{} for _ in line["record"]["lines"]]}
    for field in line["fields"]:
        head, _, name = field["path"].partition("].")
        if name:
            values["lines"][int(head.removeprefix("lines["))][name] = field["raw"]
        else:
            values[field["path"]] = field["raw"]
    return values


@pytest.mark.medium
def test_specimens_read_as_printed_are_right_throughout(tmp_path: Path) -> None:
    from pipeline import specimens

    lines = specimens.write(tmp_path, 3, ["receipt"], seed=5)
    truth = load(tmp_path, RECEIPT)
    report = evaluate(papers_of(lines), truth)
    assert report.documents == 3 and report.total.f1 == 1.0 and report.total.cer == 0.0
    assert report.exact is not None and report.exact.share == 1.0
