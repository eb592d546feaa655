"""What issuers write that the tax authority's layout does not name, or names and most leave out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.render import Renderer
from pipeline.settings import RenderSettings
from schemas.related import related
from tests.einvoice.invoices import LINE, SECOND, einvoice
from tests.einvoice.test_reading import extraction, failed, values

WORDS = "Ba mươi ba nghìn không trăm linh một đồng"
OWN = "<TTKhac>{}</TTKhac>"
VALUE_FIRST = "<TTin><DLieu>{}</DLieu><KDLieu>string</KDLieu><TTruong>{}</TTruong></TTin>"


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with Renderer(RenderSettings()) as one:
        yield one


def line_with(after_rate: str) -> str:
    """The first line, with this in the place of its issuer's own fields."""
    head, _, _ = LINE.partition("<TTKhac>")
    return f"{head}{after_rate}</HHDVu>"


@pytest.mark.parametrize(
    "own",
    [
        "<TThue>2500</TThue>",
        "<TThue>2500</TThue><TSThue>27500.625</TSThue>",
        "<TThue/>" + OWN.format(VALUE_FIRST.format("2500", "Tiền thuế dòng (Tiền thuế GTGT)")),
        OWN.format(VALUE_FIRST.format("2500.00000", "TongTien_Thue")),
        OWN.format(VALUE_FIRST.format("64000000", "VATAmount") + VALUE_FIRST.format("2500", "VATAmountOC")),
    ],
    ids=["Viettel", "VNPT's cash register", "Viettel's own field", "Visnam", "MISA in a foreign currency"],
)
def test_a_line_s_tax_is_found_where_its_issuer_has_it(renderer: Renderer, own: str) -> None:
    found = extraction(renderer, einvoice(lines=(line_with(own), SECOND)))
    assert values(found)["lines[0].vat"] == "2500"


def test_a_list_whose_elements_are_all_empty_has_no_item(renderer: Renderer) -> None:
    empty = einvoice(total="33001").replace("<TLPhi>Phí</TLPhi><TPhi>12.5</TPhi>", "<TLPhi /><TPhi />")
    found = extraction(renderer, empty)
    assert (values(found)["each_fee"], values(found)["fees"]) == (0, None)
    assert "line_empty" not in failed(found)


@pytest.mark.parametrize(("total", "stopped"), [("32989", False), ("33001", False), ("32990", True)])
def test_what_is_taken_off_behind_the_tax_is_read_and_summed(
    renderer: Renderer, total: str, stopped: bool
) -> None:
    """12 are taken off 33,001; some take them off the net already."""
    off = "<TGTKCThue>5</TGTKCThue><TGTKhac>7.0</TGTKhac>"
    xml = einvoice(total=total).replace("<TTCKTMai>0</TTCKTMai>", off).replace(WORDS, "")
    found = extraction(renderer, xml.replace("<TPhi>12.5<", "<TPhi>0<"))
    assert (values(found)["untaxed_reduction"], values(found)["other_reduction"]) == ("5", "7")
    assert ("total" in failed(found)) is stopped


@pytest.mark.parametrize(("of_rate", "stopped"), [("2999.6", False), ("3000.4", False), ("2998.9", True)])
def test_the_sum_of_the_rates_own_tax_may_be_rounded_alone(
    renderer: Renderer, of_rate: str, stopped: bool
) -> None:
    rates = f"<LTSuat><TSuat>10%</TSuat><ThTien>29996</ThTien><TThue>{of_rate}</TThue></LTSuat>"
    rates = rates if stopped else rates.replace("29996", f"{float(of_rate) * 10:.0f}")
    assert ("vat" in failed(extraction(renderer, einvoice(rates=rates)))) is stopped


def test_one_invoice_may_correct_many_that_a_list_names(renderer: Renderer) -> None:
    general = (
        "<TTHDLQuan><TCHDon>2</TCHDon><SBKCLQuan>07</SBKCLQuan><NBKCLQuan>2026-10-18</NBKCLQuan></TTHDLQuan>"
    )
    said = values(extraction(renderer, einvoice(general=general)))["related_invoice"]
    assert said == "Điều chỉnh cho hóa đơn theo bảng kê 07 ngày 2026-10-18"
    relation = related(said, "0100000008")
    assert relation is not None and (relation.relation, relation.other) == ("adjusts", None)


def test_an_invoice_of_the_pilot_is_read_and_its_version_told(renderer: Renderer) -> None:
    xml = einvoice(version="1.0.0", day="2021-05-28T15:05:22")
    xml = xml.replace("<NLap>", "<TDLap>").replace("</NLap>", "</TDLap>")
    xml = xml.replace("<THHDVu>", "<Ten>").replace("</THHDVu>", "</Ten>")
    found = extraction(renderer, xml)
    assert values(found)["issue_date"] == "2021-05-28"
    assert values(found)["lines[1].name"] == "Vận chuyển"
    assert "version_unknown" in failed(found) and "required" not in failed(found)


def test_how_it_is_paid_may_stand_among_the_buyer_s_own_fields(renderer: Renderer) -> None:
    own = OWN.format(VALUE_FIRST.format("Chuyển khoản", "PaymentMethod"))
    buyer = f"<Ten>Công ty TNHH Mẫu</Ten><MST>0200000003-001</MST><DChi>Hải Phòng</DChi>{own}"
    assert values(extraction(renderer, einvoice(buyer=buyer)))["payment_method"] == "TM/CK"
    found = extraction(renderer, einvoice(buyer=buyer).replace("<HTTToan>TM/CK</HTTToan>", ""))
    assert values(found)["payment_method"] == "Chuyển khoản"


def test_words_in_a_line_of_their_own_need_no_price(renderer: Renderer) -> None:
    words = "<HHDVu><TChat>1</TChat><STT>3</STT><THHDVu>Tờ khai 01</THHDVu><DVTinh>0</DVTinh>"
    words += "<SLuong>1</SLuong><ThTien>{}</ThTien><TSuat>10%</TSuat></HHDVu>"
    for amount, told in (("0", False), ("5", True)):
        found = extraction(renderer, einvoice(lines=(LINE, SECOND, words.format(amount))))
        assert ("line_gap" in failed(found)) is told
