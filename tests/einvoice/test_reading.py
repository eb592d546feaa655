"""Every field of an e-invoice comes out of its XML exactly, whatever its issuer does to the file."""

from __future__ import annotations

import functools
import hashlib
import random
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import run
from pipeline.einvoice.lexical import exact
from pipeline.errors import Coded, ModelNeeded, Reason
from pipeline.filetype import sniff
from pipeline.keys import ModelFacts
from pipeline.reading import Commit, Reading, merged
from pipeline.recipe import Recipe
from pipeline.records import Document, Extraction, Failure, Part, PreparedPage
from pipeline.render import Renderer
from pipeline.run import DocumentResult
from pipeline.sandbox import confine
from pipeline.settings import RenderSettings, Settings, SourceSettings
from pipeline.sources import list_documents
from pipeline.specimens import make
from pipeline.specimens.einvoice import Form, truth_of, xml_of
from schemas import registry
from schemas.shape import Group, Leaf, Printed, Repeated
from tests.einvoice.invoices import LINE, NOTE, PRINTED, SECOND, einvoice, envelope, written
from tests.pipeline.test_fuzz import mutant

MODEL = ModelFacts("c" * 64, max_tiles=1, numerics="cpu float32")
INVOICE = registry.resolve("invoice@1")
XML_REASONS = {Reason.xml_damaged, Reason.xml_unsafe, Reason.xml_too_large, Reason.xml_other}
LAUGHS = (
    '<!DOCTYPE HDon [<!ENTITY a "ha"><!ENTITY b "'
    + "&a;" * 50
    + '"><!ENTITY c "'
    + "&b;" * 50
    + '"><!ENTITY d "'
    + "&c;" * 50
    + '">]>'
)


def never(requests: Any) -> Any:
    """No model."""
    for request in requests:
        raise AssertionError(f"the model was asked for {request.id}")
    return iter(())


def read(path: Path | str, schema: str = "invoice@1", model: ModelFacts | None = None) -> DocumentResult:
    """As a whole, with a child process of its own."""
    recipe = Recipe.of(registry.resolve(schema), Settings(), model)
    return run.document(str(path), recipe, never)


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with Renderer(RenderSettings()) as one:
        yield one


@functools.cache
def recipe_of(schema: str) -> Recipe:
    return Recipe.of(registry.resolve(schema), Settings(), None)


def outcome(renderer: Renderer, data: bytes | str, schema: str = "invoice@1") -> Extraction | Failure:
    """What `run.document` comes to, in a child that lives on."""
    data = data if isinstance(data, bytes) else written(data)
    recipe = recipe_of(schema)
    document = Document("one.xml", data, hashlib.sha256(data).hexdigest(), None)
    try:
        part = Part("one.xml", document.sha256, pages=renderer.page_count(document), kind=sniff(data))
        reading = Reading(recipe, [part])
    except Coded as error:
        return Failure.of(error)
    page = run.drawn(renderer, document, 1, recipe)
    assert not isinstance(page, PreparedPage)
    result = reading.failed(1, page) if isinstance(page, Failure) else reading.read(1, page)
    verdict = reading.verdict()
    if isinstance(verdict, Commit) and result.record is not None:
        later = replace(result, record=replace(result.record, normal_by=None))  # as it comes out of the store
        settings = recipe.settings
        again = merged([later], recipe.spec, settings.review_below, settings.sources_of_authority)
        assert again == verdict.extraction
    return verdict.extraction if isinstance(verdict, Commit) else verdict.why


def extraction(renderer: Renderer, data: bytes | str, schema: str = "invoice@1") -> Extraction:
    found = outcome(renderer, data, schema)
    assert isinstance(found, Extraction), found
    return found


def refused(renderer: Renderer, data: bytes, schema: str = "invoice@1") -> Failure:
    why = outcome(renderer, data, schema)
    assert isinstance(why, Failure), why
    assert not why.retryable
    return why


def values(found: Extraction) -> dict[str, Any]:
    return {field.path: field.value for field in found.fields}


def failed(found: Extraction) -> set[str]:
    return {check.code for check in found.checks if not check.passed}


def printed(record: Any, shape: Group) -> Any:
    """Of a record what the print shows, which a specimen's truth is about."""
    return {
        node.name: [printed(item, node.item) for item in record[node.name]]
        if isinstance(node, Repeated) and isinstance(node.item, Group)
        else record[node.name]
        for node in shape.fields
    }


def prefixed(xml: str) -> str:
    """The same in a namespace, with a prefix before every name of the invoice's own."""
    body, _, _ = xml.partition("<DSCKS>")
    named = re.sub(r"<(/?)(\w)", r"<\1hd:\2", body)
    return named.replace("<hd:HDon>", '<hd:HDon xmlns:hd="urn:hoadon">') + "</hd:HDon>"


@pytest.mark.medium
@pytest.mark.parametrize("version", ["2.0.0", "2.0.1", "2.1.0"])
@pytest.mark.parametrize("wrap", [str, envelope], ids=["bare", "envelope"])
def test_every_field_is_exact_and_surely_so(renderer: Renderer, version: str, wrap: Any) -> None:
    found = extraction(renderer, wrap(einvoice(version=version)))
    assert [(field.path, field.value) for field in found.fields] == list(PRINTED)
    assert {field.source for field in found.fields} == {"xml"}
    assert {field.confidence for field in found.fields} == {1.0}
    assert {field.page for field in found.fields} == {1}
    assert next(f.raw for f in found.fields if f.path == "lines[0].quantity") == "1.250"
    assert found.record["lines"][0]["quantity"] == "1.25"
    assert not failed(found) & {"number_ambiguous", "low_confidence", "version_unknown"}


WIDE = written(einvoice(), "utf-16")
FILES = {
    "byte order mark": written(einvoice(), mark=b"\xef\xbb\xbf"),
    "white space first": b"\r\n  " + written(einvoice()),
    "mark and white space": b"\xef\xbb\xbf\r\n" + written(einvoice()),
    "no declaration": einvoice().encode(),
    "UTF-16 with a mark": WIDE,
    "UTF-16 big-endian": written(einvoice(), "utf-16-be", "utf-16", b"").join([b"\xfe\xff", b""]),
    "says UTF-16 and is UTF-8": written(einvoice(), "utf-8", "utf-16"),
    "windows-1258 without its letters": written(
        einvoice().encode("ascii", "xmlcharrefreplace").decode(), "cp1258", "windows-1258"
    ),
    "a style sheet and comments": written(
        '<?xml-stylesheet type="text/xsl" href="einvoice.xsl"?><!-- in ấn -->'
        + einvoice().replace("<SHDon>1234", "<SHDon><!-- số -->1234")
    ),
    "CDATA": written(einvoice().replace("Số 1, Hà Nội", "<![CDATA[Số 1, Hà Nội]]>")),
    "set in lines": written(einvoice().replace("><", ">\n\t<").replace("1234<", "\n 1234\n<")),
    "a default namespace": written(
        einvoice().replace("<HDon>", '<HDon xmlns="http://kekhaithue.gdt.gov.vn/HDon">')
    ),
    "prefixes": written(prefixed(einvoice())),
    "a clock time beside the day": written(einvoice(day="2026-11-05T08:30:00.123+07:00")),
    "a zone beside the day": written(einvoice(day="2026-11-05+07:00")),
    "numbers as .NET writes them": written(
        einvoice(total="3.3001E+04").replace("1.250", "1.2500000").replace("20000.5", "2.00005E+4")
    ),
}


@pytest.mark.medium
@pytest.mark.parametrize("name", FILES)
def test_whatever_an_issuer_does_to_the_file(renderer: Renderer, name: str) -> None:
    found = extraction(renderer, FILES[name])
    assert [(field.path, field.value) for field in found.fields] == list(PRINTED)


@pytest.mark.parametrize("declared", ["windows-1258", "iso-8859-1", "us-ascii", "utf-16"])
def test_a_file_of_utf8_is_read_as_that_whatever_was_declared(renderer: Renderer, declared: str) -> None:
    found = extraction(renderer, written(einvoice(), declared=declared))
    assert [(field.path, field.value) for field in found.fields] == list(PRINTED)


@pytest.mark.parametrize("name", ["VatAmount", "vatamount", "TTienThue", "Tiền  thuế GTGT", "TIỀN THUẾ"])
def test_a_line_s_tax_is_found_under_whatever_name_its_issuer_gives_it(renderer: Renderer, name: str) -> None:
    found = extraction(renderer, einvoice().replace("VATAmount", name))
    assert values(found)["lines[0].vat"] == "2500"


def test_a_line_s_tax_in_thousands_with_a_full_stop_is_not_taken_in_silence(renderer: Renderer) -> None:
    found = extraction(renderer, einvoice().replace("<DLieu>2500</DLieu>", "<DLieu>2.500</DLieu>"))
    [check] = [check for check in found.checks if check.code == "line_vat"]
    assert (check.passed, check.suspects) == (False, ("lines[0].vat",))
    assert "line_vat" not in failed(extraction(renderer, einvoice()))


def test_a_rate_without_a_percentage_is_a_rate(renderer: Renderer) -> None:
    found = extraction(renderer, einvoice().replace("10%", "KHAC"))
    assert values(found)["vat_rate"] == values(found)["lines[0].vat_rate"] == "KHAC"
    assert not failed(found) & {"field_invalid", "vat", "vat_rate"}


def test_what_stands_for_nothing_is_nothing(renderer: Renderer) -> None:
    buyer = "<Ten>Nguyễn Thị Mẫu</Ten><MST>-</MST><DChi/>"
    none = "<TTHDLQuan><TCHDon>0</TCHDon></TTHDLQuan>"
    found = extraction(renderer, einvoice(buyer=buyer, general=none))
    assert values(found)["buyer_tax_code"] is None and values(found)["related_invoice"] is None
    assert "field_invalid" not in failed(found)


def test_a_line_number_of_0_is_none(renderer: Renderer) -> None:
    zeros = [line.replace("<STT>1", "<STT>0").replace("<STT>2", "<STT>0") for line in (LINE, SECOND)]
    noted = (LINE, NOTE.replace("<THHDVu>", "<STT>0</STT><THHDVu>"), SECOND)
    for lines in (zeros, noted):
        assert "line_numbers" not in failed(extraction(renderer, einvoice(lines=lines)))
    one = extraction(renderer, einvoice(lines=(LINE, zeros[1])))
    assert "line_numbers" in failed(one), "a 0 for a 2"


@pytest.mark.parametrize("number", ["A", "II", "1.1", "1a"])
def test_a_part_s_own_number_is_kept_as_it_stands_and_stops_nothing(renderer: Renderer, number: str) -> None:
    found = extraction(renderer, einvoice(lines=(LINE, SECOND.replace("<STT>2", f"<STT>{number}"))))
    [field] = [field for field in found.fields if field.path == "lines[1].no"]
    assert (field.raw, field.value, field.problem) == (number, None, None)
    assert not failed(found) & {"field_invalid", "line_numbers"}


def test_the_authority_s_code_may_stand_beside_the_invoice(renderer: Renderer) -> None:
    code = "<MCCQT>00A1B2C3D4E5F60718293A4B5C6D7E8F90</MCCQT>"
    bare = re.sub("<MCCQT.*?</MCCQT>", "", einvoice())
    for around in (f"<DLieu>{bare}{code}</DLieu>", f"<DLieu>{bare}</DLieu>{code}"):
        found = extraction(renderer, f"<TDiep>{around}</TDiep>")
        assert values(found)["tax_authority_code"] == "00A1B2C3D4E5F60718293A4B5C6D7E8F90"
    of_two = extraction(renderer, f"<TDiep><DLieu>{bare}{bare}</DLieu>{code}</TDiep>")
    assert values(of_two)["tax_authority_code"] is None, "it may be the other one's"


def test_amounts_in_groups_of_thousands_are_never_taken_for_small_ones_in_silence(renderer: Renderer) -> None:
    def in_groups(*amounts: str) -> Extraction:
        price, net, vat, total = amounts
        line = f"<HHDVu><STT>1</STT><THHDVu>Gạo</THHDVu><DVTinh>Kg</DVTinh><SLuong>1000</SLuong><DGia>{price}"
        line += f"</DGia><ThTien>{net}</ThTien><TSuat>10%</TSuat></HHDVu>"
        rate = f"<LTSuat><TSuat>10%</TSuat><ThTien>{net}</ThTien><TThue>{vat}</TThue></LTSuat>"
        xml = einvoice(lines=[line], rates=rate, total=total).replace("<TPhi>12.5<", "<TPhi>0<")
        xml = xml.replace("<TgTCThue>30001<", f"<TgTCThue>{net}<").replace(
            "<TgTThue>3000<", f"<TgTThue>{vat}<"
        )
        return extraction(renderer, re.sub("<TgTTTBChu>.*</TgTTTBChu>", "", xml))

    proven = in_groups("5.000", "5.000.000", "500.000", "5.500.000")
    assert [values(proven)[path] for path in ("lines[0].unit_price", "vat", "total")] == [
        "5000", "500000", "5500000"
    ]  # fmt: skip
    assert not failed(proven) & {"thousands_unclear", "vat", "total", "line_amount"}
    unclear = in_groups("0.5", "500.000", "50.000", "550.000")
    assert values(unclear)["total"] == "550" and "thousands_unclear" not in failed(unclear), "0.5 is no group"
    unclear = in_groups("5", "500.000", "50.000", "550.000")
    assert unclear.state == "review" and "thousands_unclear" in failed(unclear)
    exact_ones = in_groups("5.000", "5000.000", "500.000", "5500.000")
    assert values(exact_ones)["vat"] == "500" and "thousands_unclear" not in failed(exact_ones)


def test_a_name_that_was_escaped_twice_is_the_name(renderer: Renderer) -> None:
    for written_so in ("A &amp; B", "A &amp;amp; B", "A &amp;amp;amp; B", "A&amp;nbsp;&amp;#38; B"):
        found = extraction(renderer, einvoice(buyer=f"<Ten>{written_so}</Ten>"))
        assert values(found)["buyer_name"] == "A & B"
    [name] = [field for field in found.fields if field.path == "buyer_name"]
    assert name.raw == "A&nbsp;&#38; B", "as it was signed"
    kept = extraction(renderer, einvoice(buyer="<Ten>H&amp;M; &amp;#7; &amp;ko;</Ten>"))
    assert values(kept)["buyer_name"] == "H&M; &#7; &ko;"


def test_what_is_missing_is_absent_and_empty_elements_too(renderer: Renderer) -> None:
    bare = einvoice().replace("<HTTToan>TM/CK</HTTToan>", "<HTTToan/>").replace("<DVTTe>VND</DVTTe>", "")
    found = values(extraction(renderer, bare))
    assert (found["payment_method"], found["currency"], found["number"]) == (None, None, "1234")


def test_a_person_buys_where_no_firm_does(renderer: Renderer) -> None:
    found = extraction(renderer, einvoice(buyer="<Ten> </Ten><HVTNMHang>Nguyễn Thị Mẫu</HVTNMHang>"))
    assert values(found)["buyer_name"] == "Nguyễn Thị Mẫu"


def test_an_invoice_of_several_rates_has_no_rate_of_its_own(renderer: Renderer) -> None:
    several = "".join(f"<LTSuat><TSuat>{rate}</TSuat></LTSuat>" for rate in ("10%", "KCT"))
    found = extraction(renderer, einvoice(rates=several))
    assert values(found)["vat_rate"] is None and "several_values" not in failed(found)


def test_what_it_replaces_is_told_in_words(renderer: Renderer) -> None:
    related = (
        "<TTHDLQuan><TCHDon>1</TCHDon><LHDCLQuan>1</LHDCLQuan><KHMSHDCLQuan>1</KHMSHDCLQuan>"
        "<KHHDCLQuan>C26TAA</KHHDCLQuan><SHDCLQuan>12</SHDCLQuan><NLHDCLQuan>2026-10-01</NLHDCLQuan></TTHDLQuan>"
    )
    told = "Thay thế cho hóa đơn mẫu số 1 ký hiệu C26TAA số 12 ngày 2026-10-01"
    own = "Thay cho hóa đơn C26TAA-12 vì sai địa chỉ"
    for free, expected in (("", told), ("Sai địa chỉ", f"{told}; ghi chú: Sai địa chỉ"), (own, own)):
        noted = related.replace("</TTHDLQuan>", f"<GChu>{free}</GChu></TTHDLQuan>")
        assert values(extraction(renderer, einvoice(general=noted)))["related_invoice"] == expected


def test_a_line_may_be_a_note(renderer: Renderer) -> None:
    found = extraction(renderer, einvoice(lines=(LINE, NOTE)))
    assert values(found)["lines[1].name"] == "Giao hàng tại kho"
    assert values(found)["lines[1].amount"] is None


@pytest.mark.medium
def test_no_bound_of_print_holds_for_xml(renderer: Renderer) -> None:
    long = "Hàng " * 100
    lines = [LINE.replace("Thép phi 10", f"{long}{n}") for n in range(300)]
    found = extraction(renderer, einvoice(lines=lines))
    assert len(found.record["lines"]) == 300 and found.record["lines"][299]["name"].startswith("Hàng Hàng")
    assert not failed(found) & {"list_full", "text_full"}


def test_two_invoices_of_one_file_are_not_mixed(renderer: Renderer) -> None:
    second = einvoice("77").replace("<DVTTe>VND</DVTTe>", "<DVTTe>USD</DVTTe>")
    first = einvoice("1234").replace("<DVTTe>VND</DVTTe>", "")
    found = extraction(renderer, envelope(first, second))
    assert found.state == "review" and (values(found)["number"], values(found)["currency"]) == ("1234", None)
    [check] = [check for check in found.checks if check.code == "several_documents"]
    assert "2 documents (1234, 77)" in check.message


def test_a_field_that_is_there_twice_and_otherwise_goes_to_a_person(renderer: Renderer) -> None:
    found = extraction(renderer, einvoice().replace("<KHHDon>", "<SHDon>99</SHDon><KHHDon>"))
    assert found.state == "review" and values(found)["number"] == "99" and "several_values" in failed(found)


def test_an_unknown_version_is_read_and_told(renderer: Renderer) -> None:
    assert "version_unknown" in failed(extraction(renderer, einvoice(version="3.0.0")))


def test_a_text_that_is_no_number_is_told_as_it_stands(renderer: Renderer) -> None:
    found = extraction(renderer, einvoice(total="ba mươi"))
    [total] = [field for field in found.fields if field.path == "total"]
    assert (total.raw, total.value) == ("ba mươi", None) and total.problem
    assert found.state == "review" and "field_invalid" in failed(found)


NOT_READ = {
    "another document": (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", Reason.xml_other),
    "cut off": (written(einvoice())[:700], Reason.xml_damaged),
    "not its coding": (written(einvoice(), "utf-8").replace("Thép".encode(), b"Th\xe9p"), Reason.xml_damaged),
    "a document type": (
        written("<!-- 1 --><!DOCTYPE HDon SYSTEM 'http://127.0.0.1:9/x.dtd'>" + einvoice()),
        Reason.xml_unsafe,
    ),
    "a document type in UTF-16": (written("<!DOCTYPE HDon>" + einvoice(), "utf-16"), Reason.xml_unsafe),
    "a document type in UTF-7": (
        b'<?xml version="1.0" encoding="utf-7"?>+ADw-!DOCTYPE HDon+AD4-<HDon/>',
        Reason.xml_unsafe,
    ),
    "entities": (written(LAUGHS + einvoice().replace("1234", "&d;&d;")), Reason.xml_unsafe),
    "a file as an entity": (
        written('<!DOCTYPE HDon [<!ENTITY x SYSTEM "/etc/passwd">]>' + einvoice().replace("1234", "&x;")),
        Reason.xml_unsafe,
    ),
    "an unknown entity": (written(einvoice().replace("1234", "&x;")), Reason.xml_damaged),
    "too deep": (written("<HDon>" + "<a>" * 100 + "</a>" * 100 + "</HDon>"), Reason.xml_too_large),
    "far too deep": (written("<HDon>" + "<a>" * 9999 + "</a>" * 9999 + "</HDon>"), Reason.xml_damaged),
    "too many elements": (written(einvoice(lines=["<a/>"] * 300_001)), Reason.xml_too_large),
    "too long a text": (written(einvoice(number="x" * 9_000_000)), Reason.xml_too_large),
    "too many bytes": (written(einvoice()) + b" " * 2**25, Reason.xml_too_large),
}  # fmt: skip


@pytest.mark.medium
@pytest.mark.parametrize("name", NOT_READ)
def test_what_is_refused_says_why_in_one_line(renderer: Renderer, name: str) -> None:
    data, reason = NOT_READ[name]
    why = refused(renderer, data)
    assert why.reason is reason and "\n" not in why.message
    assert "root:" not in why.message


@pytest.mark.medium
def test_one_that_is_refused_spoils_nothing_for_the_next(renderer: Renderer) -> None:
    with Renderer(RenderSettings()) as renderer:
        children = set()
        small = [data for data, _ in NOT_READ.values() if len(data) < 2**20]
        for data in [*small, written(einvoice())]:
            document = Document("x.xml", data, str(hash(data)), None)
            page = run.drawn(renderer, document, 1, Recipe.of(INVOICE, Settings(), None))
            children.add(renderer._children["lxml"])
        assert not isinstance(page, Failure) and len(children) == 1
        assert set(renderer._children) == {"lxml"}  # nothing else is started for it
        assert renderer._children["lxml"].confinement == confine.possible()


def test_a_schema_that_says_nothing_of_xml_is_told_so(renderer: Renderer) -> None:
    why = refused(renderer, written(einvoice()), "id_card@1")
    assert why.reason is Reason.schema_without_xml and "id_card@1" in why.message


USERS = '''
from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from schemas.in_xml import InXml


class Lot(BaseModel):
    """Lô"""

    name: Annotated[str | None, InXml("THHDVu")] = Field(None, title="Tên")
    lot: Annotated[str | None, InXml("TTKhac/TTin[TTruong=Lô]/DLieu")] = Field(None, title="Lô")
    tax: Annotated[Decimal | None, InXml("TTKhac/TTin[TTruong=VATAmount]/DLieu")] = Field(None, title="Thuế")


class Seller(BaseModel):
    """Người bán"""

    name: Annotated[str | None, InXml("Ten")] = Field(None, title="Tên")


class Delivery(BaseModel):
    """Giao hàng"""

    id: Annotated[str | None, InXml("DLHDon/@Id")] = Field(None, title="Mã")
    seller: Annotated[Seller, InXml("DLHDon/NDHDon/NBan")] = Field(Seller(), title="Bên bán")
    names: Annotated[list[str], InXml("DLHDon/NDHDon/DSHHDVu/HHDVu/THHDVu")] = Field([], title="Hàng")
    lots: Annotated[list[Lot], InXml("DLHDon/NDHDon/DSHHDVu/HHDVu")] = Field([], title="Các lô")
    printed_only: str | None = Field(None, title="Ghi chú")


class Order(BaseModel):
    """Đơn"""

    xml_root: ClassVar = "don-hang"
    paid: Annotated[bool | None, InXml("paid")] = Field(None, title="Đã trả")
'''


def test_a_users_schema_says_where_its_fields_stand(renderer: Renderer, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(USERS, encoding="utf-8")
    record = extraction(renderer, einvoice(), f"{tmp_path / 'mine.py'}:Delivery").record
    assert record == {
        "id": "d",
        "seller": {"name": "Công ty Cổ phần Thép"},
        "names": ["Thép phi 10 & bu lông", "Vận chuyển"],
        "lots": [
            {"name": "Thép phi 10 & bu lông", "lot": "L-07", "tax": "2500"},
            {"name": "Vận chuyển", "lot": None, "tax": None},
        ],
        "printed_only": None,
    }
    order = "<x><don-hang><paid>1</paid></don-hang></x>"
    assert extraction(renderer, order, f"{tmp_path / 'mine.py'}:Order").record == {"paid": True}


def test_a_path_that_is_none_is_a_wrong_schema(tmp_path: Path) -> None:
    wrong = USERS.replace('InXml("Ten")', 'InXml("Ten//x")')
    (tmp_path / "wrong.py").write_text(wrong, encoding="utf-8")
    with pytest.raises(registry.SchemaError, match=r"'Ten//x' is no path in XML"):
        registry.resolve(f"{tmp_path / 'wrong.py'}:Delivery")


@pytest.mark.medium
def test_it_is_found_by_its_content_and_by_its_name_in_archives(tmp_path: Path) -> None:
    (tmp_path / "in.dat").write_bytes(FILES["UTF-16 with a mark"])
    with zipfile.ZipFile(tmp_path / "mail.zip", "w") as archive:
        archive.writestr("1234.xml", written(einvoice()))
        archive.writestr("1234.xsl", b"<x/>")
    listed = sorted(ref.uri for ref in list_documents([str(tmp_path)], SourceSettings()))
    assert [uri.rpartition("/")[2] for uri in listed] == ["in.dat", "1234.xml"]
    for uri in listed:
        outcome = read(uri).outcome
        assert isinstance(outcome, Extraction) and values(outcome)["number"] == "1234"


@pytest.mark.medium
def test_its_key_is_the_same_whatever_the_model_and_another_for_other_places(tmp_path: Path) -> None:
    (tmp_path / "one.xml").write_bytes(written(einvoice()))
    (tmp_path / "mine.py").write_text(USERS, encoding="utf-8")
    mine = f"{tmp_path / 'mine.py'}:Delivery"
    one, other = read(tmp_path / "one.xml"), read(tmp_path / "one.xml", model=MODEL)
    assert one.pages == other.pages and one.pages[0].renderer == "lxml"
    theirs = read(tmp_path / "one.xml", mine)
    (tmp_path / "mine.py").write_text(USERS.replace("DLHDon/@Id", "@Id"), encoding="utf-8")
    assert len({one.pages[0].key, theirs.pages[0].key, read(tmp_path / "one.xml", mine).pages[0].key}) == 3


def test_a_picture_cannot_be_read_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "one.pdf").write_bytes(b"%PDF-1.7")
    with pytest.raises(ModelNeeded):
        read(tmp_path / "one.pdf")


@pytest.mark.medium
def test_no_mutant_of_an_invoice_escapes(renderer: Renderer) -> None:
    chance, whole = random.Random(1), [written(envelope(einvoice())), written(einvoice(), "utf-16")]
    ended: Counter[object] = Counter()
    for _ in range(150):
        found = outcome(renderer, mutant(chance, whole))
        ended[found.reason if isinstance(found, Failure) else "read"] += 1
    assert set(ended) <= {"read", Reason.unsupported_type, Reason.empty_file, *XML_REASONS}, ended
    assert ended["read"] > 5 and ended[Reason.xml_damaged] > 5


def test_xml_is_no_picture(renderer: Renderer) -> None:
    page = renderer.page(Document("one.xml", written(einvoice()), "a" * 64, None), 1)
    assert isinstance(page, Failure) and page.reason is Reason.unsupported_type


@pytest.mark.medium
@pytest.mark.parametrize("seed", range(12))
def test_every_field_of_a_specimen_is_exact(renderer: Renderer, seed: int) -> None:
    form = Form.drawn(seed)
    truth = make("invoice", seed).truth
    expected = truth_of(truth, form)
    found = extraction(renderer, xml_of(truth, form))
    raw = {field.path: field.raw for field in found.fields}
    assert expected["fields"] and len(found.record["lines"]) == len(expected["record"]["lines"])
    assert {path: raw[path] for path in expected["fields"]} == {
        path: field["raw"] for path, field in expected["fields"].items()
    }
    assert printed(found.record, INVOICE.shape.of_pages) == printed(
        expected["record"], INVOICE.shape.of_pages
    )


class Unhashable:
    """A schema's own way of reading."""

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, raw: str) -> str:
        return raw.upper()


def test_a_way_of_reading_without_a_hash_is_used_all_the_same() -> None:
    leaf = Leaf("x", "X", Printed(".*", Unhashable(), "text", 9))
    assert exact(leaf, "ab") == ("AB", None)


def test_one_separator_before_three_digits_is_a_decimal_point(renderer: Renderer) -> None:
    """In print it would be a thousand, or for the sums to settle; here no sum helps."""
    line = LINE.replace("<ThTien>25000.625</ThTien>", "")
    found = extraction(renderer, einvoice(lines=[line], total="33.001"))
    assert (values(found)["total"], values(found)["lines[0].quantity"]) == ("33.001", "1.25")
    assert "number_ambiguous" not in failed(found)
