"""A null is told by its reason, and held against codes, the side of the card and the rest of the paper."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from pipeline import grammar, merge, parse
from pipeline.records import Extraction, PageRecord, Quality
from schemas import mrz, qr
from schemas.registry import SchemaSpec, resolve
from tests.pipeline.walker import recite

CARD, RECEIPT, INVOICE = resolve("id_card@1"), resolve("receipt@1"), resolve("invoice@1")
BORN = date(1999, 1, 1)
FRONT = {
    "number": "079199000007",
    "full_name": "NGUYỄN THỊ MẪU",
    "date_of_birth": "01/01/1999",
    "sex": "Nữ",
    "nationality": "Việt Nam",
    "place_of_origin": "Xã Mẫu, Hà Nội",
    "place_of_residence": "Số 1, Hà Nội",
    "expiry": "01/01/2039",
}
BACK = {
    "personal_identification": "Nốt ruồi c: 1cm dưới mép trái",
    "issue_date": "04/03/2022",
    "mrz": mrz.build("079199000007", BORN, "Nữ", date(2039, 1, 1), "NGUYỄN THỊ MẪU"),
}
CODE = qr.build("079199000007", "NGUYỄN THỊ MẪU", BORN, "Nữ", "Số 1, Hà Nội", date(2022, 3, 4))


def read(values: dict[str, Any], spec: SchemaSpec = CARD, number: int = 1, *codes: str) -> PageRecord:
    page = parse.page_record(recite(grammar.answer(spec.shape, values)), spec, number)
    return replace(page, codes=tuple(parse.Code("qr", text) for text in codes))


def failed(made: Extraction) -> dict[str, tuple[str, ...]]:
    return {
        check.code: check.fields for check in made.checks if not check.passed and check.severity != "info"
    }


def reasons(made: Extraction) -> dict[str, str | None]:
    return {field.path: field.absence for field in made.fields if field.value is None}


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def test_each_side_of_a_card_alone_is_whole_and_lacks_what_the_other_has() -> None:
    front = merge.document([read(FRONT, CARD, 1, CODE)], CARD)
    assert failed(front) == {} and front.state == "done"
    assert reasons(front) == dict.fromkeys(BACK, "not_on_page"), "though the code has the day of issue"
    back = merge.document([read(BACK)], CARD)
    assert failed(back) == {} and back.state == "done"
    assert reasons(back) == dict.fromkeys(FRONT, "not_on_page"), "though the zone has number and name"


def test_what_a_side_bears_and_was_not_read_is_named() -> None:
    for sides, side in ((FRONT, (FRONT,)), (BACK, (BACK,)), (FRONT | BACK, (FRONT, BACK))):
        for name in sides:
            pages = [read(without(values, name), CARD, n) for n, values in enumerate(side, 1)]
            made = merge.document(pages, CARD)
            assert name in failed(made)["required"], name
            assert reasons(made)[name] == "not_read" and made.state == "review"


def test_a_value_that_a_code_has_was_not_read() -> None:
    bill = {"series": "1C26TAA", "number": None, "seller_tax_code": "9900000016"}
    made = merge.document([read(without(FRONT, "full_name"), CARD, 1, CODE)], CARD)
    assert failed(made) == {"required": ("full_name",), "not_read": ("full_name",)}
    assert reasons(merge.document([read(bill, INVOICE)], INVOICE))["number"] == "not_read"


def test_on_a_bad_picture_it_is_illegible_and_so_is_a_zone_that_nobody_can_read() -> None:
    blurred = Quality("photo", 9.0, 0.9, 0.1, 0.0, 0.0, ("blurred",))
    page = replace(read(without(FRONT, "sex")), quality=blurred)
    assert reasons(merge.document([page], CARD))["sex"] == "illegible"
    assert reasons(merge.document([read(BACK | {"mrz": "<"})], CARD))["mrz"] == "illegible"


def test_a_paper_of_which_half_is_null_has_an_unknown_layout() -> None:
    some = {name: FRONT[name] for name in ("number", "full_name", "place_of_origin")}
    assert "layout_unknown" in failed(merge.document([read(some)], CARD))
    assert "layout_unknown" not in failed(merge.document([read(without(FRONT, "sex", "expiry"))], CARD))
    assert "layout_unknown" in failed(merge.document([read({"store": "A", "number": "1"}, RECEIPT)], RECEIPT))


def test_what_nothing_bears_out_is_a_remark() -> None:
    line = {"name": "Sữa", "quantity": "2", "unit_price": "15.000", "amount": "30.000"}
    slip = {"store": "A", "number": "HD1", "date": "05/11/2026", "lines": [line], "total": "30.000"}
    made = merge.document([read(slip, RECEIPT)], RECEIPT)
    remarks = {check.code: check.fields for check in made.checks if not check.passed}
    assert made.state == "done"
    assert remarks == {"unsupported": ("number", "date"), "day_or_month": ("date",)}
    later = merge.document([read(slip | {"date": "25/11/2026"}, RECEIPT)], RECEIPT)
    assert "day_or_month" not in {check.code for check in later.checks}
    both = merge.document([read(FRONT, CARD, 1, CODE), read(BACK, CARD, 2)], CARD)
    assert [check for check in both.checks if not check.passed] == [], "code and zone bear all of it out"


def test_dates_are_held_against_the_day_that_the_page_was_read() -> None:
    slip = {"store": "A", "date": "05/11/2026", "lines": [], "total": "0"}
    page = read(slip, RECEIPT)
    for day, stopped in ((date(2026, 11, 4), True), (date(2026, 11, 5), False)):
        made = merge.document([replace(page, read_on=day)], RECEIPT)
        assert ("future_date" in failed(made)) is stopped
