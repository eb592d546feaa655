"""XML beside print, and other sources of authority: whose value is chosen, and what the others say of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline import grammar, merge, parse
from pipeline.records import Code, Extraction, Field, PageRecord
from schemas import invoice_qr, qr
from schemas.registry import resolve
from schemas.same import same
from tests.pipeline.test_witnesses import BORN, FRONT, ISSUED, SAID
from tests.pipeline.walker import recite

CARD, INVOICE = resolve("id_card@1"), resolve("invoice@1")
LINES = [
    {
        "no": "1",
        "name": "Bút bi",
        "unit": "Cái",
        "quantity": "100",
        "unit_price": "5.000",
        "amount": "500.000",
    },
    {
        "no": "2",
        "name": "Vở kẻ",
        "unit": "Quyển",
        "quantity": "20",
        "unit_price": "15.000",
        "amount": "300.000",
    },
    {"no": "3", "name": "Thước", "unit": "Cái", "quantity": "40", "unit_price": "5.000", "amount": "200.000"},
]
PRINT: dict[str, Any] = {
    "form_no": "1",
    "series": "1C26TAA",
    "number": "00000123",
    "issue_date": "Ngày 05 tháng 11 năm 2026",
    "seller_name": "CÔNG TY MẪU",
    "seller_tax_code": "9900000016",
    "lines": LINES,
    "net": "1.000.000",
    "vat_rate": "10%",
    "vat": "100.000",
    "total": "1.100.000",
    "total_in_words": "Một triệu một trăm nghìn đồng chẵn./.",
}
XML = PRINT | {
    "series": "C26TAA",
    "number": "123",
    "issue_date": "2026-11-05",
    "seller_name": "Công ty Mẫu",
    "currency": "VND",
    "net": "1000000",
    "vat": "100000",
    "total": "1100000",
    "total_in_words": "Một triệu một trăm nghìn đồng",
    "lines": [
        line | {name: line[name].replace(".", "") for name in ("unit_price", "amount")} for line in LINES
    ],
}


def printed(values: dict[str, Any], page: int = 2, sure: float = 1.0, **doubts: float) -> PageRecord:
    said = recite(grammar.answer(INVOICE.shape, values), sure=sure, doubts=doubts)
    return parse.page_record(said, INVOICE, page)


def in_xml(values: dict[str, Any], page: int = 1) -> PageRecord:
    """A page whose values come from XML."""
    said = parse.page_record(recite(grammar.answer(INVOICE.shape, values)), INVOICE, page)
    return replace(said, fields=tuple(f._replace(source="xml", confidence=1.0) for f in said.fields))


def told(made: Extraction, *verdicts: str) -> dict[str, tuple[str, Any]]:
    return {t.field: (t.source, t.raw) for t in made.testimony if t.verdict in verdicts}


def failed(made: Extraction) -> set[str]:
    return {check.code for check in made.checks if not check.passed and check.severity != "info"}


def test_xml_is_chosen_and_print_bears_it_out() -> None:
    made = merge.document([printed(PRINT), in_xml(XML)], INVOICE)
    assert failed(made) == set() and made.state == "done" and made.pages == 2
    assert {field.source for field in made.fields if field.value is not None} == {"xml"}
    assert [line["name"] for line in made.record["lines"]] == ["Bút bi", "Vở kẻ", "Thước"], "no line twice"
    assert made.record["number"] == "123" and made.record["seller_name"] == "Công ty Mẫu"
    agreed = told(made, "agrees")
    assert {source for source, _ in agreed.values()} == {"read"}
    assert agreed["number"] == ("read", "00000123") and agreed["series"] == ("read", "1C26TAA")
    assert agreed["lines[1].amount"] == ("read", "300.000") and len(agreed) == 12 + 18
    assert not told(made, "differs", "offers", "silent")


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"total": "1.100.001"}, "total"),
        ({"seller_tax_code": "9900000023"}, "seller_tax_code"),
        ({"number": "00000132"}, "number"),
        ({"seller_name": "CÔNG TY MẬU"}, "seller_name"),
        ({"issue_date": "06/11/2026"}, "issue_date"),
        ({"series": "2C26TAB"}, "series"),
        ({"total_in_words": "Một triệu hai trăm nghìn đồng"}, "total_in_words"),
        ({"lines": [LINES[0], LINES[1] | {"amount": "300.100"}, LINES[2]]}, "lines[1].amount"),
    ],
)
def test_print_that_differs_from_xml_changes_nothing_and_is_told(changed: dict[str, Any], path: str) -> None:
    made = merge.document([in_xml(XML), printed(PRINT | changed)], INVOICE)
    whole = merge.document([in_xml(XML)], INVOICE)
    assert (made.record, made.state) == (whole.record, "review")
    assert told(made, "differs").keys() == {path}
    name = path.rpartition(".")[2]
    assert failed(made) == {f"read_{name}"}
    (check,) = [check for check in made.checks if check.code == f"read_{name}"]
    assert check.fields == (path,) and check.message.startswith(f"{path}: the print says ")


@pytest.mark.parametrize("dropped", [0, 1, 2])
def test_a_line_that_print_lacks_is_found_and_the_others_still_match(dropped: int) -> None:
    fewer = [line for at, line in enumerate(LINES) if at != dropped]
    made = merge.document([in_xml(XML), printed(PRINT | {"lines": fewer})], INVOICE)
    assert failed(made) == {"read_lines"} and told(made, "differs") == {"lines": ("read", "2")}
    agreed = {path for path in told(made, "agrees") if path.startswith("lines[")}
    assert {path[:8] for path in agreed} == {f"lines[{at}]" for at in range(3) if at != dropped}
    assert len(agreed) == 12
    back = merge.document(
        [in_xml(XML | {"lines": [XML["lines"][at] for at in range(3) if at != dropped]}), printed(PRINT)],
        INVOICE,
    )
    assert failed(back) >= {"read_lines"} and set(told(back, "differs")) == {"lines"}


def test_a_doubtful_reading_accuses_nobody() -> None:
    page = printed(PRINT | {"total": "1.100.001"}, **{"1.100.001": 0.5})
    made = merge.document([in_xml(XML), page], INVOICE)
    assert failed(made) == set() and told(made, "silent") == {"total": ("read", "1.100.001")}
    assert failed(merge.document([in_xml(XML), page], INVOICE, review_below=0.4)) == {"read_total"}


def test_without_authority_print_is_chosen_and_xml_testifies() -> None:
    pages = [in_xml(XML), printed(PRINT | {"total": "1.100.001", "currency": None})]
    made = merge.document(pages, INVOICE, authority=())
    assert made.record["total"] == "1100001" and made.record["currency"] is None
    assert told(made, "differs") == {"total": ("xml", "1100000")}
    assert told(made, "offers") == {"currency": ("xml", "VND")}
    assert {"xml_total"} <= failed(made)


def test_what_the_authority_lacks_is_offered_by_print() -> None:
    made = merge.document([in_xml(XML), printed(PRINT | {"payment_method": "TM/CK"})], INVOICE)
    assert made.record["payment_method"] is None
    assert told(made, "offers") == {"payment_method": ("read", "TM/CK")}


def test_codes_on_the_print_are_held_against_the_xml() -> None:
    code = invoice_qr.build(SAID | {"total": "1100001"}, "B")
    page = replace(printed(PRINT), codes=(Code("qr", code),))
    made = merge.document([in_xml(XML), page], INVOICE)
    assert failed(made) == {"qr_total"} and told(made, "differs") == {"total": ("qr", "1100001")}


def test_a_code_may_be_made_an_authority() -> None:
    text = qr.build("079199000007", "Nguyễn Thị Hoà", BORN, "Nữ", "Số 1, đường Hoà Bình, Hà Nội", ISSUED)
    values = FRONT | {"full_name": "Nguyên Thị Hoà", "number": None}
    said = parse.page_record(recite(grammar.answer(CARD.shape, values)), CARD, 1)
    page = replace(said, codes=(Code("qr", text, (0.8, 0.0, 1.0, 0.2)),))
    plain = merge.document([page], CARD)
    assert (plain.record["number"], plain.record["full_name"]) == (None, "Nguyên Thị Hoà")
    made = merge.document([page], CARD, authority=("qr",))
    assert (made.record["number"], made.record["full_name"]) == ("079199000007", "Nguyễn Thị Hoà")
    assert made.record["issue_date"] == "2021-03-04"
    of = {field.path: field for field in made.fields}
    assert of["full_name"] == Field(
        "full_name", "Nguyễn Thị Hoà", "Nguyễn Thị Hoà", 1.0, "qr", 1, (0.8, 0.0, 1.0, 0.2)
    )
    assert of["sex"].source == "read", "what is borne out stays as it was read"
    assert told(made, "differs") == {"full_name": ("read", "Nguyên Thị Hoà")}
    assert "read_full_name" in failed(made)
    lacking = {
        path for check in made.checks if check.code in ("required", "not_read") for path in check.fields
    }
    assert "number" not in lacking and "number" in {
        path for check in plain.checks if check.code == "not_read" for path in check.fields
    }, "the number is no longer missing"


@pytest.mark.parametrize(
    ("path", "one", "other", "equal"),
    [
        ("number", "0000123", "123", True),
        ("number", "1230", "123", False),
        ("form_no", "01", "1", True),
        ("series", "1C26TAA", "C26TAA", True),
        ("series", "C26TAA", "K26TAA", False),
        ("total", "1100000", "1100000.00", True),
        ("total", "1100000", "1100000.4", True),
        ("total", "1100000", "1100001", False),
        ("lines[].unit_price", "1234.57", "1234.5678", True),
        ("lines[].unit_price", "1234.58", "1234.5678", False),
        ("lines[].quantity", "1", "1.4", False),
        ("lines[].quantity", "-1", "1", False),
        ("lines[].no", 1, 2, False),
        ("issue_date", "2026-11-05", "2026-11-06", False),
        ("seller_name", "Công ty TNHH Hoà Bình", "CÔNG TY TNHH HÒA BÌNH", True),
        ("seller_name", "Công ty Hoa", "Công ty Hoà", False),
        ("total_in_words", "Một trăm đồng", "một trăm đồng chẵn", True),
        ("total_in_words", "Một trăm đồng", "Hai trăm đồng", False),
        ("total_in_words", "Một trăm ???", "một trăm ???", True),
    ],
)
def test_what_is_the_same_though_it_is_written_otherwise(
    path: str, one: Any, other: Any, equal: bool
) -> None:
    printed = dict(INVOICE.shape.leaves())[path].printed
    assert same(printed, one, other) is equal and same(printed, other, one) is equal


def written(page: PageRecord) -> PageRecord:
    from tests.pipeline.test_text_witness import SHEET, sheet

    return replace(page, text=sheet(*SHEET))


@pytest.mark.parametrize(
    ("path", "misread", "printed_text", "value"),
    [
        ("total", "1.100.001", "1.100.000", "1100000"),
        ("issue_date", "06/11/2026", "Ngày 05 tháng 11 năm 2026", "2026-11-05"),
        ("seller_name", "CÔNG TY MẬU", "CÔNG TY MẪU", "CÔNG TY MẪU"),
    ],
)
def test_what_a_doubtful_reader_misread_is_taken_from_the_pages_own_text(
    path: str, misread: str, printed_text: str, value: str
) -> None:
    """A PDF's text is its print, letter for letter; its value is the one that is stored, with its place."""
    whole = merge.document([written(printed(PRINT))], INVOICE)
    made = merge.document([written(printed(PRINT | {path: misread}, **{misread: 0.5}))], INVOICE)
    assert made.record == whole.record and made.record[path] == value
    [field] = [field for field in made.fields if field.path == path]
    assert (field.raw, field.source, field.confidence) == (printed_text, "text", 1.0)
    assert field.box is not None and failed(made) == failed(whole)
    [read] = [said for said in made.testimony if said.field == path]
    assert (read.source, read.verdict, read.raw) == ("read", "silent", misread), (
        "what was read stays beside it"
    )


@pytest.mark.parametrize(
    ("gone", "there", "path"),
    [
        ("Ngày 05 tháng 11 năm 2026|", "Ngày ký: 06/11/2026", "issue_date"),
        ("Số: 00000123", "Số đơn hàng: 00000124", "number"),
        ("Đơn vị bán hàng: CÔNG TY MẪU", "Phát hành: CÔNG TY MÂY", "seller_name"),
        ("1.100.000", "Nợ kỳ trước: 1.100.008", "total"),
        ("Một triệu một trăm", "Nợ: Một triệu hai trăm nghìn đồng chẵn./.", "total_in_words"),
    ],
)
@pytest.mark.parametrize("sure", [1.0, 0.5])
def test_what_is_like_a_value_and_is_another_thing_does_not_take_its_place(
    gone: str, there: str, path: str, sure: float
) -> None:
    """What was read stands in a picture, as letterheads do, and something like it in the text."""
    from tests.pipeline.test_text_witness import SHEET, sheet

    said = {"seller_name": "CÔNG TY CỔ PHẦN MẪU"} if path == "seller_name" else {}
    there = there.replace("CÔNG TY", "CÔNG TY CỔ PHẦN")
    read = printed(PRINT | said, **{str((PRINT | said)[path]): sure})
    layer = sheet(*(line.replace(gone, "") for line in SHEET), there)
    made = merge.document([replace(read, text=layer)], INVOICE)
    assert made.record[path] == merge.document([read], INVOICE).record[path]
    assert made.state == "review" and f"text_{path}" in failed(made)


def test_a_firm_s_name_is_not_another_that_has_most_of_its_words() -> None:
    from pipeline.witnesses.slips import are_spelt_alike

    name = "cong ty tnhh thuong mai an phat"
    for other, alike in (
        ("cong ty tnhh thuong mai misa", False),
        ("cong ty tnhh thuong mai an phu", False),
        ("cong ty tnhh thuong mại an phát", True),
        ("cong ty tnhh thương ma1 an phat", True),
    ):
        assert are_spelt_alike(name.split(), other.split()) is alike


def test_a_reader_that_was_sure_of_what_it_saw_contradicts_the_text() -> None:
    """The letters that a PDF's text names may be drawn as others: then a person looks."""
    made = merge.document([written(printed(PRINT | {"total": "1.100.001"}))], INVOICE)
    assert made.record["total"] == "1100000" and made.state == "review"
    assert "read_total" in failed(made) and told(made, "differs")["total"] == ("read", "1.100.001")


def test_what_follows_a_label_in_the_text_is_offered_and_not_taken() -> None:
    made = merge.document([written(printed(PRINT | {"total": None}))], INVOICE)
    assert made.record["total"] is None and made.state == "review" and "not_read" in failed(made)


def test_a_text_that_is_not_trusted_chooses_nothing() -> None:
    page = written(printed(PRINT | {"total": "1.100.001"}, **{"1.100.001": 0.5}))
    assert page.text is not None
    page = replace(page, text=replace(page.text, trusted=False, why="invisible text"))
    assert merge.document([page], INVOICE).record["total"] == "1100001"


@pytest.mark.parametrize(("left", "taken"), [(0.05, True), (0.6, False)])
def test_a_text_without_a_label_is_the_fields_where_the_model_looked(left: float, taken: bool) -> None:
    """A firm's name stands alone; nothing but the place where it was read says whose it is."""
    from tests.pipeline.test_text_witness import SHEET, sheet

    page = printed(PRINT | {"seller_name": "CÔNG TY MƯU"}, **{"CÔNG TY MƯU": 0.5})
    layer = sheet(*(line for line in SHEET if "CÔNG TY" not in line), "CÔNG TY MẪU")
    first, *_, last = layer.words[-3:]
    box = (left, first.box[1] - 0.005, left + last.box[2] - first.box[0], first.box[3] + 0.005)
    fields = tuple(f._replace(box=box) if f.path == "seller_name" else f for f in page.fields)
    made = merge.document([replace(page, text=layer, fields=fields)], INVOICE)
    assert made.record["seller_name"] == ("CÔNG TY MẪU" if taken else "CÔNG TY MƯU")
    assert ("text_seller_name" in failed(made)) is not taken


def test_a_number_of_two_meanings_that_the_text_corrects_is_told_as_it_is_stored() -> None:
    from tests.pipeline.test_text_witness import SHEET, sheet

    weighed = {"quantity": "1.285", "unit_price": None, "amount": None}
    read = {"lines": [LINES[0] | weighed], "net": None, "vat": None, "total": None}
    page = printed(PRINT | read, **{"1.285": 0.5})
    rows = (line.replace("|100|5.000|500.000", "|1.265") for line in SHEET)
    made = merge.document([replace(page, text=sheet(*rows))], INVOICE)
    [quantity] = [field for field in made.fields if field.path == "lines[0].quantity"]
    [check] = [check for check in made.checks if check.code == "number_ambiguous"]
    assert (quantity.source, quantity.raw, check.found) == ("text", "1.265", "1.265")
    assert check.expected == quantity.value
