"""A specimen invoice as e-invoice XML: the same truth as its print, in the layout of the tax authority.

The layout is that of Decision 1450/QĐ-TCT (2.0.0) and of what followed it (2.0.1, 2.1.0); what issuers do
to it in different ways (decimals, names of Ids, empty elements, a line's tax under TTKhac, an envelope)
is drawn from a seed. Nothing here is signed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Any, Literal

from lxml import etree

from pipeline.specimens.specimen import MARK, shape
from schemas import vat
from schemas.invoice import InvoiceLine

Version = Literal["2.0.0", "2.0.1", "2.1.0"]
VERSIONS: tuple[Version, ...] = ("2.0.0", "2.0.1", "2.1.0")

_LINE_TAGS = {
    "no": "STT", "name": "THHDVu", "unit": "DVTinh", "quantity": "SLuong", "unit_price": "DGia",
    "amount": "ThTien", "vat_rate": "TSuat",
}  # fmt: skip
_PARTY_TAGS = (("name", "Ten"), ("tax_code", "MST"), ("address", "DChi"))
_RELATED = re.compile(r"(Thay thế|Điều chỉnh) .* ký hiệu (\S+) số (\S+) ngày (\d\d)/(\d\d)/(\d{4})")
_NUMBERS = frozenset({
    "quantity", "unit_price", "amount", "discount", "discount_rate", "exchange_rate", "net", "vat", "total",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """How an issuer writes its XML."""

    version: Version = "2.1.0"
    envelope: bool = False  # inside TDiep, as it went to the tax authority
    data_id: str = "data"  # the Id of DLHDon, which signatures refer to
    decimals: int = 0  # at least so many, also behind whole numbers
    empty: bool = False  # elements without a value are written as empty ones
    line_tax: bool = False  # a line's VAT and its sum with it, under TTKhac as MISA has them
    short_number: bool = False  # the number without the zeros that the print begins with
    declared: bool = True  # begins with <?xml …?>
    indented: bool = False

    @classmethod
    def drawn(cls, seed: int) -> Form:
        rng = Random(f"einvoice:{seed}")
        some = f"{rng.getrandbits(64):016x}"
        return cls(
            version=rng.choice(VERSIONS),
            envelope=rng.random() < 0.4,
            data_id=rng.choice(("data", "DLHDon", "DuLieuKy", f"Id-{some}", f"_{some}")),
            decimals=rng.choice((0, 0, 0, 1, 4, 6)),
            empty=rng.random() < 0.5,
            line_tax=rng.random() < 0.5,
            short_number=rng.random() < 0.5,
            declared=rng.random() < 0.9,
            indented=rng.random() < 0.15,
        )


def xml_of(truth: Mapping[str, Any], form: Form | None = None) -> bytes:
    """The e-invoice of a specimen's truth: `make("invoice", seed).truth`.

    A value that truth lacks is not in it. For the XML to know what a print leaves out, give
    the truth of the same seed with `blank=0`.
    """
    form = form or Form()
    record = _as_issued(truth["record"], form)
    invoice = etree.Element("HDon")
    _data(etree.SubElement(invoice, "DLHDon", Id=form.data_id), record, form)
    if record["tax_authority_code"] is not None:
        _put(invoice, "MCCQT", record["tax_authority_code"], form).set("Id", "MCCQT")
    signatures = etree.SubElement(invoice, "DSCKS")
    for signer in ("NBan", "NMua", "CQT") if form.empty else ("NBan",):
        etree.SubElement(signatures, signer)
    root = _envelope(invoice, record, form) if form.envelope else invoice
    if form.indented:
        etree.indent(root, "  ")
    data: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=form.declared)
    return data


def truth_of(truth: Mapping[str, Any], form: Form | None = None) -> dict[str, Any]:
    """What `xml_of` with the same arguments holds, in the three views of a specimen's truth.

    `raw` are the texts of the XML; a page's number is 1 and there are no boxes. Unlike the print, XML always
    parts form and series, has a rate and a nature on each line and the sums of each rate, and names the
    currency. `vat_rate` is that of an invoice with one rate; `related_invoice` is the text of TTHDLQuan/GChu.
    """
    form = form or Form()
    record = _as_issued(truth["record"], form)
    raw = {path: _text(path, value, form) for path, value in _flat(record)}
    return {
        "fields": {path: {"raw": text, "page": 1, "box": None} for path, text in raw.items()},
        "raw": shape("invoice", raw, unasked=True),
        "record": record,
    }


def _as_issued(printed: Mapping[str, Any], form: Form) -> dict[str, Any]:
    empty = shape("invoice", {}, unasked=True)
    lines = [{**dict.fromkeys(InvoiceLine.model_fields), **line} for line in printed["lines"]]
    record: dict[str, Any] = {**empty, **printed, "lines": lines}
    series = record["series"]
    if series is not None and series[:1].isdigit():
        record["form_no"], record["series"] = series[0], series[1:]
    if record["number"] is not None and form.short_number:
        record["number"] = record["number"].lstrip("0")
    record["currency"] = record["currency"] or "VND"
    for line in record["lines"]:
        line["vat_rate"] = line["vat_rate"] or record["vat_rate"]
        line |= _line_as_issued(line, form)
    record |= {"exchange_rate": "1", "discount": "0", "by_rate": _by_rate(record["lines"])}
    rates = record["by_rate"]
    record["vat_rate"] = rates[0]["rate"] if len(rates) == 1 else None
    return record


def _line_as_issued(line: Mapping[str, Any], form: Form) -> dict[str, Any]:
    """What a line has only in XML."""
    told: dict[str, Any] = {"nature": 1}
    if form.empty:
        told |= {"discount_rate": "0", "discount": "0"}
    if form.line_tax and line["amount"] is not None and line["vat_rate"] is not None:
        told["vat"] = str(_round(Decimal(line["amount"]) * vat.percent(line["vat_rate"])))
    return told


def _by_rate(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    sums: dict[str, Decimal] = {}
    for line in lines:
        if line["vat_rate"] is not None and line["amount"] is not None:
            sums[line["vat_rate"]] = sums.get(line["vat_rate"], Decimal(0)) + Decimal(line["amount"])
    return [
        {"rate": rate, "net": str(net), "vat": str(_round(net * vat.percent(rate)))}
        for rate, net in sums.items()
    ]


def _flat(record: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from (
                    (f"{name}[{index}].{key}", inner) for key, inner in item.items() if inner is not None
                )
        elif value is not None:
            yield name, value


def _text(path: str, value: object, form: Form) -> str:
    name = path.rpartition(".")[2]
    if name in _NUMBERS:
        return _number(Decimal(str(value)), form)
    return str(value)


def _number(value: Decimal, form: Form) -> str:
    """A decimal point and no sign between thousands, as xs:decimal has it."""
    _, _, places = format(value.normalize(), "f").partition(".")
    return format(value, f".{max(form.decimals, len(places))}f")


def _put(parent: etree._Element, tag: str, value: object, form: Form) -> etree._Element:
    """An element with that text; without a value, an empty element or none, as the issuer does."""
    element = etree.Element(tag)
    if value is not None:
        element.text = str(value)
    if value is not None or form.empty:
        parent.append(element)
    return element


def _others(parent: etree._Element, values: Mapping[str, tuple[str, str]]) -> None:
    """TTKhac: what the layout has no element for, as name → (kind, text)."""
    others = etree.SubElement(parent, "TTKhac")
    for name, (kind, text) in values.items():
        entry = etree.SubElement(others, "TTin")
        for tag, value in (("TTruong", name), ("KDLieu", kind), ("DLieu", text)):
            etree.SubElement(entry, tag).text = value


def _data(data: etree._Element, record: Mapping[str, Any], form: Form) -> None:
    _general(etree.SubElement(data, "TTChung"), record, form)
    content = etree.SubElement(data, "NDHDon")
    seller = etree.SubElement(content, "NBan")
    buyer = etree.SubElement(content, "NMua")
    for party, role in ((seller, "seller"), (buyer, "buyer")):
        for field, tag in _PARTY_TAGS:
            _put(party, tag, record[f"{role}_{field}"], form)
    if form.version == "2.1.0":
        _put(seller, "MCHang", None, form)
        _put(buyer, "MDVQHNSach", None, form)
        _put(buyer, "CCCDan", None, form)
    _put(buyer, "HVTNMHang", None, form)
    lines = etree.SubElement(content, "DSHHDVu")
    for line in record["lines"]:
        _line(etree.SubElement(lines, "HHDVu"), line, form)
    _totals(etree.SubElement(content, "TToan"), record, form)


def _general(general: etree._Element, record: Mapping[str, Any], form: Form) -> None:
    etree.SubElement(general, "PBan").text = form.version
    etree.SubElement(general, "THDon").text = "Hóa đơn giá trị gia tăng"
    for tag, field in (("KHMSHDon", "form_no"), ("KHHDon", "series"), ("SHDon", "number")):
        _put(general, tag, record[field], form)
    _put(general, "MHSo", None, form)
    _put(general, "NLap", record["issue_date"], form)
    _put(general, "DVTTe", record["currency"], form)
    etree.SubElement(general, "TGia").text = _text("exchange_rate", record["exchange_rate"], form)
    _put(general, "HTTToan", record["payment_method"], form)
    if record["related_invoice"] is not None:
        _related(etree.SubElement(general, "TTHDLQuan"), record["related_invoice"], form)
    _others(general, {"Ghi chú": ("string", MARK)})


def _related(related: etree._Element, text: str, form: Form) -> None:
    found = _RELATED.match(text)
    if found:
        verb, series, number, day, month, year = found.groups()
        etree.SubElement(related, "TCHDon").text = "1" if verb == "Thay thế" else "2"
        etree.SubElement(related, "LHDCLQuan").text = "1"
        etree.SubElement(related, "KHMSHDCLQuan").text = "1"
        etree.SubElement(related, "KHHDCLQuan").text = series
        etree.SubElement(related, "SHDCLQuan").text = number
        etree.SubElement(related, "NLHDCLQuan").text = f"{year}-{month}-{day}"
    _put(related, "GChu", text, form)


def _line(element: etree._Element, line: Mapping[str, Any], form: Form) -> None:
    etree.SubElement(element, "TChat").text = str(line["nature"])
    for field in ("no", "name", "unit", "quantity", "unit_price"):
        value = line[field]
        _put(element, _LINE_TAGS[field], None if value is None else _text(field, value, form), form)
    for field, tag in (("discount_rate", "TLCKhau"), ("discount", "STCKhau")):
        if line.get(field) is not None:
            etree.SubElement(element, tag).text = _text(field, line[field], form)
    amount, rate = line["amount"], line["vat_rate"]
    _put(element, "ThTien", None if amount is None else _text("amount", amount, form), form)
    _put(element, "TSuat", rate, form)
    if line.get("vat") is not None:
        net, tax = Decimal(amount), Decimal(line["vat"])
        figures = {"VATAmount": tax, "Amount": net + tax}
        _others(element, {name: ("numeric", _number(value, form)) for name, value in figures.items()})


def _totals(totals: etree._Element, record: Mapping[str, Any], form: Form) -> None:
    rates = etree.SubElement(totals, "THTTLTSuat")
    for one in record["by_rate"]:
        row = etree.SubElement(rates, "LTSuat")
        for tag, field in (("TSuat", "rate"), ("ThTien", "net"), ("TThue", "vat")):
            etree.SubElement(row, tag).text = _text(field, one[field], form)
    sums = (("TgTCThue", "net"), ("TgTThue", "vat"), ("TTCKTMai", "discount"), ("TgTTTBSo", "total"))
    for tag, field in sums:
        value = record[field]
        _put(totals, tag, None if value is None else _text(field, value, form), form)
    _put(totals, "TgTTTBChu", record["total_in_words"], form)


def _round(value: Decimal) -> Decimal:
    """To whole đồng, halves up."""
    return value.quantize(Decimal(1), ROUND_HALF_UP)


def _envelope(invoice: etree._Element, record: Mapping[str, Any], form: Form) -> etree._Element:
    """TDiep of message 202: an invoice with the tax authority's code, or 203 without one."""
    root = etree.Element("TDiep")
    general = etree.SubElement(root, "TTChung")
    seller = (record["seller_tax_code"] or "").replace("-", "")
    name = f"V{seller}{record['number'] or '':0>8}"
    coded = record["tax_authority_code"] is not None
    for tag, text in (
        ("PBan", form.version),
        ("MNGui", "TCT" if coded else "V9900000016"),
        ("MNNhan", "V9900000016" if coded else "TCT"),
        ("MLTDiep", "202" if coded else "203"),
        ("MTDiep", f"TCT{name}" if coded else name),
        ("MTDTChieu", name if coded else ""),
        ("MST", record["seller_tax_code"] or ""),
        ("SLuong", "1"),
    ):
        etree.SubElement(general, tag).text = text
    etree.SubElement(root, "DLieu").append(invoice)
    return root
