"""A specimen's e-invoice XML says what its truth says, in each version; a seed gives the same again."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

import pytest
from lxml import etree

from pipeline.einvoice.reading import page_record
from pipeline.merge import record_of
from pipeline.records import Document
from pipeline.render import Renderer
from pipeline.settings import RenderSettings
from pipeline.specimens import MARK, make
from pipeline.specimens.einvoice import VERSIONS, Form, truth_of, xml_of
from schemas import registry

_PATHS = {
    "form_no": "TTChung/KHMSHDon", "series": "TTChung/KHHDon", "number": "TTChung/SHDon",
    "issue_date": "TTChung/NLap", "currency": "TTChung/DVTTe", "payment_method": "TTChung/HTTToan",
    "related_invoice": "TTChung/TTHDLQuan/GChu",
    "seller_name": "NDHDon/NBan/Ten", "seller_tax_code": "NDHDon/NBan/MST",
    "seller_address": "NDHDon/NBan/DChi",
    "buyer_name": "NDHDon/NMua/Ten", "buyer_tax_code": "NDHDon/NMua/MST", "buyer_address": "NDHDon/NMua/DChi",
    "net": "NDHDon/TToan/TgTCThue", "vat": "NDHDon/TToan/TgTThue", "total": "NDHDon/TToan/TgTTTBSo",
    "total_in_words": "NDHDon/TToan/TgTTTBChu",
}  # fmt: skip
_LINE = {
    "no": "STT", "name": "THHDVu", "unit": "DVTinh", "quantity": "SLuong", "unit_price": "DGia",
    "amount": "ThTien", "vat_rate": "TSuat", "discount": "STCKhau", "discount_rate": "TLCKhau",
    "nature": "TChat",
}  # fmt: skip


@pytest.fixture(scope="module")
def truths() -> list[dict[str, Any]]:
    return [make("invoice", seed, preset="clean").truth for seed in range(6)]


def invoice_of(data: bytes) -> etree._Element:
    root = etree.fromstring(data)
    return root if root.tag == "HDon" else root.find("DLieu/HDon")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("envelope", [False, True])
def test_xml_says_what_its_truth_says(truths: list[dict[str, Any]], version: Any, envelope: bool) -> None:
    for printed in truths:
        form = Form(version, envelope, decimals=4, empty=True, line_tax=True, short_number=True)
        root = invoice_of(xml_of(printed, form))
        truth = truth_of(printed, form)
        raw = truth["raw"]
        for field, path in _PATHS.items():
            assert (root.findtext(f"DLHDon/{path}") or None) == raw[field], field
        assert root.findtext("MCCQT") == raw["tax_authority_code"]
        lines = root.findall("DLHDon/NDHDon/DSHHDVu/HHDVu")
        assert len(lines) == len(raw["lines"])
        for line, told in zip(lines, raw["lines"], strict=True):
            assert {name: line.findtext(tag) for name, tag in _LINE.items()} == {n: told[n] for n in _LINE}
            assert line.findtext("TTKhac/TTin/DLieu") == told["vat"]
        rates = {rate.text for rate in root.iterfind("DLHDon/NDHDon/TToan/THTTLTSuat/LTSuat/TSuat")}
        assert rates == {line["vat_rate"] for line in raw["lines"]}
        assert root.findtext("DLHDon/TTChung/PBan") == version


def test_its_truth_is_that_of_the_print_but_for_what_only_xml_says(truths: list[dict[str, Any]]) -> None:
    for seed, printed in enumerate(truths):
        record = truth_of(printed, Form.drawn(seed))["record"]
        assert registry.resolve("invoice").model.model_validate(record)
        for name in ("issue_date", "seller_name", "seller_tax_code", "buyer_name", "net", "vat", "total"):
            assert record[name] == printed["record"][name]
        assert f"{record['form_no']}{record['series']}".endswith(printed["record"]["series"])
        assert int(record["number"]) == int(printed["record"]["number"])


@pytest.mark.medium
def test_what_is_read_of_it_is_its_truth(truths: list[dict[str, Any]]) -> None:
    spec = registry.resolve("invoice@1")
    with Renderer(RenderSettings()) as renderer:
        for seed, printed in enumerate(truths * 3):
            form = Form.drawn(seed)
            data = xml_of(printed, form)
            document = Document("one.xml", data, hashlib.sha256(data).hexdigest(), None)
            root, _ = renderer.read(document)
            fields = page_record(root, spec).fields
            assert record_of(spec.shape, fields) == truth_of(printed, form)["record"]
            raw = {field.path: field.raw for field in fields if field.raw is not None}
            assert raw == {path: field["raw"] for path, field in truth_of(printed, form)["fields"].items()}


def test_tax_of_the_rates_adds_up_to_the_vat(truths: list[dict[str, Any]]) -> None:
    for printed in truths:
        totals = invoice_of(xml_of(printed)).find("DLHDon/NDHDon/TToan")
        shares = [Decimal(share.text) for share in totals.iterfind("THTTLTSuat/LTSuat/TThue")]
        assert sum(shares) == Decimal(totals.findtext("TgTThue"))


def test_seeds_write_in_different_ways_and_each_the_same_again(truths: list[dict[str, Any]]) -> None:
    forms = [Form.drawn(seed) for seed in range(40)]
    assert forms == [Form.drawn(seed) for seed in range(40)]
    assert {form.version for form in forms} == set(VERSIONS)
    written = [xml_of(truths[0], form) for form in forms]
    assert written == [xml_of(truths[0], form) for form in forms]
    assert len({*written}) > 30
    assert all(MARK in data.decode() for data in written)


def test_a_value_that_truth_lacks_is_not_in_xml() -> None:
    printed = make("invoice", 3, preset="clean", blank=0.4).truth
    absent = [name for name, value in printed["record"].items() if value is None and name in _PATHS]
    assert "total" in absent or len(absent) > 4
    root = invoice_of(xml_of(printed, Form(empty=True)))
    given = {"form_no", "currency"}  # XML always says these
    assert not [name for name in absent if name not in given and root.findtext(f"DLHDon/{_PATHS[name]}")]
