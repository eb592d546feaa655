"""Till receipts: one family of layouts, up to five wares, large type."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from random import Random

from pipeline.specimens.canvas import Canvas, Colour, tint
from pipeline.specimens.fonts import SETS, Face
from pipeline.specimens.form import absent
from pipeline.specimens.people import between
from pipeline.specimens.specimen import MARK, Page, Value
from pipeline.specimens.trade import Trade, amount

WIDTH = 720
HEADINGS = ("HÓA ĐƠN BÁN LẺ", "PHIẾU THANH TOÁN", "HÓA ĐƠN THANH TOÁN", "PHIẾU TÍNH TIỀN")
LAYOUTS = {
    "standard": ("columns", "stacked"),
    "held-out": ("stacked-right",),
    "varied": ("columns-varied", "stacked-varied"),
}
_LABELS = {
    "tax_code": ("MST:", "Mã số thuế:"),
    "address": ("Địa chỉ:", "Đ/c:", ""),
    "number": ("Số HĐ:", "Số:", "HĐ số:"),
    "date": ("Ngày:", "Ngày bán:"),
    "total": ("Tổng cộng:", "TỔNG CỘNG:", "Tổng tiền:"),
    "paid": ("Tiền khách đưa:", "Khách đưa:", "Khách trả:"),
    "change": ("Tiền thừa:", "Trả lại:", "Tiền thối lại:"),
}
_OTHER_LABELS = {  # of the layouts "varied"
    "tax_code": ("Mã thuế:", "MS thuế:", "Mã số DN:"),
    "address": ("Tại:",),
    "number": ("Mã HĐ:", "Bill:", "Phiếu số:", "Mã đơn:", "Số phiếu:"),
    "date": ("Thời gian:", "Lúc:", "Ngày in:", "Giờ bán:"),
    "total": ("Cộng:", "Phải trả:", "Tổng thanh toán:", "Tổng:", "Cần thanh toán:"),
    "paid": ("Tiền nhận:", "Đã nhận:", "Khách trả tiền:", "Nhận của khách:"),
    "change": ("Thối lại:", "Còn lại:", "Hoàn lại:", "Tiền trả khách:"),
}
_OTHER_COLUMNS = (("S.L", "Giá", "Tiền"), ("Lượng", "Giá bán", "Cộng"), ("Số", "Giá lẻ", "Trị giá"))


@dataclass(frozen=True, slots=True)
class Slip:
    """Everything about a receipt before it is drawn."""

    layout: str
    family: str
    regular: str
    bold: str
    plan: dict[str, Value]
    left_out: dict[str, bool]
    wares: int


def plan(rng: Random, fonts: str, layouts: str, blank: float, invented: float) -> Slip:
    trade = Trade(rng, invented)
    family = rng.choice(SETS[fonts])
    shop = trade.shop()
    point = rng.choice(".,")
    values = {
        "store": Value(shop.name, shop.name),
        "tax_code": Value(shop.tax_code, shop.tax_code),
        "address": Value(shop.address, shop.address),
    }
    code = rng.choice(("HD", "", "B", "BH", "PT")) + f"{rng.randint(1, 999_999):06d}"
    values["number"] = Value(code, code)
    day = between(rng, date(2023, 1, 1), date(2026, 10, 31))
    clock = f" {rng.randint(6, 22):02d}:{rng.randint(0, 59):02d}" if rng.random() < 0.6 else ""
    values["date"] = Value(f"{day:%d/%m/%Y}{clock}", day.isoformat())
    count = rng.randint(1, 5)
    total = 0
    for index in range(count):
        name, price = trade.ware()
        quantity = rng.choices((1, 2, 3, 4, 5, 6, 10, 12), (9, 7, 4, 2, 2, 1, 1, 1))[0]
        cost = quantity * price
        total += cost
        values[f"lines[{index}].name"] = Value(name, name)
        values[f"lines[{index}].quantity"] = Value(str(quantity), str(quantity))
        values[f"lines[{index}].unit_price"] = Value(amount(price, point), str(price))
        values[f"lines[{index}].amount"] = Value(amount(cost, point), str(cost))
    values["total"] = Value(amount(total, point), str(total))
    if rng.random() < 0.75:
        step = rng.choice((1000, 10_000, 50_000, 100_000, 500_000))
        paid = -(-total // step) * step
        values["paid"] = Value(amount(paid, point), str(paid))
        values["change"] = Value(amount(paid - total, point), str(paid - total))
    return Slip(
        layout=rng.choice(LAYOUTS[layouts]),
        family=family.name,
        regular=family.regular,
        bold=family.bold,
        plan=values,
        left_out=absent(rng, list(values), blank),
        wares=count,
    )


def draw(rng: Random, slip: Slip, scale: float) -> Page:
    most_lines = 12 + slip.wares * (1 if slip.layout.startswith("columns") else 2)
    height = max(rng.randint(690, 860), 40 + 34 * most_lines)  # short paper, so that a tile shows large type
    white = rng.randint(240, 255)
    canvas = Canvas(WIDTH, height, scale, tint([(white, white, white - rng.randint(0, 12))] * 4))
    return _Till(rng, slip, canvas, height).print()


class _Till:
    """Prints a slip line by line; the pitch is chosen so that the lines fill the paper."""

    def __init__(self, rng: Random, slip: Slip, canvas: Canvas, height: float) -> None:
        self.rng, self.slip, self.canvas = rng, slip, canvas
        self.advance = rng.uniform(15.0, 16.2)
        dark = rng.randint(10, 70)
        self.ink: Colour = (dark, dark, dark)
        self.face = canvas.face_of_advance(slip.regular, self.advance)
        self.bold = canvas.face_of_advance(slip.bold, self.advance)
        self.left, self.right = 22.0, WIDTH - 22.0
        self.height = height
        self.baseline = 0.0
        self.varied = slip.layout.endswith("-varied")
        self.labels = _OTHER_LABELS if self.varied else _LABELS

    def print(self) -> Page:
        rng, slip = self.rng, self.slip
        address = self._address_lines()
        stacked = not slip.layout.startswith("columns")
        rows_of_wares = slip.wares * (2 if stacked else 1)
        tail = sum(self._shown(path) for path in ("total", "paid", "change"))
        together = rng.random() < 0.7  # number and date on one line
        lines = 1 + len(address) + 1 + 1 + (1 if together else 2) + 1 + rows_of_wares + tail + 1
        em = self.face.size / self.canvas.scale
        pitch = min(1.75 * em, (self.height - 40) / lines)
        self.baseline = 24 + 0.8 * em + rng.uniform(0, max(0.0, self.height - 44 - pitch * lines))
        self.pitch = pitch
        centre = WIDTH / 2
        if self._filled("store"):
            self._fit(self.bold, centre, slip.plan["store"].raw, "store")
        self._next()
        for text, path in address:
            self.canvas.text(self.face, centre, self.baseline, text, self.ink, path, align="centre")
            self._next()
        self._pair("tax_code", self.left, centred=True)
        self._next()
        title = self.canvas.face_of_advance(slip.bold, self.advance * 1.1)
        self.canvas.text(title, centre, self.baseline, rng.choice(HEADINGS), self.ink, align="centre")
        self._next()
        self._pair("number", self.left)
        if not together:
            self._next()
        self._pair("date", self.left if not together else None)
        self._next()
        self._wares(stacked)
        self._totals()
        red = (rng.randint(140, 190), 30, 30)
        self._fit(self.face, centre, MARK, None, red)
        return self.canvas.page()

    def _next(self) -> None:
        self.baseline += self.pitch

    def _shown(self, path: str) -> bool:
        return path in self.slip.plan and self.slip.left_out.get(path, True)

    def _filled(self, path: str) -> bool:
        return path in self.slip.plan and path not in self.slip.left_out

    def _fit(self, face: Face, x: float, text: str, path: str | None, colour: Colour | None = None) -> None:
        """A centred line, in smaller type if it is too long."""
        width = self.canvas.measure(face, text)
        if width > self.right - self.left:
            name = self.slip.bold if face is self.bold else self.slip.regular
            face = self.canvas.face_of_advance(name, self.advance * (self.right - self.left) / width)
        self.canvas.text(face, x, self.baseline, text, colour or self.ink, path, align="centre")

    def _address_lines(self) -> list[tuple[str, str | None]]:
        if not self._shown("address"):
            return []
        label = self.rng.choice(self.labels["address"])
        if not self._filled("address"):
            return [(label, None)] if label else []
        text = self.slip.plan["address"].raw
        parts = self.canvas.wrap(self.face, text, self.right - self.left)
        return [(part, "address") for part in parts]

    def _pair(self, path: str, x: float | None, centred: bool = False) -> None:
        """A label and its value: from `x`, centred, or (None) set against the right edge."""
        if not self._shown(path):
            return
        label = self.rng.choice([text for text in self.labels[path] if text])
        gap = self.canvas.measure(self.face, "n") * 0.6
        value = self.slip.plan[path].raw if self._filled(path) else ""
        width = self.canvas.measure(self.face, label) + gap + self.canvas.measure(self.face, value)
        if centred:
            x = (WIDTH - width) / 2
        elif x is None:
            x = self.right - width
        end = self.canvas.text(self.face, x, self.baseline, label, self.ink)
        if value:
            self.canvas.text(self.face, end + gap, self.baseline, value, self.ink, path)

    def _wares(self, stacked: bool) -> None:
        edges = (self.right - 290, self.right - 150, self.right)
        if stacked:
            edges = (self.left + 120, self.left + 360, self.right)
        headings = ("SL", "Đơn giá", "Thành tiền") if stacked else ("SL", "Đ.giá", "T.tiền")
        if self.varied:
            headings = self.rng.choice(_OTHER_COLUMNS)
        if self.slip.layout != "stacked-right":
            self.canvas.text(
                self.bold, self.left, self.baseline, "Tên hàng" if not stacked else "Tên", self.ink
            )
        for edge, heading in zip(edges, headings, strict=True):
            self.canvas.text(self.bold, edge, self.baseline, heading, self.ink, align="right")
        self._rule(self.baseline + self.pitch * 0.3)
        self._next()
        for index in range(self.slip.wares):
            prefix = f"lines[{index}]."
            if self._filled(f"{prefix}name"):
                name = self.slip.plan[f"{prefix}name"].raw
                self.canvas.text(self.face, self.left, self.baseline, name, self.ink, f"{prefix}name")
            if stacked:
                self._next()
            for edge, part in zip(edges, ("quantity", "unit_price", "amount"), strict=True):
                path = prefix + part
                if self._filled(path):
                    raw = self.slip.plan[path].raw
                    self.canvas.text(self.face, edge, self.baseline, raw, self.ink, path, align="right")
            self._next()

    def _totals(self) -> None:
        self._rule(self.baseline - self.pitch * 0.75)
        for path in ("total", "paid", "change"):
            if not self._shown(path):
                continue
            face = self.bold if path == "total" else self.face
            self.canvas.text(face, self.left, self.baseline, self.rng.choice(self.labels[path]), self.ink)
            if self._filled(path):
                raw = self.slip.plan[path].raw
                self.canvas.text(face, self.right, self.baseline, raw, self.ink, path, align="right")
            self._next()

    def _rule(self, y: float) -> None:
        self.canvas.rectangle(self.left, y, self.right - self.left, 2, self.ink)
