"""Identity cards: the 2021 form (căn cước công dân) and the 2024 form (căn cước), front and back.

No emblem, hologram, signature or face: a plain silhouette, a plain chip, and the specimen mark on every side.
A side's truth holds what is printed on that side alone; the MRZ is one value, its name and number are not
read into the other fields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from random import Random

from pipeline.specimens.canvas import Canvas, Colour, tint
from pipeline.specimens.codes import idle_qr, qr, silhouette
from pipeline.specimens.fonts import MONO_SETS, SETS
from pipeline.specimens.form import Area, Item, Style, absent, flow, items, printed
from pipeline.specimens.people import People, Person, between, expiry
from pipeline.specimens.people import printed as on_paper
from pipeline.specimens.specimen import MARK, Page, Value
from schemas import mrz

WIDTH, HEIGHT = 1012, 638  # a card of 85.6 × 54 mm at 300 dpi
FORMS = ("2021", "2024")
FOR_LIFE = "Không thời hạn"
_PASTELS: tuple[Colour, ...] = (
    (214, 236, 228),
    (228, 240, 214),
    (236, 232, 208),
    (208, 230, 240),
    (240, 226, 216),
    (226, 222, 240),
)


@dataclass(frozen=True, slots=True)
class Look:
    """How one printing house sets a card. `labels`: Vietnamese and English, or Vietnamese alone."""

    name: str
    labels: str
    photo_left: bool
    expiry_under_photo: bool
    hang: bool
    name_below: bool
    value_bold: bool


LOOKS: dict[str, tuple[Look, ...]] = {
    "standard": (
        Look("a", "both", True, True, True, True, False),
        Look("b", "both", True, False, False, False, True),
        Look("c", "vi", True, True, False, False, False),
        Look("d", "vi", True, False, True, True, True),
    ),
    "held-out": (
        Look("x", "vi", False, False, True, False, False),
        Look("y", "both", False, True, False, True, True),
    ),
    "varied": (
        Look("v", "both", True, False, True, False, False),
        Look("w", "vi", True, True, True, False, True),
        Look("z", "vi", True, False, False, True, False),
    ),
}
_LABELS: dict[str, dict[str, tuple[str, str]]] = {
    "2021": {
        "number": ("Số", "No."),
        "full_name": ("Họ và tên", "Full name"),
        "date_of_birth": ("Ngày sinh", "Date of birth"),
        "sex": ("Giới tính", "Sex"),
        "nationality": ("Quốc tịch", "Nationality"),
        "place_of_origin": ("Quê quán", "Place of origin"),
        "place_of_residence": ("Nơi thường trú", "Place of residence"),
        "expiry": ("Có giá trị đến", "Date of expiry"),
        "personal_identification": ("Đặc điểm nhận dạng", "Personal identification"),
        "issue_date": ("Ngày, tháng, năm", "Date, month, year"),
    },
    "2024": {
        "number": ("Số định danh cá nhân", "Personal identification number"),
        "full_name": ("Họ, chữ đệm và tên khai sinh", "Full name"),
        "date_of_birth": ("Ngày, tháng, năm sinh", "Date of birth"),
        "sex": ("Giới tính", "Sex"),
        "nationality": ("Quốc tịch", "Nationality"),
        "place_of_residence": ("Nơi cư trú", "Place of residence"),
        "birth_registration": ("Nơi đăng ký khai sinh", "Place of birth"),
        "issue_date": ("Ngày, tháng, năm cấp", "Date of issue"),
        "expiry": ("Ngày, tháng, năm hết hạn", "Date of expiry"),
    },
}
_OTHER_LABELS: dict[str, tuple[tuple[str, str], ...]] = {  # of the looks "varied"
    "number": (("Số CCCD", "ID No."), ("Mã số", "Number"), ("Số thẻ", "Card No.")),
    "full_name": (("Tên đầy đủ", "Name"), ("Họ tên", "Holder"), ("Tên", "Name")),
    "date_of_birth": (("Sinh ngày", "Born"), ("Ngày tháng năm sinh", "Birth date")),
    "sex": (("Giới", "Gender"), ("Nam hay nữ", "Gender")),
    "nationality": (("Quốc gia", "Citizenship"), ("Công dân nước", "Citizen of")),
    "place_of_origin": (("Nguyên quán", "Origin"), ("Quê", "Home town"), ("Gốc ở", "Origin")),
    "place_of_residence": (("Địa chỉ", "Address"), ("Chỗ ở", "Address"), ("Thường trú tại", "Lives at")),
    "expiry": (("Hạn dùng", "Valid until"), ("Hết hạn", "Expires"), ("Giá trị tới", "Until")),
    "personal_identification": (("Dấu vết riêng", "Marks"), ("Nhận dạng", "Features")),
    "issue_date": (("Cấp ngày", "Issued"), ("Lập ngày", "Issued on"), ("Ngày làm thẻ", "Made on")),
    "birth_registration": (("Khai sinh tại", "Registered at"), ("Nơi làm khai sinh", "Registered")),
}
FRONT = {
    "2021": (
        "number",
        "full_name",
        "date_of_birth",
        "sex",
        "nationality",
        "place_of_origin",
        "place_of_residence",
        "expiry",
    ),
    "2024": ("number", "full_name", "date_of_birth", "sex", "nationality"),
}
BACK = {
    "2021": ("personal_identification", "issue_date", "mrz"),
    "2024": ("place_of_residence", "issue_date", "expiry", "mrz"),
}


@dataclass(frozen=True, slots=True)
class Card:
    """Everything about a card before it is drawn."""

    form: str
    look: Look
    fonts: str
    family: str
    label_font: str
    value_font: str
    plan: dict[str, Value]
    left_out: dict[str, bool]
    red: Colour
    qr_text: str | None  # None: an idle code
    birth_registration: str
    labels: dict[str, tuple[str, str]]  # Vietnamese and English


def plan(rng: Random, fonts: str, layouts: str, blank: float, invented: float, idle_codes: bool) -> Card:
    """The truth of one card."""
    form = rng.choice(FORMS)
    look = rng.choice(LOOKS[layouts])
    family = rng.choice(SETS[fonts])
    label_family = family if rng.random() < 0.6 else rng.choice(SETS[fonts])
    first, last = (
        (date(2021, 3, 1), date(2024, 6, 30)) if form == "2021" else (date(2024, 7, 1), date(2026, 10, 31))
    )
    issued = between(rng, first, last)
    people = People(rng, invented)
    person = people.person(issued)
    until = expiry(person.birth, issued)
    paths = (*FRONT[form], *BACK[form])
    left_out = absent(rng, paths, blank)
    values = _values(person, issued, until)
    bold = look.value_bold if rng.random() < 0.8 else not look.value_bold
    return Card(
        form=form,
        look=look,
        fonts=fonts,
        family=family.name,
        label_font=label_family.regular if rng.random() < 0.8 else label_family.bold,
        value_font=family.bold if bold else family.regular,
        plan={path: values[path] for path in paths},
        left_out=left_out,
        red=(rng.randint(150, 200), rng.randint(10, 50), rng.randint(10, 50)),
        qr_text=None if idle_codes else _qr_text(rng, person, issued, left_out),
        birth_registration=people.commune(),
        labels=_other_labels(rng) if layouts == "varied" else _LABELS[form],
    )


def _other_labels(rng: Random) -> dict[str, tuple[str, str]]:
    return {path: rng.choice(labels) for path, labels in _OTHER_LABELS.items()}


def _values(person: Person, issued: date, until: date | None) -> dict[str, Value]:
    zone = mrz.build(
        number=person.number,
        date_of_birth=person.birth,
        sex=person.sex,
        expiry=until,
        full_name=person.full_name,
    )
    return {
        "number": Value(person.number, person.number),
        "full_name": Value(person.full_name, person.full_name),
        "date_of_birth": Value(on_paper(person.birth), person.birth.isoformat()),
        "sex": Value(person.sex, person.sex),
        "nationality": Value("Việt Nam", "Việt Nam"),
        "place_of_origin": Value(person.origin, person.origin),
        "place_of_residence": Value(person.residence, person.residence),
        "expiry": Value(FOR_LIFE, "9999-12-31")
        if until is None
        else Value(on_paper(until), until.isoformat()),
        "personal_identification": Value(person.feature, person.feature),
        "issue_date": Value(on_paper(issued), issued.isoformat()),
        "mrz": Value(zone, zone),
    }


def _qr_text(rng: Random, person: Person, issued: date, left_out: dict[str, bool]) -> str:
    """The seven fields of the 2021 form, empty where the print is left out, and the specimen mark."""
    old = f"{rng.randint(0, 999_999_999):09d}" if rng.random() < 0.4 else ""
    parts = {
        "number": person.number,
        "old": old,
        "full_name": person.full_name,
        "date_of_birth": f"{person.birth:%d%m%Y}",
        "sex": person.sex,
        "place_of_residence": person.residence,
        "issue_date": f"{issued:%d%m%Y}",
    }
    return "|".join([*("" if path in left_out else text for path, text in parts.items()), MARK])


def front(rng: Random, card: Card, scale: float) -> Page:
    canvas = _blank_card(rng, scale)
    look, form = card.look, card.form
    photo_width = 236.0 if look.expiry_under_photo and form == "2021" else rng.uniform(165, 205)
    photo_x = 24.0 if look.photo_left else WIDTH - 24.0 - photo_width
    top = _heading(rng, canvas, card)
    if form == "2021" and not look.photo_left:
        top = 182.0  # below the code, which stands over the text
    left = photo_x + photo_width + 20 if look.photo_left else 26.0
    right = WIDTH - 14.0 if look.photo_left else photo_x - 14.0
    photo_height = min(250.0, photo_width * 1.3)
    canvas.picture(silhouette(rng.randrange(12)), photo_x, top + 8, photo_width, photo_height)
    if form == "2021":
        code = idle_qr(rng.randrange(32)) if card.qr_text is None else qr(card.qr_text)
        canvas.modules(code, WIDTH - 176 if look.photo_left else 18, 10, 165)
    elif rng.random() < 0.8:
        _chip(canvas, WIDTH - 130 if look.photo_left else 40, 22)
    rows = [
        [_item(card, "number")],
        [_item(card, "full_name", below=look.name_below)],
        [_item(card, "date_of_birth")],
        [_item(card, "sex"), _item(card, "nationality")],
    ]
    bottom = HEIGHT - 14.0
    if form == "2021":
        rows += [[_item(card, "place_of_origin")], [_item(card, "place_of_residence")]]
        if not look.expiry_under_photo:
            rows.append([_item(card, "expiry")])
    style = _style(rng, card)
    flow(canvas, items(rows, card.left_out), Area(left, top, right, bottom, 84.0), style, rng)
    if form == "2021" and look.expiry_under_photo:
        under = Area(photo_x, top + 20 + photo_height, photo_x + photo_width + 8, HEIGHT - 20.0)
        expiry_row = [[_item(card, "expiry", below=True, vietnamese=True)]]
        flow(canvas, items(expiry_row, card.left_out), under, style, rng)
    return canvas.page()


def back(rng: Random, card: Card, scale: float) -> Page:
    canvas = _blank_card(rng, scale)
    mark_face = canvas.face(card.label_font, 25)
    canvas.text(mark_face, WIDTH / 2 + rng.uniform(-60, 60), 36, MARK, card.red, align="centre")
    style = _style(rng, card)
    if card.form == "2021":
        rows = [
            [_item(card, "personal_identification", below=rng.random() < 0.5)],
            [_item(card, "issue_date")],
        ]
        _chip(canvas, 60, 240)
        small = canvas.face(card.label_font, 22)
        for row, text in enumerate(("CỤC TRƯỞNG CỤC CẢNH SÁT", "QUẢN LÝ HÀNH CHÍNH VỀ TRẬT TỰ XÃ HỘI")):
            canvas.text(small, 560, 300 + 28 * row, text, style.label_colour, align="centre")
        for index in range(2):
            canvas.frame(860, 240 + 84 * index, 110, 76, (150, 150, 150), 2)
        area = Area(28, 52, WIDTH - 20.0, 232)
    else:
        code = idle_qr(rng.randrange(32)) if card.qr_text is None else qr(card.qr_text)
        side = canvas.modules(code, WIDTH - 190, 56, 170)
        _chip(canvas, WIDTH - 150, 80 + side)
        extra = Item("", _label(card, "birth_registration"), card.birth_registration)
        rows = [
            [_item(card, "place_of_residence")],
            [extra],
            [_item(card, "issue_date")],
            [_item(card, "expiry")],
        ]
        area = Area(28, 52, WIDTH - 210.0, 400)
    flow(canvas, items(rows, card.left_out), area, style, rng)
    if "mrz" not in card.left_out:
        mono = canvas.face_of_advance(MONO_SETS[card.fonts].regular, (WIDTH - rng.uniform(70, 110)) / 30)
        x, y, pitch = rng.uniform(28, 40), rng.uniform(462, 480), rng.uniform(62, 70)
        for index, line in enumerate(card.plan["mrz"].raw.split(" ")):
            canvas.text(mono, x, y + pitch * index, line, style.value_colour, "mrz")
    return canvas.page()


def draw(rng: Random, card: Card, scale: float, sides: str) -> tuple[Page, ...]:
    """`sides` is "front", "back" or "both"."""
    wanted: tuple[Callable[[Random, Card, float], Page], ...] = {
        "front": (front,),
        "back": (back,),
        "both": (front, back),
    }[sides]
    return tuple(side(rng, card, scale) for side in wanted)


def _blank_card(rng: Random, scale: float) -> Canvas:
    return Canvas(WIDTH, HEIGHT, scale, tint([rng.choice(_PASTELS) for _ in range(6)], 3))


def _heading(rng: Random, canvas: Canvas, card: Card) -> float:
    """State, mark and title; returns where the fields may begin."""
    centre = WIDTH / 2 + rng.uniform(-30, 10)
    ink = (60, 60, 66)
    canvas.text(
        canvas.face(card.label_font, 22),
        centre,
        34,
        "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM",
        ink,
        align="centre",
    )
    canvas.text(canvas.face(card.label_font, 25), centre, 68, MARK, card.red, align="centre")
    title = "CĂN CƯỚC CÔNG DÂN" if card.form == "2021" else "CĂN CƯỚC"
    if card.look.labels == "both" and card.form == "2024":
        title += " / IDENTITY CARD"
    face = canvas.face(card.value_font, rng.uniform(36, 44))
    canvas.text(face, centre, 118, title, card.red, align="centre")
    return 136.0


def _style(rng: Random, card: Card) -> Style:
    dark = rng.randint(10, 60)
    return Style(
        label_font=card.label_font,
        value_font=card.value_font,
        label_colour=rng.choice(((40, 60, 110), (70, 70, 76), (30, 80, 70), (110, 50, 50))),
        value_colour=(dark, dark, min(80, dark + rng.randint(0, 20))),
        advance=rng.uniform(18.2, 20.0),
        label_ratio=rng.uniform(0.64, 0.72),
        hang=card.look.hang,
    )


def _label(card: Card, path: str, vietnamese: bool = False) -> str:
    own, english = card.labels[path]
    return f"{own}:" if vietnamese or card.look.labels == "vi" else f"{own} / {english}:"


def _item(card: Card, path: str, below: bool = False, vietnamese: bool = False) -> Item:
    short = f"{card.labels[path][0]}:"
    return printed(card.plan, path, _label(card, path, vietnamese), short, below)


def _chip(canvas: Canvas, x: float, y: float) -> None:
    canvas.rectangle(x, y, 100, 76, (206, 184, 120))
    canvas.frame(x, y, 100, 76, (150, 130, 80), 2)
    canvas.rectangle(x + 49, y, 2, 76, (150, 130, 80))
    canvas.rectangle(x, y + 37, 100, 2, (150, 130, 80))
