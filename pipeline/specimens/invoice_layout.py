"""Drawing an invoice: A4 at 200 dpi, small type, a table that runs over pages with sums carried forward."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from pipeline.specimens.canvas import Canvas, Colour, tint
from pipeline.specimens.codes import qr
from pipeline.specimens.invoice import Bill
from pipeline.specimens.specimen import MARK, Page
from pipeline.specimens.trade import amount
from schemas import invoice_qr

WIDTH, HEIGHT = 1654, 2339
MARGIN = 96.0
BOTTOM = HEIGHT - 130.0


@dataclass(frozen=True, slots=True)
class Words:
    """The labels that a layout prints."""

    form_no: str
    series: str
    number: str
    issue_date: str
    authority: str
    seller: str
    tax_code: str
    address: str
    buyer_person: str
    buyer: str
    payment: str
    currency: str
    related: str
    net: str
    rate: str
    vat: str
    total: str
    words: str


_FORMAL = Words(
    "Mẫu số:", "Ký hiệu:", "Số:", "Ngày lập:", "Mã CQT:", "Đơn vị bán hàng:", "Mã số thuế:", "Địa chỉ:",
    "Họ tên người mua hàng:", "Tên đơn vị:", "Hình thức thanh toán:", "Đồng tiền thanh toán:", "Ghi chú:",
    "Cộng tiền hàng:", "Thuế suất GTGT:", "Tiền thuế GTGT:", "Tổng cộng tiền thanh toán:",
    "Số tiền viết bằng chữ:",
)  # fmt: skip
_ENGLISH = Words(
    "Mẫu số (Form):", "Ký hiệu (Serial):", "Số (No.):", "Ngày (Date):", "Mã của CQT:", "Người bán (Seller):",
    "MST (Tax code):", "Địa chỉ (Address):", "Người mua hàng (Buyer):", "Tên đơn vị (Company):",
    "Hình thức thanh toán (Payment):", "Loại tiền (Currency):", "Hóa đơn liên quan:",
    "Cộng tiền hàng (Subtotal):", "Thuế suất GTGT (VAT rate):", "Tiền thuế GTGT (VAT):",
    "Tổng tiền thanh toán (Total):", "Bằng chữ (In words):",
)  # fmt: skip
_SHORT = Words(
    "Mẫu:", "KH:", "Số HĐ:", "Ngày:", "Mã cơ quan thuế:", "Bên bán:", "MST:", "Đ/c:",
    "Người mua:", "Bên mua:", "Thanh toán:", "Tiền tệ:", "Liên quan:", "Tổng tiền hàng:", "Thuế suất:",
    "Tiền thuế:", "Tổng thanh toán:", "Viết bằng chữ:",
)  # fmt: skip
_WORDS = {"ruled": _FORMAL, "plain": _ENGLISH, "open": _SHORT}
_OTHERS: dict[str, tuple[str, ...]] = {  # of the layouts "varied"
    "form_no": ("Mẫu hóa đơn:", "Mẫu số hóa đơn:", "Form:"),
    "series": ("Ký hiệu HĐ:", "Seri:", "Serial No:"),
    "number": ("Hóa đơn số:", "No:", "Số hóa đơn:"),
    "issue_date": ("Lập ngày:", "Ngày hóa đơn:", "Date:", "Ngày xuất:"),
    "authority": ("Mã của thuế:", "Mã xác thực:", "Mã cấp:"),
    "seller": ("Nhà cung cấp:", "Công ty bán:", "Đơn vị phát hành:", "Seller:"),
    "tax_code": ("Mã thuế:", "MS thuế:", "Tax ID:", "Mã số DN:"),
    "address": ("Trụ sở:", "Địa điểm:", "Nơi đóng:", "Address:"),
    "buyer_person": ("Người liên hệ:", "Người nhận hàng:", "Đại diện:"),
    "buyer": ("Khách hàng:", "Đơn vị mua hàng:", "Công ty mua:", "Customer:"),
    "payment": ("Cách thanh toán:", "Phương thức TT:", "HTTT:", "Trả bằng:"),
    "currency": ("Đơn vị tiền:", "Đồng tiền:", "Currency:"),
    "related": ("Kèm theo:", "Căn cứ:", "Xem thêm:"),
    "net": ("Tiền trước thuế:", "Cộng:", "Cộng tiền:", "Giá trị hàng:"),
    "rate": ("Mức thuế:", "VAT:", "Thuế (%):"),
    "vat": ("Thuế GTGT:", "Cộng tiền thuế:", "VAT amount:"),
    "total": ("Phải thanh toán:", "Tổng số tiền:", "Cộng thanh toán:", "Grand total:"),
    "words": ("Ghi bằng chữ:", "Số tiền bằng chữ:", "Đọc là:"),
}
_OTHER_HEADINGS = (
    ("Số", "Mặt hàng", "ĐV", "Lượng", "Giá bán", "Trị giá", "VAT"),
    ("No", "Nội dung", "Tính theo", "SL", "Giá đơn vị", "Cộng", "Mức thuế"),
    ("#", "Diễn giải", "Unit", "Qty", "Price", "Amount", "Rate"),
)
_COLUMNS = ("no", "name", "unit", "quantity", "unit_price", "amount", "vat_rate")
_HEADINGS = {
    "ruled": (
        "STT",
        "Tên hàng hóa, dịch vụ",
        "Đơn vị tính",
        "Số lượng",
        "Đơn giá",
        "Thành tiền",
        "Thuế suất",
    ),
    "plain": ("STT", "Tên hàng hóa, dịch vụ (Item)", "ĐVT", "SL", "Đơn giá", "Thành tiền", "TS GTGT"),
    "open": ("TT", "Hàng hóa", "Đơn vị", "Số lượng", "Giá", "Tiền", "% thuế"),
}
_IN_CODE = ("series", "number", "issue_date", "seller_tax_code", "total")
_SHARES = (0.05, 0.37, 0.09, 0.11, 0.15, 0.16, 0.07)


def draw(rng: Random, bill: Bill, scale: float) -> tuple[Page, ...]:
    return _Printer(rng, bill, scale).print()


class _Printer:
    """Works down the page; a full page is put aside and the table goes on at the top of the next."""

    def __init__(self, rng: Random, bill: Bill, scale: float) -> None:
        self.rng, self.bill, self.scale = rng, bill, scale
        self.style, _, others = bill.layout.partition("-")
        self.words = _WORDS[self.style]
        self.headings = _HEADINGS[self.style]
        if others:
            self.words = Words(**{name: rng.choice(labels) for name, labels in _OTHERS.items()})
            self.headings = rng.choice(_OTHER_HEADINGS)
        self.pages: list[Page] = []
        self.ink: Colour = rng.choice(((0, 0, 0), (20, 20, 40), (40, 40, 40)))
        self.accent: Colour = rng.choice(((0, 0, 0), (160, 20, 20), (20, 60, 130)))
        self.red: Colour = (170, 30, 30)
        self.centred = self.style != "plain"
        several = any(path.endswith("].vat_rate") for path in bill.plan)
        shares = _SHARES if several else (*_SHARES[:1], _SHARES[1] + _SHARES[6], *_SHARES[2:6])
        width = WIDTH - 2 * MARGIN
        self.edges = [MARGIN]
        for share in shares:
            self.edges.append(self.edges[-1] + share * width)
        self._open_page()

    def print(self) -> tuple[Page, ...]:
        self._heading()
        self._parties()
        self._table()
        self._totals()
        self._code()
        self._close_page()
        return tuple(self.pages)

    def _open_page(self) -> None:
        self.canvas = Canvas(WIDTH, HEIGHT, self.scale, tint([(255, 255, 255)] * 4))
        self.face = self.canvas.face(self.bill.regular, self.bill.size)
        self.bold = self.canvas.face(self.bill.bold, self.bill.size)
        self.pitch = 1.5 * self.bill.size
        mark = self.canvas.face(self.bill.bold, 30)
        self.canvas.text(mark, WIDTH / 2, 70, MARK, self.red, align="centre")
        self.y = 130.0

    def _close_page(self, more: bool = False) -> None:
        text = f"Trang {len(self.pages) + 1}" + (" – còn tiếp" if more else "")
        self.canvas.text(self.face, WIDTH / 2, HEIGHT - 60, text, self.ink, align="centre")
        self.canvas.text(self.face, MARGIN, HEIGHT - 100, MARK, self.red)
        self.pages.append(self.canvas.page())

    def _raw(self, path: str) -> str | None:
        planned = self.bill.plan.get(path)
        return None if planned is None or path in self.bill.left_out else planned.raw

    def _shown(self, path: str) -> bool:
        return path in self.bill.plan and self.bill.left_out.get(path, True)

    def _pair(self, label: str, path: str, x: float, right: float, bold: bool = False) -> None:
        """Label and value from `x`, the value wrapped at `right`; moves on by the lines it took."""
        if not self._shown(path):
            return
        start = self.canvas.text(self.face, x, self.y, label, self.ink) + 10
        raw = self._raw(path)
        face = self.bold if bold else self.face
        if raw is not None:
            for number, part in enumerate(self.canvas.wrap(face, raw, right - x - 30, right - start)):
                self.canvas.text(face, x + 30 if number else start, self.y, part, self.ink, path)
                self.y += self.pitch
            return
        self.y += self.pitch

    def _heading(self) -> None:
        canvas, bill, words = self.canvas, self.bill, self.words
        title = canvas.face(bill.bold, 46)
        middle = WIDTH / 2 if self.centred else MARGIN
        align = "centre" if self.centred else "left"
        self.y += 30
        canvas.text(title, middle, self.y, "HÓA ĐƠN GIÁ TRỊ GIA TĂNG", self.accent, align=align)
        top, self.y = self.y, self.y + 50
        raw = self._raw("issue_date")
        if raw is not None and raw.startswith("Ngày"):
            canvas.text(self.face, middle, self.y, raw, self.ink, "issue_date", align=align)
            self.y += self.pitch
        elif self._shown("issue_date"):
            start = canvas.text(
                self.face, WIDTH / 2 - 160 if self.centred else MARGIN, self.y, words.issue_date, self.ink
            )
            canvas.text(self.face, start + 10, self.y, raw or "", self.ink, "issue_date")
            self.y += self.pitch
        if self._shown("tax_authority_code"):
            self._pair(
                words.authority, "tax_authority_code", WIDTH / 2 - 420 if self.centred else MARGIN, 1180
            )
        below = self.y
        self.y = top
        for path, label in (("form_no", words.form_no), ("series", words.series), ("number", words.number)):
            self._pair(label, path, 1230, WIDTH - MARGIN, bold=path == "number")
        self.y = max(self.y, below) + 14

    def _parties(self) -> None:
        words, right = self.words, WIDTH - MARGIN
        self._rule()
        self._pair(words.seller, "seller_name", MARGIN, right, bold=True)
        self._pair(words.tax_code, "seller_tax_code", MARGIN, right)
        self._pair(words.address, "seller_address", MARGIN, right)
        self._rule()
        if self.bill.buyer_person is not None:
            start = self.canvas.text(self.face, MARGIN, self.y, words.buyer_person, self.ink)
            self.canvas.text(self.face, start + 10, self.y, self.bill.buyer_person, self.ink)
            self.y += self.pitch
        self._pair(words.buyer, "buyer_name", MARGIN, right, bold=self.style == "open")
        self._pair(words.tax_code, "buyer_tax_code", MARGIN, right)
        self._pair(words.address, "buyer_address", MARGIN, right)
        before = self.y
        self._pair(words.payment, "payment_method", MARGIN, WIDTH / 2)
        after, self.y = self.y, before
        self._pair(words.currency, "currency", WIDTH / 2 + 60, right)
        self.y = max(after, self.y)
        self._pair(words.related, "related_invoice", MARGIN, right)
        self.y += 12

    def _rule(self) -> None:
        if self.style == "open":
            self.y += 16
            return
        self.canvas.rectangle(MARGIN, self.y - self.bill.size * 0.9, WIDTH - 2 * MARGIN, 2, self.ink)
        self.y += self.bill.size * 0.5

    def _table(self) -> None:
        self._table_head()
        carried = 0
        for index, line in enumerate(self.bill.lines):
            parts = self.canvas.wrap(self.face, line.name, self.edges[2] - self.edges[1] - 20)
            needed = self._height(parts)
            if self.y + needed > BOTTOM - self.pitch:
                self._carry("Cộng chuyển sang trang sau", carried)
                self._close_page(more=True)
                self._open_page()
                self._table_head()
                self._carry("Cộng trang trước chuyển sang", carried)
            self._row(index, parts)
            carried += line.amount

    def _table_head(self) -> None:
        self._grid(self.y - self.bill.size * 1.1, self.pitch)
        for column, heading in enumerate(self.headings[: len(self.edges) - 1]):
            left, right = self.edges[column], self.edges[column + 1]
            face = self.bold
            if self.canvas.measure(face, heading) > right - left - 8:
                face = self.canvas.face(
                    self.bill.bold, self.bill.size * (right - left - 8) / self.canvas.measure(face, heading)
                )
            self.canvas.text(face, (left + right) / 2, self.y, heading, self.ink, align="centre")
        self.y += self.pitch

    def _row(self, index: int, parts: list[str]) -> None:
        height = self._height(parts)
        self._grid(self.y - self.bill.size * 1.1, height)
        for column, name in enumerate(_COLUMNS[: len(self.edges) - 1]):
            path = f"lines[{index}].{name}"
            raw = self._raw(path)
            if raw is None:
                continue
            left, right = self.edges[column], self.edges[column + 1]
            if name == "name":
                for number, part in enumerate(parts):
                    self.canvas.text(self.face, left + 10, self.y + number * self.pitch, part, self.ink, path)
            elif name in ("no", "unit", "vat_rate"):
                self.canvas.text(self.face, (left + right) / 2, self.y, raw, self.ink, path, align="centre")
            else:
                self.canvas.text(self.face, right - 10, self.y, raw, self.ink, path, align="right")
        self.y += height

    def _height(self, parts: list[str]) -> float:
        return (len(parts) - 1) * self.pitch + self.bill.row_pitch * self.bill.size

    def _carry(self, text: str, value: int) -> None:
        self.canvas.text(self.bold, self.edges[1] + 10, self.y, text, self.ink)
        figure = amount(value, self.bill.point)
        self.canvas.text(self.bold, self.edges[6] - 10, self.y, figure, self.ink, align="right")
        self.y += self.pitch

    def _grid(self, top: float, height: float) -> None:
        """Frames of a row: every cell ("ruled"), the lower edge ("plain"), nothing ("open")."""
        if self.style == "ruled":
            self.canvas.frame(MARGIN, top, WIDTH - 2 * MARGIN, height, self.ink, 2)
            for edge in self.edges[1:-1]:
                self.canvas.rectangle(edge, top, 2, height, self.ink)
        elif self.style == "plain":
            self.canvas.rectangle(MARGIN, top + height, WIDTH - 2 * MARGIN, 1, (150, 150, 150))

    def _totals(self) -> None:
        bill, words, right = self.bill, self.words, WIDTH - MARGIN
        several = len(bill.rates) if "vat_rate" not in bill.plan else 0
        if self.y + (6 + several) * self.pitch + 180 > BOTTOM:
            self._close_page(more=True)
            self._open_page()
        self.y += 10
        self._sum(words.net, "net")
        if several:
            for rate in bill.rates:
                text = f"Thuế suất {rate.rate}: tiền hàng {amount(rate.net, bill.point)}"
                text += f", tiền thuế {amount(rate.vat, bill.point)}"
                self.canvas.text(self.face, MARGIN + 10, self.y, text, self.ink)
                self.y += self.pitch
        else:
            before = self.y
            self._pair(words.rate, "vat_rate", MARGIN + 10, 760)
            self.y = before
        self._sum(words.vat, "vat")
        self._sum(words.total, "total", bold=True)
        self._pair(words.words, "total_in_words", MARGIN + 10, right)
        self.y += 30
        for x, who in ((WIDTH * 0.25, "Người mua hàng"), (WIDTH * 0.75, "Người bán hàng")):
            self.canvas.text(self.bold, x, self.y, who, self.ink, align="centre")
            self.canvas.text(
                self.face, x, self.y + self.pitch, "(không ký: bản mẫu)", self.ink, align="centre"
            )

    def _code(self) -> None:
        """A QR code in one of its forms, where there is room; one of four invoices has none."""
        plan, size = self.bill.plan, 240
        number = int(plan["number"].raw)
        form = ("A", "B", "C", None)[number % 4]
        if form is None or self.y + size + 20 > BOTTOM:
            return
        code = {path: str(plan[path].normal) for path in _IN_CODE}
        code |= {
            "form_no": "1",
            "series": code["series"][-6:],  # where the form's digit is not printed before it
            "issue_date": code["issue_date"].replace("-", ""),
            "name": MARK,
            "authority_code": str(plan["tax_authority_code"].normal) if "tax_authority_code" in plan else "",
        }
        try:
            text = invoice_qr.build(code, form)
        except ValueError:  # too long beside an authority's code
            text = invoice_qr.build(code, "B")
        self.canvas.modules(qr(text), (WIDTH - size) / 2, self.y - 10, size)

    def _sum(self, label: str, path: str, bold: bool = False) -> None:
        """A total: label in the middle of the page, figure under the amounts."""
        if self._shown(path):
            face = self.bold if bold else self.face
            self.canvas.text(face, self.edges[4] - 20, self.y, label, self.ink, align="right")
            raw = self._raw(path)
            if raw is not None:
                self.canvas.text(face, self.edges[6] - 10, self.y, raw, self.ink, path, align="right")
        self.y += self.pitch
