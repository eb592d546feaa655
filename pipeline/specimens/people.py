"""Invented people of Vietnam: names, birth dates, numbers, addresses. Province 099 is assigned to nobody."""

from __future__ import annotations

import calendar
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

SURNAMES = (
    "Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Đinh Trịnh Mai Lương "
    "Đào Hà Đoàn Tạ Cao Chu Châu Quách Thái Tô Vương Kiều Lưu Tống Lâm Nghiêm Triệu Phùng La Mạc"
).split()
MALE_MIDDLE = "Văn Hữu Đức Minh Quốc Gia Xuân Công Đình Thanh Tuấn Anh Quang Ngọc Trọng Bá Duy Thế".split()
FEMALE_MIDDLE = (
    "Thị Ngọc Thu Kim Thanh Hồng Phương Thùy Mỹ Như Bích Diệu Khánh Minh Quỳnh Ánh Hải Cẩm".split()
)
MALE_GIVEN = (
    "An Bình Chiến Cường Dũng Đạt Đức Giang Hải Hiếu Hòa Hoàng Hùng Huy Khoa Khôi Kiên Lâm Long Lộc Mạnh "
    "Nam Nghĩa Nhân Phong Phúc Quân Quyết Sơn Tài Tâm Thành Thắng Thịnh Toàn Trí Trung Tú Tuấn Tùng Việt Vinh Vũ Ý"
).split()
FEMALE_GIVEN = (
    "Anh Ánh Châu Chi Diễm Dung Đào Giang Hà Hạnh Hằng Hiền Hoa Hòa Huệ Hương Huyền Lan Linh Loan Ly Mai My Nga "
    "Ngân Nhi Nhung Oanh Phượng Quyên Quỳnh Tâm Thảo Thơm Thúy Thư Trang Trinh Tuyết Uyên Vân Vy Xuân Yến"
).split()
PROVINCES = (
    "Hà Nội|Hải Phòng|Đà Nẵng|Cần Thơ|Huế|TP. Hồ Chí Minh|An Giang|Bắc Ninh|Cà Mau|Cao Bằng|Đắk Lắk|Điện Biên|"
    "Đồng Nai|Đồng Tháp|Gia Lai|Hà Tĩnh|Hưng Yên|Khánh Hòa|Lai Châu|Lạng Sơn|Lào Cai|Lâm Đồng|Nghệ An|Ninh Bình|"
    "Phú Thọ|Quảng Ngãi|Quảng Ninh|Quảng Trị|Sơn La|Tây Ninh|Thái Nguyên|Thanh Hóa|Tuyên Quang|Vĩnh Long|"
    "Bắc Giang|Bến Tre|Bình Dương|Bình Định|Bình Thuận|Hà Giang|Hà Nam|Hải Dương|Hòa Bình|Kiên Giang|Kon Tum|"
    "Long An|Nam Định|Phú Yên|Quảng Nam|Sóc Trăng|Thái Bình|Tiền Giang|Trà Vinh|Vĩnh Phúc|Yên Bái"
).split("|")
PLACE_FIRST = (
    "An Bình Cẩm Chánh Diên Đại Đông Đức Gia Hải Hòa Hoài Hưng Khánh Kim Lạc Liên Long Minh Mỹ Nam Nghĩa Nhơn Ninh "
    "Phú Phước Quang Quảng Quỳnh Sơn Tam Tân Tây Thạch Thanh Thiện Thọ Thuận Thượng Tiên Trung Trường Văn Vĩnh Xuân Yên"
).split()
PLACE_LAST = (
    "An Bình Cát Châu Dương Đài Định Đông Đức Giang Hà Hải Hậu Hiệp Hòa Hội Hưng Khê Khánh Lãnh Lâm Lập Lộc Lợi Long "
    "Lương Mỹ Ngãi Nghĩa Ninh Phong Phú Phúc Phước Quý Sơn Tây Thái Thắng Thành Thịnh Thọ Thủy Tiến Trạch Trị Vân Xá"
).split()
STREETS = (
    "Lê Lợi|Trần Hưng Đạo|Nguyễn Huệ|Hai Bà Trưng|Lý Thường Kiệt|Quang Trung|Nguyễn Trãi|Lê Duẩn|Hùng Vương|"
    "Phan Chu Trinh|Phan Bội Châu|Điện Biên Phủ|Cách Mạng Tháng 8|Võ Thị Sáu|Nguyễn Văn Cừ|Lạc Long Quân|Âu Cơ|"
    "Hoàng Diệu|Ngô Quyền|Bà Triệu|Trường Chinh|Tôn Đức Thắng|Kim Mã|Láng Hạ|Xuân Thủy|Cầu Giấy|Giải Phóng|"
    "Nguyễn Đình Chiểu|Phạm Ngũ Lão|Bùi Thị Xuân|Tô Hiến Thành|Đinh Tiên Hoàng|Yết Kiêu|Nguyễn Tất Thành"
).split("|")
FEATURES = (
    "Nốt ruồi|Sẹo chấm|Sẹo dài|Nốt ruồi nhỏ|Sẹo lồi|Vết chàm",
    "sau đuôi mắt|dưới mép|trên đầu lông mày|trước cánh mũi|dưới cằm|sau mép|trên má|trước dái tai",
)
_ONSETS = ("", *"b c ch d đ g gh h k kh l m n ng nh p ph qu r s t th tr v x".split())
_VOWELS = "a ă â e ê i o ô ơ u ư y ia iê ươ uô oa oe uy ai ao au âu ay ây eo êu iu oi ôi ơi ui ưi".split()
_CODAS = ("", "", "", *"c ch m n ng nh p t".split())
_TONES = ("", "\u0300", "\u0301", "\u0309", "\u0303", "\u0323")


@dataclass(frozen=True, slots=True)
class Person:
    full_name: str  # in capitals, as cards print it
    sex: str  # Nam or Nữ
    birth: date
    number: str  # 12 digits, province 099
    origin: str
    residence: str
    feature: str  # personal identification


class People:
    """A source of invented people. `invented` is the share of words that are random syllables: a reader that
    learns from them must look at every letter instead of guessing the name."""

    def __init__(self, rng: Random, invented: float = 0.0) -> None:
        self.rng = rng
        self.invented = invented

    def person(self, on: date) -> Person:
        """Someone aged 14 to 85 on the day `on`."""
        rng = self.rng
        sex = rng.choice(("Nam", "Nữ"))
        birth = on - timedelta(days=rng.randint(14 * 366, 85 * 365))
        return Person(
            full_name=self.name(sex).upper(),
            sex=sex,
            birth=birth,
            number=number(rng, sex, birth),
            origin=self.commune(),
            residence=self.address(),
            feature=self.feature(),
        )

    def name(self, sex: str) -> str:
        middle, given = (MALE_MIDDLE, MALE_GIVEN) if sex == "Nam" else (FEMALE_MIDDLE, FEMALE_GIVEN)
        count = self.rng.choices((0, 1, 2), (1, 8, 4))[0]
        parts = (self.word(SURNAMES), *(self.word(middle) for _ in range(count)), self.word(given))
        return " ".join(parts)

    def commune(self) -> str:
        """A commune or ward and its province, at most about 40 characters."""
        kind = self.rng.choice(("Xã", "Phường", "Xã", "P.", "Thị trấn"))
        return f"{kind} {self._place()}, {self.province()}"

    def address(self) -> str:
        """Street or village, commune, province: 25 to 70 characters."""
        rng = self.rng
        pick = rng.random()
        if pick < 0.45:
            street = self.word(STREETS) if rng.random() >= self.invented else self._place()
            start = f"{self.house()} {rng.choice(('', '', 'Đường ', 'Phố '))}{street}"
        elif pick < 0.75:
            start = f"{rng.choice(('Thôn', 'Ấp', 'Xóm', 'Khóm', 'Bản'))} {self._place()}"
        else:
            start = f"{rng.choice(('Tổ', 'Khu', 'Thôn', 'Ấp', 'Tổ dân phố'))} {rng.randint(1, 24)}"
        return f"{start}, {self.commune()}"

    def house(self) -> str:
        rng = self.rng
        plain = str(rng.randint(1, 999))
        return rng.choice((plain, f"Số {plain}", f"{plain}/{rng.randint(1, 99)}", plain + rng.choice("ABC")))

    def province(self) -> str:
        return self.word(PROVINCES)

    def feature(self) -> str:
        rng = self.rng
        what, where = (rng.choice(choices.split("|")) for choices in FEATURES)
        distance = rng.choice(("1cm", "1,5cm", "2cm", "0,5cm", "2,5cm", "3cm"))
        return f"{what} c: {distance} {where} {rng.choice(('trái', 'phải'))}"

    def word(self, choices: tuple[str, ...] | list[str]) -> str:
        return self.syllable() if self.rng.random() < self.invented else self.rng.choice(choices)

    def syllable(self) -> str:
        """A random, capitalised, writable syllable; most mean nothing."""
        rng = self.rng
        vowels = rng.choice(_VOWELS)
        at = 0 if len(vowels) == 1 else rng.choice((0, len(vowels) - 1))
        toned = unicodedata.normalize("NFC", vowels[at] + rng.choice(_TONES))
        text = rng.choice(_ONSETS) + vowels[:at] + toned + vowels[at + 1 :] + rng.choice(_CODAS)
        return text[0].upper() + text[1:]

    def _place(self) -> str:
        return f"{self.word(PLACE_FIRST)} {self.word(PLACE_LAST)}"


def number(rng: Random, sex: str, birth: date) -> str:
    """Province 099, century and sex, two digits of the birth year, six more."""
    century = 2 * (birth.year // 100 - 19) + (sex == "Nữ")
    return f"099{century}{birth.year % 100:02d}{rng.randint(0, 999_999):06d}"


def expiry(birth: date, issued: date) -> date | None:
    """The last valid day: the birthday at 25, 40 or 60 (the next one when less than two years away); None: for life."""
    for age in (14, 25, 40, 60):
        last = birthday(birth, age)
        if issued < birthday(birth, age - 2):
            return last
    return None


def birthday(birth: date, age: int) -> date:
    year = birth.year + age
    day = 28 if (birth.month, birth.day) == (2, 29) and not calendar.isleap(year) else birth.day
    return birth.replace(year=year, day=day)


def between(rng: Random, first: date, last: date) -> date:
    return first + timedelta(days=rng.randint(0, (last - first).days))


def printed(day: date) -> str:
    return f"{day:%d/%m/%Y}"
