"""E-invoices as XML, written by hand after the tax authority's layout, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

LINE = """<HHDVu><TChat>1</TChat><STT>1</STT><THHDVu>Thép phi 10 &amp; bu lông</THHDVu><DVTinh>Kg</DVTinh>
<SLuong>1.250</SLuong><DGia>20000.5</DGia><ThTien>25000.625</ThTien><TSuat>10%</TSuat><TTKhac><TTin>
<TTruong>VATAmount</TTruong><KDLieu>numeric</KDLieu><DLieu>2500</DLieu></TTin><TTin><TTruong>Lô</TTruong>
<KDLieu>string</KDLieu><DLieu>L-07</DLieu></TTin></TTKhac></HHDVu>"""
SECOND = """<HHDVu><TChat>1</TChat><STT>2</STT><THHDVu>Vận chuyển</THHDVu><DVTinh>chuyến</DVTinh>
<SLuong>1</SLuong><DGia>5000</DGia><TLCKhau>5</TLCKhau><STCKhau>250.5</STCKhau><ThTien>5000</ThTien><TSuat>10%</TSuat></HHDVu>"""
NOTE = "<HHDVu><TChat>4</TChat><THHDVu>Giao hàng tại kho</THHDVu></HHDVu>"
RATES = "<LTSuat><TSuat>10%</TSuat><ThTien>30001</ThTien><TThue>3000</TThue></LTSuat>"
SIGNATURE = (
    '<DSCKS><NBan><Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><SignedInfo><Reference URI="#d"/>'
    "</SignedInfo><KeyInfo><X509Data><X509Certificate>MIIF</X509Certificate></X509Data></KeyInfo></Signature>"
    "</NBan></DSCKS>"
)


def einvoice(
    number: str = "1234",
    *,
    general: str = "",
    lines: Iterable[str] = (LINE, SECOND),
    rates: str = RATES,
    version: str = "2.1.0",
    day: str = "2026-11-05",
    total: str = "33001",
    buyer: str = "<Ten>Công ty TNHH Mẫu</Ten><MST>0200000003-001</MST><DChi>Số 2, Hải Phòng</DChi>",
) -> str:
    """An element HDon, without a declaration."""
    return f"""<HDon><DLHDon Id="d"><TTChung><PBan>{version}</PBan><THDon>Hóa đơn GTGT</THDon>
<KHMSHDon>1</KHMSHDon><KHHDon>C26TAA</KHHDon><SHDon>{number}</SHDon><NLap>{day}</NLap><DVTTe>VND</DVTTe>
<TGia>1</TGia><HTTToan>TM/CK</HTTToan>{general}</TTChung><NDHDon><NBan><Ten>Công ty Cổ phần Thép</Ten>
<MST>0100000008</MST><DChi>Số 1, Hà Nội</DChi></NBan><NMua>{buyer}</NMua><DSHHDVu>{"".join(lines)}</DSHHDVu>
<TToan><THTTLTSuat>{rates}</THTTLTSuat><TgTCThue>30001</TgTCThue><TgTThue>3000</TgTThue>
<TTCKTMai>0</TTCKTMai><DSLPhi><LPhi><TLPhi>Phí</TLPhi><TPhi>12.5</TPhi></LPhi></DSLPhi>
<TgTTTBSo>{total}</TgTTTBSo><TgTTTBChu>Ba mươi ba nghìn không trăm linh một đồng</TgTTTBChu></TToan></NDHDon>
</DLHDon><MCCQT Id="m">00A1B2C3D4E5F60718293A4B5C6D7E8F90</MCCQT>{SIGNATURE}</HDon>"""


def envelope(*invoices: str) -> str:
    """The message in which the tax authority passes invoices on."""
    return (
        "<TDiep><TTChung><PBan>2.1.0</PBan><MNGui>V0100000008</MNGui><SLuong>1</SLuong></TTChung>"
        f"<DLieu>{''.join(invoices)}</DLieu></TDiep>"
    )


def written(xml: str, coding: str = "utf-8", declared: str | None = None, mark: bytes = b"") -> bytes:
    """As a file, with its declaration."""
    head = f'<?xml version="1.0" encoding="{declared or coding}"?>\n'
    return mark + (head + xml).encode(coding)


PRINTED: Sequence[tuple[str, object]] = (
    ("form_no", "1"),
    ("series", "C26TAA"),
    ("number", "1234"),
    ("issue_date", "2026-11-05"),
    ("tax_authority_code", "00A1B2C3D4E5F60718293A4B5C6D7E8F90"),
    ("seller_name", "Công ty Cổ phần Thép"),
    ("seller_tax_code", "0100000008"),
    ("seller_address", "Số 1, Hà Nội"),
    ("buyer_name", "Công ty TNHH Mẫu"),
    ("buyer_tax_code", "0200000003-001"),
    ("buyer_address", "Số 2, Hải Phòng"),
    ("payment_method", "TM/CK"),
    ("currency", "VND"),
    ("lines", 2),
    ("lines[0].no", 1),
    ("lines[0].name", "Thép phi 10 & bu lông"),
    ("lines[0].unit", "Kg"),
    ("lines[0].quantity", "1.25"),
    ("lines[0].unit_price", "20000.5"),
    ("lines[0].amount", "25000.625"),
    ("lines[0].vat_rate", "10%"),
    ("lines[0].discount_rate", None),
    ("lines[0].discount", None),
    ("lines[0].vat", "2500"),
    ("lines[0].nature", 1),
    ("lines[1].no", 2),
    ("lines[1].name", "Vận chuyển"),
    ("lines[1].unit", "chuyến"),
    ("lines[1].quantity", "1"),
    ("lines[1].unit_price", "5000"),
    ("lines[1].amount", "5000"),
    ("lines[1].vat_rate", "10%"),
    ("lines[1].discount_rate", "5"),
    ("lines[1].discount", "250.5"),
    ("lines[1].vat", None),
    ("lines[1].nature", 1),
    ("net", "30001"),
    ("vat_rate", "10%"),
    ("vat", "3000"),
    ("total", "33001"),
    ("total_in_words", "Ba mươi ba nghìn không trăm linh một đồng"),
    ("related_invoice", None),
    ("exchange_rate", "1"),
    ("discount", "0"),
    ("fees", "12.5"),
    ("each_fee", 1),
    ("each_fee[0].name", "Phí"),
    ("each_fee[0].amount", "12.5"),
    ("by_rate", 1),
    ("by_rate[0].rate", "10%"),
    ("by_rate[0].net", "30001"),
    ("by_rate[0].vat", "3000"),
    ("untaxed_reduction", None),
    ("other_reduction", None),
)
