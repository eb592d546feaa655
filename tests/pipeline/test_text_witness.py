"""A PDF's own text as a witness: it bears values out at their place, and contradicts what was misread."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline import merge
from pipeline.records import Extraction, Field, PageRecord, TextLayer, Word
from pipeline.witnesses import text as witness
from pipeline.witnesses.slips import one_edit
from tests.pipeline.test_authority import INVOICE, PRINT, XML, failed, in_xml, printed, told

SHEET = (
    "HÓA ĐƠN GIÁ TRỊ GIA TĂNG|Ký hiệu: 1C26TAA",
    "Ngày 05 tháng 11 năm 2026|Số: 00000123",
    "Đơn vị bán hàng: CÔNG TY MẪU",
    "Mã số thuế: 9900000016|Điện thoại: 02412345678",
    "Địa chỉ: – Số 5 phố Hoà Bình, phường Mẫu, Hà Nội|Hotline 1900",
    "STT|Tên hàng|ĐVT|Số lượng|Đơn giá|Thành tiền",
    "1|Bút bi|Cái|100|5.000|500.000",
    "2|Vở kẻ|Quyển|20|15.000|300.000",
    "3|Thước|Cái|40|5.000|200.000",
    "Cộng tiền hàng:|1.000.000",
    "Thuế suất GTGT:|10%|Tiền thuế GTGT:|100.000",
    "Tổng cộng tiền thanh toán:|1.100.000",
    "Số tiền viết bằng chữ: Một triệu một trăm nghìn đồng chẵn./.",
)
COLUMNS = (0.05, 0.4, 0.55, 0.65, 0.75, 0.87)
READ = PRINT | {"seller_address": "Số 5 phố Hoà Bình, phường Mẫu, Hà Nội"}


def sheet(*lines: str, trusted: bool = True) -> TextLayer:
    """Text at its place: "|" goes on in the next column."""
    words = []
    for row, line in enumerate(lines):
        for start, cell in zip(COLUMNS, line.split("|"), strict=False):
            at = start
            for text in cell.split():
                width = 0.006 * len(text)
                words.append(Word(text, (at, 0.05 + 0.03 * row, at + width, 0.065 + 0.03 * row)))
                at += width + 0.006
    return TextLayer(tuple(words), trusted)


def read(paper: tuple[str, ...] = SHEET, trusted: bool = True, **changed: Any) -> Extraction:
    """Where the text is a witness and nothing more."""
    page = replace(printed(READ | changed), text=sheet(*paper, trusted=trusted))
    return merge.document([page], INVOICE, authority=("xml",))


def text(made: Extraction, verdict: str) -> dict[str, str | None]:
    return {t.field: t.raw for t in made.testimony if t.source == "text" and t.verdict == verdict}


def test_what_stands_at_its_place_is_borne_out_with_its_box() -> None:
    made = read()
    assert failed(made) == {"expected"}, "this paper names no buyer"
    agreed = text(made, "agrees")
    assert agreed.keys() >= {
        "series", "number", "issue_date", "seller_name", "seller_tax_code", "seller_address", "net", "vat",
        "vat_rate", "total", "total_in_words",
        *(f"lines[{n}].{name}" for n in range(3) for name in PRINT["lines"][n]),
    }  # fmt: skip
    [total] = [t for t in made.testimony if t.field == "total"]
    assert total.raw == "1.100.000" and total.page == 2 and total.box is not None
    assert total.box[:2] == pytest.approx((0.4, 0.05 + 0.03 * 11))
    [second] = [t for t in made.testimony if t.field == "lines[2].unit_price"]
    assert second.box is not None and second.box[1] == pytest.approx(0.05 + 0.03 * 8), "not that of line 1"
    assert not text(made, "differs") and not text(made, "silent")


@pytest.mark.parametrize(
    ("changed", "path", "stands"),
    [
        ({"total": "1.100.001"}, "total", "1.100.000"),
        ({"total": "1.010.000"}, "total", "1.100.000"),
        ({"seller_tax_code": "9900000023"}, "seller_tax_code", None),  # two digits: not sure enough
        ({"seller_tax_code": "9900000017"}, "seller_tax_code", "9900000016"),
        ({"issue_date": "06/11/2026"}, "issue_date", "Ngày 05 tháng 11 năm 2026"),
        ({"seller_name": "CÔNG TY MẬU"}, "seller_name", "CÔNG TY MẪU"),
        ({"seller_address": "Số 5 phố Hoà Bình, phường Mẩu, Hà Nội"}, "seller_address", "Mẫu"),
        ({"number": "00000132"}, "number", "00000123"),
        ({"net": "7.654.321"}, "net", "1.000.000"),  # nothing alike, and its label stands once
    ],
)
def test_a_misread_value_is_contradicted_and_kept(
    changed: dict[str, str], path: str, stands: str | None
) -> None:
    made = read(**changed)
    differs = text(made, "differs")
    assert differs.keys() == ({path} if stands else set())
    assert stands is None or stands in (differs[path] or "")
    assert made.record == read(trusted=False, **changed).record
    if stands:
        assert made.state == "review" and f"text_{path}" in failed(made)


@pytest.mark.parametrize(
    ("changed", "path", "stands"),
    [
        ({"seller_address": "Số 5 phố Hoà Bình, phường Mẫu, Hà Đông"}, "seller_address", "Hà Nội"),
        ({"seller_address": "Số 5 phố Bình, phường Mẫu, Hà Nội"}, "seller_address", "Hoà Bình"),
        (
            {"seller_address": "Số 5 phố Hoa Bình Yên, phường Mẫu, Hà Nội"},
            "seller_address",
            "Hoà Bình, phường",
        ),
        ({"seller_address": "Số 15 đường Láng, phường Mẫu, Huế"}, "seller_address", None),  # half of it
        ({"total_in_words": "Một triệu trăm nghìn đồng chẵn"}, "total_in_words", "Một triệu một trăm"),
    ],
)
def test_a_long_text_is_told_by_most_of_its_words(
    changed: dict[str, str], path: str, stands: str | None
) -> None:
    differs = text(read(**changed), "differs")
    assert differs.keys() == ({path} if stands else set())
    assert stands is None or stands in (differs[path] or "")


def test_a_long_code_is_told_by_most_of_its_letters() -> None:
    code = "592B13383BB55772FAFD5439AF193E4614"
    paper = (*SHEET, f"Mã CQT: {code}")
    for misread in ("592B13383B55772FAFD5439AF193E46144", "592B13383BB55772FAFD5439AF193E4641"):
        assert text(read(paper, tax_authority_code=misread), "differs") == {"tax_authority_code": code}
    twice = (*paper, "Mã khác: 592B13383BB55772FAFD5439AF193E4610")
    assert not text(read(twice, tax_authority_code="592B13383B55772FAFD5439AF193E46140"), "differs")


def test_two_places_that_are_as_much_like_it_contradict_nothing() -> None:
    paper = (*SHEET, "Kho: Số 6 phố Hoà Bình, phường Mẫu, Hà Nội")
    assert not text(read(paper, seller_address="Số 8 phố Hoà Bình, phường Mẫu, Hà Nội"), "differs")


@pytest.mark.parametrize(
    ("name", "misread", "stands"), [("amount", "300.100", "300.000"), ("unit_price", "51.000", "15.000")]
)
def test_a_misread_value_of_a_line_is_held_against_that_line(name: str, misread: str, stands: str) -> None:
    lines = [dict(line) for line in PRINT["lines"]]
    lines[1][name] = misread
    assert text(read(lines=lines), "differs") == {f"lines[1].{name}": stands}


def test_a_figure_that_the_paper_does_not_show_is_no_misreading_of_one_beside_it() -> None:
    """XML knows each line's tax: 1,500 is off by one digit from the price 15,000, and not printed at all."""
    page = replace(printed({}), text=sheet(*SHEET))
    assert not text(merge.document([taxed("50000", "1500", "20000"), page], INVOICE), "differs")
    lines = [dict(line) for line in XML["lines"]]
    quantity = tuple(line.replace("|20|", "|20,000|") for line in SHEET)
    lines[1] |= {"vat": None, "amount": "21000"}  # as if it were a slip of the quantity's 20,000
    made = merge.document([in_xml(XML | {"lines": lines}), replace(page, text=sheet(*quantity))], INVOICE)
    assert not text(made, "differs") and "lines[1].quantity" in text(made, "agrees")


def taxed(*taxes: str) -> PageRecord:
    """XML that knows the tax of each line, which no model is asked for."""
    page = in_xml(XML)
    more = [Field(f"lines[{n}].vat", tax, tax, 1.0, "xml", 1) for n, tax in enumerate(taxes)]
    return replace(page, fields=(*page.fields, *more))


def test_a_column_of_which_one_figure_is_found_by_chance_is_none() -> None:
    """The first line's tax is what a price is, too; still the paper has no column of taxes."""
    paper = tuple(line.replace("15.000|300.000", "15.000|300.000 1.600") for line in SHEET)
    page = replace(printed({}), text=sheet(*paper))
    assert not text(merge.document([taxed("5000", "1500", "777"), page], INVOICE), "differs")
    # With a column of them the same figure is the second line's, misread.
    column = tuple(
        line.replace("500.000", "500.000 50.000").replace("200.000", "200.000 20.000") for line in paper
    )
    page = replace(printed({}), text=sheet(*column))
    made = merge.document([taxed("50000", "1500", "20000"), page], INVOICE)
    assert text(made, "differs") == {"lines[1].vat": "1.600"}


def test_a_value_of_another_line_is_no_witness() -> None:
    lines = [dict(line) for line in PRINT["lines"]]
    lines[1]["amount"] = "200.000"  # it stands in line 3
    made = read(lines=lines)
    assert "lines[1].amount" not in text(made, "agrees") and "lines[1].amount" not in text(made, "differs")


def test_a_value_that_was_read_into_two_fields_is_borne_out_where_its_label_is() -> None:
    made = read(total="1.000.000")
    assert "net" in text(made, "agrees") and "total" not in text(made, "agrees")


def test_a_figure_within_another_is_none_and_one_before_a_sign_is() -> None:
    lines = tuple(line.replace("|1.100.000", "|21.100.000đ") for line in SHEET)
    assert "total" not in text(read(lines), "agrees")
    assert "total" in text(read(lines, total="21.100.000"), "agrees")


@pytest.mark.parametrize("why", ["untrusted", "empty"])
def test_a_layer_that_is_not_trusted_or_says_nothing_is_silent(why: str) -> None:
    made = read(() if why == "empty" else SHEET, trusted=why == "empty", total="1.100.001")
    assert [t for t in made.testimony if t.source == "text"] == []


def test_a_value_that_stands_nowhere_is_no_contradiction() -> None:
    lines = tuple(line for line in SHEET if "Tổng cộng" not in line and "bán hàng" not in line)
    made = read(lines)
    assert not text(made, "differs") and not {"total", "seller_name"} & text(made, "agrees").keys()


def test_what_was_not_read_is_offered_from_beside_its_label() -> None:
    made = read(total=None, vat=None)
    assert text(made, "offers") == {"total": "1.100.000", "vat": "100.000"}
    assert made.record["total"] is None
    twice = read((*SHEET, "Tổng cộng tiền thanh toán:|9.999"), total=None)
    assert "total" not in text(twice, "offers")


def test_it_is_a_witness_of_xml_beside_it() -> None:
    """A PDF is a picture of its XML: the text layer needs no model to say where they differ."""

    def beside(lines: tuple[str, ...]) -> Extraction:
        empty = printed({})
        page: PageRecord = replace(empty, text=sheet(*lines))
        return merge.document([in_xml(XML), page], INVOICE)

    made = beside(SHEET)
    assert failed(made) == set() and made.record["total"] == "1100000"
    assert text(made, "agrees").keys() >= {"number", "series", "total", "issue_date", "lines[2].amount"}
    other = beside(
        tuple(line.replace("300.000", "300.500").replace("9900000016", "9900000061") for line in SHEET)
    )
    assert text(other, "differs") == {"seller_tax_code": "9900000061", "lines[1].amount": "300.500"}
    assert failed(other) == {"text_seller_tax_code", "text_amount"} and other.record == made.record
    assert not told(other, "offers")
    fewer = beside(tuple(line for line in SHEET if "Vở kẻ" not in line))
    assert text(fewer, "differs") == {"lines": "2 of 3"} and failed(fewer) == {"text_lines"}
    none = beside(tuple(line for line in SHEET if not line[:1].isdigit()))
    assert not text(none, "differs"), "a table that is a picture"


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("1234", "1235", True),
        ("1234", "1243", True),
        ("1234", "12345", True),
        ("1234", "234", True),
        ("1234", "1423", False),
        ("1234", "1256", False),
        ("1234", "123456", False),
        ("1234", "4321", False),
        ("", "1", True),
    ],
)
def test_one_slip(one: str, other: str, equal: bool) -> None:
    assert one_edit(one, other) is equal and one_edit(other, one) is equal


def test_of_many_values_that_stand_nowhere_no_misreading_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such text is another paper's, and a search for each of thousands of values would take minutes."""
    assert "total" in text(read(total="1.100.001"), "differs")
    monkeypatch.setattr(witness, "_NOWHERE", 0)
    assert text(read(total="1.100.001"), "differs") == {}
