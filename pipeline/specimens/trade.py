"""Invented trade: companies, shops, tax codes that begin with 99, goods with units and prices, printed numbers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from random import Random

from pipeline.specimens.people import PLACE_FIRST, PLACE_LAST, People

KINDS_OF_SHOP = (
    "Cửa hàng|Siêu thị|Tạp hóa|Quán|Nhà hàng|Mini mart|Tiệm|Nhà thuốc|Nhà sách|Cà phê|Trà sữa|Bánh mì".split(
        "|"
    )
)
FORMS = ("CÔNG TY TNHH", "CÔNG TY CỔ PHẦN", "CÔNG TY TNHH MTV", "CÔNG TY CP", "HỢP TÁC XÃ", "DNTN")
TRADES = (
    "THƯƠNG MẠI|DỊCH VỤ|XÂY DỰNG|THIẾT BỊ|THỰC PHẨM|VẬN TẢI|CÔNG NGHỆ|IN ẤN|NỘI THẤT|VẬT LIỆU|NÔNG SẢN|MAY MẶC|"
    "THƯƠNG MẠI DỊCH VỤ|SẢN XUẤT VÀ THƯƠNG MẠI|TƯ VẤN|GIẢI PHÁP|CƠ KHÍ|ĐIỆN TỬ|DƯỢC PHẨM|LOGISTICS"
).split("|")
WARES = (
    ("Cà phê sữa", 25), ("Cà phê đen", 20), ("Trà đào", 30), ("Trà sữa", 35), ("Nước suối", 6), ("Bánh mì", 18),
    ("Phở bò", 50), ("Phở gà", 45), ("Bún chả", 45), ("Bún bò Huế", 50), ("Cơm tấm", 40), ("Cơm rang", 45),
    ("Mì tôm", 5), ("Sữa tươi", 8), ("Sữa chua", 7), ("Đường trắng", 24), ("Gạo ST25", 38), ("Nước mắm", 45),
    ("Dầu ăn", 52), ("Trứng gà", 32), ("Bột giặt", 65), ("Dầu gội", 89), ("Kem đánh răng", 32), ("Khăn giấy", 12),
    ("Xà phòng", 15), ("Bia lon", 17), ("Nước ngọt", 10), ("Kẹo dừa", 22), ("Bánh quy", 28), ("Mứt gừng", 40),
    ("Chè khô", 75), ("Hạt điều", 120), ("Bút bi", 5), ("Vở ô ly", 9), ("Thước kẻ", 7), ("Giấy A4", 72),
    ("Pin AA", 16), ("Bóng đèn", 48), ("Ổ cắm điện", 95), ("Khẩu trang", 30), ("Muối tôm", 14), ("Cá hộp", 26),
    ("Xúc xích", 34), ("Thịt heo", 130), ("Cá thu", 180), ("Rau muống", 8), ("Cải ngọt", 10), ("Cam sành", 35),
    ("Xoài cát", 55), ("Chuối già", 20), ("Bưởi da xanh", 60), ("Thanh long", 25), ("Nem chua", 42), ("Giò lụa", 90),
)  # fmt: skip
GOODS = (
    ("Giấy in A4 Double A 70gsm", "Ram", 68), ("Mực in laser HP 76A", "Hộp", 1450), ("Bàn làm việc 1m4", "Cái", 2350),
    ("Ghế xoay văn phòng", "Cái", 1180), ("Máy tính xách tay 14 inch", "Chiếc", 18900), ("Màn hình LCD 24 inch", "Chiếc", 3290),
    ("Dịch vụ vận chuyển hàng hóa nội thành", "Chuyến", 850), ("Phí bảo trì phần mềm kế toán", "Tháng", 1500),
    ("Cước dịch vụ Internet cáp quang", "Tháng", 660), ("Xi măng PCB40", "Bao", 89), ("Thép cây phi 12", "Cây", 185),
    ("Cát xây dựng", "m3", 320), ("Gạch ống 4 lỗ", "Viên", 1), ("Sơn nước nội thất 18 lít", "Thùng", 1620),
    ("Dây điện đơn 2.5mm2", "Mét", 9), ("Ống nhựa PVC D90", "Mét", 58), ("Gạo thơm lài", "Kg", 19), ("Dầu ăn 5 lít", "Can", 215),
    ("Nước khoáng 500ml", "Thùng", 92), ("Cà phê rang xay", "Kg", 240), ("Áo sơ mi đồng phục", "Cái", 185),
    ("Tư vấn thiết kế nội thất", "Gói", 12500), ("In tờ rơi A5 hai mặt", "Tờ", 1), ("Suất ăn công nghiệp", "Suất", 32),
    ("Thuê xe 16 chỗ", "Ngày", 1700), ("Phân bón NPK 16-16-8", "Bao", 610), ("Thức ăn chăn nuôi", "Bao", 355),
    ("Máy bơm nước 1HP", "Chiếc", 2150), ("Bình chữa cháy 4kg", "Bình", 265), ("Găng tay bảo hộ", "Đôi", 14),
    ("Điều hòa không khí 12000BTU bao gồm công lắp đặt và vật tư", "Bộ", 9850), ("Vé máy bay khứ hồi Hà Nội - Đà Nẵng", "Vé", 2780),
)  # fmt: skip
_CHECK_WEIGHTS = (31, 29, 23, 19, 17, 13, 7, 5, 3)


@dataclass(frozen=True, slots=True)
class Company:
    name: str
    tax_code: str
    address: str


class Trade:
    """A source of invented companies, shops and goods."""

    def __init__(self, rng: Random, invented: float = 0.0) -> None:
        self.rng = rng
        self.people = People(rng, invented)

    def company(self, branch: float = 0.1) -> Company:
        rng = self.rng
        own = " ".join(self.people.word(PLACE_FIRST + PLACE_LAST) for _ in range(rng.randint(1, 2))).upper()
        trade = rng.choice(TRADES)
        name = f"{rng.choice(FORMS)} {trade} {own}"
        return Company(name, tax_code(rng, branch), self.people.address())

    def shop(self) -> Company:
        rng = self.rng
        own = f"{self.people.word(PLACE_FIRST)} {self.people.word(PLACE_LAST)}"
        name = f"{rng.choice(KINDS_OF_SHOP)} {own}"
        if rng.random() < 0.4:
            name = name.upper()
        return Company(name, tax_code(rng, 0.0), self.people.address())

    def ware(self) -> tuple[str, int]:
        """A short name (at most about 16 letters) and a price in đồng."""
        rng = self.rng
        name, thousands = rng.choice(WARES)
        if rng.random() < self.people.invented:
            name = " ".join(self.people.syllable() for _ in range(2))
        if rng.random() < 0.25 and len(name) <= 9:
            name = f"{name} {rng.choice(('lớn', 'nhỏ', 'đá', 'gói', '1kg', '500g', 'hộp', 'x2'))}"
        price = thousands * 1000 * rng.choice((80, 90, 95, 100, 100, 105, 110, 120, 125)) // 100
        return name, price // 500 * 500 or 500

    def good(self) -> tuple[str, str, int]:
        """A name, a unit and a price in đồng."""
        rng = self.rng
        name, unit, thousands = rng.choice(GOODS)
        price = thousands * 1000 * rng.randint(80, 130) // 100
        return name, unit, price // 100 * 100


def tax_code(rng: Random, branch: float) -> str:
    """Ten digits from 99 with the right check digit; with chance `branch` followed by "-001" and so on."""
    while True:
        stem = f"99{rng.randint(0, 9_999_999):07d}"
        check = 10 - sum(w * int(d) for w, d in zip(_CHECK_WEIGHTS, stem, strict=True)) % 11
        if 0 <= check <= 9:
            return f"{stem}{check}" + (f"-{rng.randint(1, 12):03d}" if rng.random() < branch else "")


def amount(value: int | Decimal, point: str) -> str:
    """Thousands parted by `point` ("." or ","), the other one before decimals: 1.234.567,5 or 1,234,567.5."""
    whole, _, decimals = format(Decimal(value), "f").partition(".")
    text = f"{int(whole):,}".replace(",", point)
    return f"{text}{',' if point == '.' else '.'}{decimals}" if decimals else text
