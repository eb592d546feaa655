"""Pages become one record: nothing is dropped, and what they disagree about is flagged."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from pipeline import grammar, merge, parse
from pipeline.errors import Reason
from pipeline.flags import FlagCode
from pipeline.records import Check, Extraction, Failure, Flag, PageRecord, Quality, TextLayer
from schemas.printed import Printed, text_pattern
from schemas.registry import SchemaSpec, resolve
from schemas.shape import Group, Leaf, Repeated
from tests.pipeline.walker import recite, spec_of

RECEIPT = resolve("receipt@1")
LINE = {"name": "Sữa", "quantity": "2", "unit_price": "15.000", "amount": "30.000"}
OTHER = {"name": "Kẹo", "quantity": "1", "unit_price": "5.000", "amount": "5.000"}


def page(
    number: int, values: dict[str, Any], spec: SchemaSpec = RECEIPT, sure: float = 1.0, **doubts: float
) -> PageRecord:
    """What a page says when the model writes `values` (printed texts)."""
    spoken = recite(grammar.answer(spec.shape, values), sure=sure, doubts=doubts)
    return parse.page_record(spoken, spec, number)


def named(extraction: Extraction, code: str) -> list[Check]:
    return [check for check in extraction.checks if check.code == code]


def values(extraction: Extraction) -> dict[str, Any]:
    return {field.path: field.value for field in extraction.fields}


def test_one_page_becomes_the_record_of_the_schema() -> None:
    made = merge.document(
        [page(1, {"store": "Chợ Mới", "date": "05/11/2026", "lines": [LINE], "total": "30.000"})], RECEIPT
    )
    assert made.record["store"] == "Chợ Mới"
    assert made.record["date"] == "2026-11-05"
    assert made.record["address"] is None
    assert made.record["lines"] == [
        {"name": "Sữa", "quantity": "2", "unit_price": "15000", "amount": "30000"}
    ]
    assert made.record["total"] == "30000"
    assert made.pages == 1
    assert list(made.record) == [node.name for node in RECEIPT.shape.fields]


def test_values_come_from_the_page_that_has_them_and_lists_go_on() -> None:
    first = page(1, {"store": "Chợ Mới", "lines": [LINE]})
    second = page(2, {"lines": [OTHER, LINE], "total": "65.000"})
    made = merge.document([second, first], RECEIPT)
    assert [line["name"] for line in made.record["lines"]] == ["Sữa", "Kẹo", "Sữa"]
    assert (made.record["store"], made.record["total"]) == ("Chợ Mới", "65000")
    of = {field.path: field for field in made.fields}
    assert (of["store"].page, of["total"].page, of["lines[0].name"].page, of["lines[2].name"].page) == (
        1,
        2,
        1,
        2,
    )
    assert of["lines"].value == 3
    assert not named(made, "page_conflict")


def test_an_equal_value_on_two_pages_is_kept_once_with_the_higher_confidence() -> None:
    made = merge.document(
        [page(1, {"total": "65.000"}, **{"65.000": 0.5}), page(2, {"total": "65,000"})], RECEIPT
    )
    found = {field.path: field for field in made.fields}["total"]
    assert (found.value, found.confidence, found.page) == ("65000", 1.0, 2)
    assert not named(made, "page_conflict")


def test_a_disagreement_keeps_the_surer_value_and_is_flagged() -> None:
    made = merge.document(
        [page(1, {"store": "Chợ Mới"}, **{"Chợ Mới": 0.95}), page(2, {"store": "Chợ Mái"})], RECEIPT
    )
    assert made.record["store"] == "Chợ Mái"
    assert made.state == "review"
    (check,) = named(made, "page_conflict")
    assert not check.passed and check.fields == ("store",)
    assert (check.expected, check.found) == ("Chợ Mái", "Chợ Mới")
    assert "page 1 says 'Chợ Mới'" in check.message and "page 2 says 'Chợ Mái'" in check.message


def test_what_was_not_drawn_of_a_page_is_a_failed_check_of_the_document() -> None:
    plain = page(1, {"store": "Chợ Mới", "date": "05/11/2026", "lines": [LINE], "total": "30.000"})
    flag = Flag(FlagCode.picture_damaged, "a picture is not drawn")
    assert merge.document([plain], RECEIPT).state == "done"
    made = merge.document([page(2, {}), replace(plain, flags=(flag,))], RECEIPT)
    assert made.state == "review"
    (check,) = named(made, "picture_damaged")
    assert (check.passed, check.severity, check.message) == (
        False,
        "warning",
        "page 1: a picture is not drawn",
    )


def test_an_unreadable_text_beside_a_readable_one_is_a_disagreement() -> None:
    made = merge.document([page(1, {"date": "31/02/2026"}), page(2, {"date": "05/11/2026"})], RECEIPT)
    assert named(made, "page_conflict")


def test_a_line_repeated_over_the_page_break_is_kept_and_flagged() -> None:
    made = merge.document([page(1, {"lines": [OTHER, LINE]}), page(2, {"lines": [LINE]})], RECEIPT)
    assert len(made.record["lines"]) == 3
    (check,) = named(made, "line_repeated")
    assert check.fields == ("lines[1]", "lines[2]") and made.state == "review"
    apart = merge.document([page(1, {"lines": [LINE, LINE]}), page(2, {"lines": [OTHER]})], RECEIPT)
    assert not named(apart, "line_repeated")
    brief = {"name": "Sữa"}  # most of a line's values may be missing
    again = merge.document([page(1, {"lines": [OTHER, brief]}), page(2, {"lines": [brief]})], RECEIPT)
    assert [check.fields for check in named(again, "line_repeated")] == [("lines[1]", "lines[2]")]


def test_only_a_page_break_makes_a_repetition() -> None:
    """The first line of the document follows no page: it is not held against the last."""
    made = merge.document([page(1, {"lines": [LINE, OTHER]}), page(2, {"lines": [LINE]})], RECEIPT)
    assert not named(made, "line_repeated")
    assert not named(merge.document([page(1, {"lines": [LINE]})], RECEIPT), "line_repeated")


def test_lines_without_a_value_repeat_nothing() -> None:
    made = merge.document([page(1, {"lines": [LINE, {}]}), page(2, {"lines": [{}, OTHER]})], RECEIPT)
    assert not named(made, "line_repeated") and len(named(made, "line_empty")) == 2


def test_a_list_is_as_sure_as_the_least_sure_of_its_pages() -> None:
    pages = [page(1, {"lines": [LINE]}, sure=0.9), page(2, {"lines": [OTHER]}, sure=0.5), page(3, {})]
    alone = {field.path: field for field in pages[1].fields}["lines"].confidence
    (whole,) = [field for field in merge.document(pages, RECEIPT).fields if field.path == "lines"]
    assert whole.confidence == alone < 0.5
    assert (whole.raw, whole.value, whole.source, whole.page, whole.problem) == (None, 2, "read", 1, None)


def test_a_single_page_is_as_sure_of_its_list_as_it_was() -> None:
    read = page(1, {"lines": [LINE]}, sure=0.9)
    assert {f.path: f.confidence for f in merge.document([read], RECEIPT).fields} == {
        f.path: f.confidence for f in read.fields
    }


@pytest.mark.parametrize(
    ("pages", "code", "severity"),
    [
        ([{"store": "A"}, {"store": "B"}], "page_conflict", "error"),
        ([{"store": "A", "date": "31/02/2026"}], "field_invalid", "error"),
        ([{}], "nothing_read", "error"),
        ([{"store": "A", "lines": [{}]}], "line_empty", "warning"),
        ([{"lines": [LINE]}, {"lines": [LINE]}], "line_repeated", "warning"),
    ],
)
def test_what_is_odd_is_a_failed_check_and_sends_to_review(
    pages: list[dict[str, Any]], code: str, severity: str
) -> None:
    made = merge.document([page(i, values) for i, values in enumerate(pages, 1)], RECEIPT)
    (check,) = named(made, code)
    assert (check.passed, check.severity) == (False, severity)
    assert made.state == "review"


def test_values_that_agree_however_they_are_printed_are_no_conflict() -> None:
    made = merge.document([page(1, {"total": "65.000"}), page(2, {"total": "65,000"})], RECEIPT)
    assert not named(made, "page_conflict")


def test_the_surest_of_three_pages_is_kept_and_each_other_one_is_named() -> None:
    pages = [page(1, {"store": "A"}, A=0.5), page(2, {"store": "B"}), page(3, {"store": "C"}, C=0.7)]
    made = merge.document(pages, RECEIPT)
    (check,) = named(made, "page_conflict")
    assert made.record["store"] == "B" and check.expected == "B" and check.found == "A; C"
    assert "of page 2, is kept" in check.message


def test_unsure_fields_are_named_the_least_sure_first() -> None:
    read = page(1, {"store": "Chợ", "address": "Huế"}, **{"Chợ": 0.8, "Huế": 0.6})
    (check,) = named(merge.document([read], RECEIPT, review_below=0.9), "low_confidence")
    assert check.fields == ("address", "store") and check.found == "0.6000"
    assert check.message.startswith("2 of ") and "address at 0.60" in check.message
    assert (check.passed, check.severity) == (False, "warning")
    assert not named(merge.document([read], RECEIPT, review_below=0.6), "low_confidence")


def test_fields_of_which_nobody_knows_how_sure_they_are_are_counted_and_named_first() -> None:
    read = page(1, {"store": "Chợ", "address": "Huế", "total": "5.000"}, **{"Chợ": 0.8})
    unknown = {"address", "total"}
    fields = tuple(f._replace(confidence=None) if f.path in unknown else f for f in read.fields)
    (check,) = named(
        merge.document([replace(read, fields=fields)], RECEIPT, review_below=0.9), "low_confidence"
    )
    assert check.message == f"how sure 2 of {len(fields)} fields are is not known"
    assert (set(check.fields[:2]), check.fields[2:], check.found) == (unknown, ("store",), "0.0000")


def test_a_failed_page_is_counted_once() -> None:
    twice = [Failure(Reason.output_truncated, "too long", 2), Failure(Reason.output_truncated, "again", 2)]
    assert merge.document([page(1, {"store": "A"})], RECEIPT, failed=twice).pages == 2


def test_a_page_without_lines_does_not_hide_a_repetition() -> None:
    made = merge.document([page(1, {"lines": [LINE]}), page(2, {}), page(3, {"lines": [LINE]})], RECEIPT)
    assert named(made, "line_repeated")


def test_a_line_without_a_value_is_kept_and_flagged() -> None:
    made = merge.document([page(1, {"store": "A", "lines": [{}, LINE]})], RECEIPT)
    assert made.record["lines"][0] == dict.fromkeys(LINE)
    (check,) = named(made, "line_empty")
    assert check.fields == ("lines[0]",) and made.state == "review"


def test_absent_everywhere_is_as_sure_as_the_least_sure_page() -> None:
    made = merge.document([page(1, {"store": "A"}, sure=0.9), page(2, {"store": "A"}, sure=0.5)], RECEIPT)
    of = {field.path: field for field in made.fields}
    alone = {field.path: field for field in page(2, {"store": "A"}, sure=0.5).fields}
    assert of["paid"].value is None
    assert of["paid"].confidence == alone["paid"].confidence < 0.9


def test_a_text_that_cannot_be_normalised_is_null_with_its_reason_and_goes_to_review() -> None:
    made = merge.document([page(1, {"store": "A", "date": "31/02/2026"})], RECEIPT)
    assert made.record["date"] is None
    found = {field.path: field for field in made.fields}["date"]
    assert found.raw == "31/02/2026" and found.problem
    (check,) = named(made, "field_invalid")
    assert check.found == "31/02/2026" and found.problem in check.message and made.state == "review"


def test_an_unsure_field_goes_to_review_by_name() -> None:
    unsure = page(1, {"store": "Chợ Mới"}, **{"Chợ Mới": 0.75})
    made = merge.document([unsure], RECEIPT, review_below=0.8)
    (check,) = named(made, "low_confidence")
    assert made.state == "review" and check.fields == ("store",)
    assert (check.expected, check.found) == (">= 0.8", "0.7500")
    assert "uncalibrated" in check.message
    assert not named(merge.document([unsure], RECEIPT, review_below=0.7), "low_confidence")


def test_a_document_on_which_nothing_was_read_goes_to_review() -> None:
    made = merge.document([page(1, {}), page(2, {"lines": [{}]})], RECEIPT)
    assert named(made, "nothing_read") and made.state == "review"
    assert not named(merge.document([page(1, {"store": "A"})], RECEIPT), "nothing_read")


def test_a_failed_page_makes_the_document_partial_whatever_else_is_wrong() -> None:
    lost = Failure(Reason.output_truncated, "page 2: too long", 2)
    made = merge.document([page(1, {"store": "A"})], RECEIPT, failed=[lost])
    assert (made.state, made.pages) == ("partial", 2)


def test_a_document_was_read_on_the_day_of_its_last_page() -> None:
    read = page(1, {"store": "A"})
    assert merge.document([read], RECEIPT).read_on is None
    days = (date(2026, 11, 6), date(2026, 11, 5), None)
    pages = [replace(read, page=n, read_on=day) for n, day in enumerate(days, 1)]
    assert merge.document(pages, RECEIPT).read_on == date(2026, 11, 6)


def test_a_document_is_worth_what_its_worst_page_is() -> None:
    read = page(1, {"store": "A"})
    assert merge.document([read], RECEIPT).tier is None
    sharp = Quality("clean", 12.0, 0.0, 0.0, 0.0, 0.0)
    for worse in ("scan", "photo"):
        qualities = (sharp, replace(sharp, tier=worse), None)
        pages = [replace(read, page=n, quality=quality) for n, quality in enumerate(qualities, 1)]
        assert merge.document(pages, RECEIPT).tier == worse


def test_a_text_beside_the_print_that_is_not_trusted_is_told_and_stops_nothing() -> None:
    whole = page(1, {"store": "A", "date": "05/11/2026", "lines": [LINE], "total": "30.000"})
    for trusted in (True, False):
        layer = TextLayer((), trusted, "other letters are drawn")
        made = merge.document([replace(whole, page=3, text=layer)], RECEIPT)
        told = [(check.passed, check.severity, check.message) for check in named(made, "text_not_trusted")]
        message = "page 3: its text is not taken for print: other letters are drawn"
        assert told == ([] if trusted else [(False, "info", message)])
        assert made.state == "done"


def test_no_page_is_no_document() -> None:
    with pytest.raises(ValueError, match="no page was read"):
        merge.document([], RECEIPT)


def test_a_sure_consistent_document_is_done() -> None:
    whole = {"store": "A", "date": "05/11/2026", "lines": [LINE], "total": "30.000"}
    made = merge.document([page(1, whole)], RECEIPT)
    failed = [check for check in made.checks if not check.passed]
    assert [(check.code, check.severity) for check in failed] == [
        ("unsupported", "info"),
        ("day_or_month", "info"),
    ]
    assert made.state == "done"
    for name in RECEIPT.model.required:  # type: ignore[attr-defined]
        lacking = merge.document([page(1, {**whole, name: None})], RECEIPT)
        assert [check.fields for check in named(lacking, "required")] == [(name,)]
        assert lacking.state == "review"


def test_merging_again_gives_the_same() -> None:
    pages = [page(1, {"store": "A", "lines": [LINE]}), page(2, {"store": "B", "lines": [OTHER]})]
    assert merge.document(pages, RECEIPT) == merge.document(list(reversed(pages)), RECEIPT)


def test_an_ambiguous_number_is_settled_by_arithmetic_and_else_flagged() -> None:
    weighed = {"name": "Thịt", "quantity": "1.234", "unit_price": "100000", "amount": "123.400"}
    made = merge.document([page(1, {"store": "A", "lines": [weighed]})], RECEIPT)
    assert made.record["lines"][0]["quantity"] == "1.234"
    assert {field.path: field for field in made.fields}["lines[0].quantity"].raw == "1.234"
    assert not named(made, "number_ambiguous")
    alone = merge.document(
        [page(1, {"store": "A", "lines": [{"name": "Thịt", "quantity": "1.234"}]})], RECEIPT
    )
    assert alone.record["lines"][0]["quantity"] == "1234"
    assert named(alone, "number_ambiguous") and alone.state == "review"


def test_the_rules_of_the_schema_are_run_over_the_whole_document() -> None:
    wrong = merge.document(
        [page(1, {"date": "05/11/2026", "lines": [LINE]}), page(2, {"lines": [OTHER], "total": "36.000"})],
        RECEIPT,
    )
    failed = [check for check in wrong.checks if not check.passed and check.severity == "error"]
    assert failed and wrong.state == "review"
    assert all("total" in check.fields for check in failed)
    assert wrong.record["total"] == "36000", "a failed check changes nothing"


def test_pages_read_long_ago_follow_the_schema_as_it_is_now() -> None:
    stale = page(1, {"store": "A", "total": "65.000"})
    fields = tuple(field._replace(value="0", problem="old") if field.raw else field for field in stale.fields)
    assert merge.document([replace(stale, fields=fields)], RECEIPT) == merge.document([stale], RECEIPT)


NOTE = spec_of(
    Leaf("number", "Số phiếu", Printed(text_pattern(12), str, "text", 12)),
    Leaf("kind", "Loại", Printed("Xuất|Nhập", str, "text", 4)),
    Leaf("series", "Ký hiệu", Printed("[A-Z]{1,3}", str, "text", 200)),
    Leaf("code", "Mã", Printed("[0-9]{12}", str, "text", 12)),
    Repeated(
        "lines",
        "Hàng hóa",
        Group(
            "line",
            "line",
            (
                Leaf("goods", "Tên hàng", Printed(text_pattern(200), str, "text", 200)),
                Repeated("seals", "Niêm", Leaf("seals", "Niêm", Printed("[a-z]{1,9}", str, "text", 9)), 2),
            ),
        ),
        30,
    ),
)


def goods(count: int, seals: int = 0) -> list[dict[str, Any]]:
    return [{"goods": f"Hàng {i}", "seals": ["x"] * seals} for i in range(count)]


def test_a_list_that_fills_its_bound_on_a_page_is_said() -> None:
    full = merge.document([page(1, {"lines": goods(30)}, NOTE), page(2, {"lines": goods(3)}, NOTE)], NOTE)
    (check,) = named(full, "list_full")
    assert (full.state, check.severity, check.fields, check.found) == ("review", "error", ("lines",), "30")
    assert "page 1" in check.message
    fitting = [page(n, {"lines": goods(29, seals=1)}, NOTE) for n in (1, 2)]
    assert not named(merge.document(fitting, NOTE), "list_full")
    inner = merge.document([page(1, {"lines": goods(3, seals=2)}, NOTE)], NOTE)
    assert [check.fields[0] for check in named(inner, "list_full")] == [f"lines[{i}].seals" for i in range(3)]


def test_a_text_that_fills_its_bound_is_said() -> None:
    full = merge.document([page(1, {"number": "PX-2025/0012"}, NOTE)], NOTE)
    (check,) = named(full, "text_full")
    assert (full.state, check.severity, check.fields) == ("review", "error", ("number",))
    assert check.found == "PX-2025/0012"
    by_pattern = merge.document([page(1, {"series": "ABC"}, NOTE)], NOTE)
    assert [check.expected for check in named(by_pattern, "text_full")] == ["< 3"]
    assert not named(merge.document([page(1, {"series": "AB"}, NOTE)], NOTE), "text_full")
    # What cannot be shorter is not cut: a choice, a number of fixed length, an MRZ, an identity number.
    whole = {"number": "PX-2025/001", "kind": "Xuất", "code": "012345678901"}
    assert not named(merge.document([page(1, whole, NOTE)], NOTE), "text_full")
    card = resolve("id_card@1")
    zone = "IDVNM1990000070099199000007<<6 9901018F3901016VNM<<<<<<<<<<<4 NGUYEN<<THI<MAU<<<<<<<<<<<<<<<"
    said = page(1, {"number": "099199000007", "sex": "Nam", "mrz": zone}, card)
    assert not named(merge.document([said], card), "text_full")
