"""Pages on which nothing is to be found: empty paper, and letters and notices of another kind."""

from __future__ import annotations

from datetime import date
from random import Random

from pipeline.specimens.canvas import Canvas, tint
from pipeline.specimens.fonts import SETS
from pipeline.specimens.people import People, between, printed
from pipeline.specimens.specimen import MARK, Page

SIZES = ((1012, 638), (720, 860), (760, 1075))
TITLES = (
    "GIẤY MỜI",
    "THÔNG BÁO",
    "ĐƠN XIN NGHỈ PHÉP",
    "BIÊN BẢN HỌP",
    "LỊCH TRỰC",
    "GIẤY GIỚI THIỆU",
    "THƯ CẢM ƠN",
)
SENTENCES = (
    "Kính gửi ông bà {name},",
    "Chúng tôi trân trọng thông báo buổi họp sẽ diễn ra vào ngày {date}.",
    "Địa điểm: {place}.",
    "Đề nghị các đơn vị chuẩn bị tài liệu trước {hour} giờ.",
    "Người phụ trách: {name}, điện thoại 0990 {digits}.",
    "Mọi ý kiến xin gửi về văn phòng tại {place}.",
    "Lớp học tổ chức từ {date} đến hết tháng sau.",
    "Số người tham dự dự kiến là {hour} người.",
    "Xin chân thành cảm ơn sự hợp tác của quý vị.",
    "Đoàn khởi hành lúc {hour} giờ từ {place}.",
    "Thư viện mở cửa các ngày trong tuần, trừ ngày lễ.",
    "Bà con mang theo nước uống và áo mưa.",
)


def empty(rng: Random, scale: float) -> Page:
    """A sheet with nothing on it, not even the mark."""
    return _sheet(rng, scale).page()


def letter(rng: Random, fonts: str, scale: float, invented: float) -> tuple[Page, str]:
    """A letter or notice, and the family that it is set in."""
    canvas = _sheet(rng, scale)
    width, height = canvas.width / scale, canvas.height / scale
    family = rng.choice(SETS[fonts])
    people = People(rng, invented)
    face = canvas.face_of_advance(family.regular, rng.uniform(13, 18) * width / 860)
    bold = canvas.face_of_advance(family.bold, rng.uniform(18, 24) * width / 860)
    dark = rng.randint(10, 70)
    ink = (dark, dark, dark)
    pitch = rng.uniform(1.3, 1.8) * face.size / scale
    y = 40 + pitch
    canvas.text(face, width / 2, y, MARK, (rng.randint(140, 200), 30, 30), align="centre")
    y += 2 * pitch
    canvas.text(bold, width / 2, y, rng.choice(TITLES), ink, align="centre")
    y += 2 * pitch
    while y < height - 2 * pitch:
        sentence = rng.choice(SENTENCES).format(
            name=people.name(rng.choice(("Nam", "Nữ"))),
            date=printed(between(rng, date(2020, 1, 1), date(2026, 12, 31))),
            place=people.commune(),
            hour=rng.randint(6, 21),
            digits=rng.randint(100_000, 999_999),
        )
        for line in canvas.wrap(face, sentence, width - 80):
            if y < height - pitch:
                canvas.text(face, 40, y, line, ink)
            y += pitch
        y += 0.3 * pitch
    return canvas.page(), family.name


def _sheet(rng: Random, scale: float) -> Canvas:
    width, height = rng.choice(SIZES)
    colours = [
        (white, white - rng.randint(0, 12), white - rng.randint(0, 20))
        for white in (rng.randint(225, 255) for _ in range(4))
    ]
    return Canvas(width, height, scale, tint(colours))
