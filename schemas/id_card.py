"""The citizen's identity card: CCCD (2021 form) and căn cước (2024 form), either side, and the old CMND.

Its rules hold the number against the print and the dates against each other. Its evidence is the QR code and
the MRZ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from schemas import card_forms, law, mrz, qr, reading_day
from schemas.checks import CheckResult, Rule
from schemas.dates import UNLIMITED
from schemas.evidence import Claim, Evidence
from schemas.fields import ExpiryDate, LongText, Mrz, NationalId, PersonName, Text, VnDate
from schemas.required import Either, Where

# The 63 provinces of the numbering, which was not changed when they became 34. Persons born abroad carry the
# code of a country instead, so another code is unusual, not wrong.
PROVINCES = frozenset(
    """
    001 002 004 006 008 010 011 012 014 015 017 019 020 022 024 025 026 027 030 031 033 034 035 036 037
    038 040 042 044 045 046 048 049 051 052 054 056 058 060 062 064 066 067 068 070 072 074 075 077 079
    080 082 083 084 086 087 089 091 092 093 094 095 096
    """.split()  # noqa: SIM905  (63 quoted words read worse)
)
MILESTONES = (14, 25, 40, 60)  # ages at which a card is renewed
_OLDEST = 120  # years
_EARLY = 2  # a card issued so many years before a milestone lasts to the next one


def number(card: IdCard) -> Iterator[CheckResult]:
    """The 12 digits hold province, century and sex, and the year of birth; the old 9 digits hold nothing."""
    if card.number is None:
        return
    if len(card.number) == 9:
        last = max((period.end for period in law.in_force().nine_digit_cards if period.end), default=None)
        message = f"a number of 9 digits is that of a CMND, whose last day was {last}"
        yield CheckResult("cmnd_expired", False, "info", message, ("number",), "12 digits", card.number)
        return
    province, century, year = card.number[:3], int(card.number[3]), card.number[4:6]
    known = province in PROVINCES
    message = f"the number begins with {province}, which is {'a' if known else 'no'} province of Viet Nam"
    yield CheckResult("number_province", known, "info", message, ("number",), None, province)
    if card.date_of_birth is not None:
        born = card.date_of_birth.year
        expected = f"{19 + century // 2}{year}"
        message = f"the number says born in {expected}, the print {born}"
        yield _agree("number_birth_year", ("number", "date_of_birth"), expected, str(born), message)
    if card.sex is not None:
        expected = "Nữ" if century % 2 else "Nam"
        yield _agree(
            "number_sex",
            ("number", "sex"),
            expected,
            card.sex,
            f"the number says {expected}, the print {card.sex}",
        )


def date_order(card: IdCard) -> Iterator[CheckResult]:
    """Birth before issue before expiry."""
    names = ("date_of_birth", "issue_date", "expiry")
    days = [(name, day) for name in names if (day := getattr(card, name)) is not None]
    if len(days) < 2:
        return
    passed = all(earlier < later for (_, earlier), (_, later) in pairwise(days))
    listed = ", ".join(f"{name} {day}" for name, day in days)
    message = f"the dates are {'' if passed else 'not '}in order: {listed}"
    yield CheckResult("date_order", passed, "error", message, tuple(name for name, _ in days), None, listed)


def expiry(card: IdCard) -> Iterator[CheckResult]:
    """A card lasts to the birthday at 14, 25, 40 or 60, then for ever; the day of issue tells which."""
    if card.date_of_birth is None or card.expiry is None or (card.number and len(card.number) == 9):
        return  # a CMND lasted for 15 years
    possible = expiries(card.date_of_birth, card.issue_date)
    expected = " or ".join("no expiry" if day == UNLIMITED else str(day) for day in sorted(possible))
    found = "no expiry" if card.expiry == UNLIMITED else str(card.expiry)
    fields = (
        ("date_of_birth", "expiry") if card.issue_date is None else ("date_of_birth", "issue_date", "expiry")
    )
    message = f"the card's age rules give {expected}, the print {found}"
    yield CheckResult("expiry", card.expiry in possible, "warning", message, fields, expected, found)


def issue(card: IdCard) -> Iterator[CheckResult]:
    """Until the law of 2024 nobody had a card before the birthday at 14."""
    born, issued = card.date_of_birth, card.issue_date
    if born is None or issued is None or issued < born:
        return
    youngest = min(_birthdays(born, MILESTONES[0]))
    passed = issued >= youngest or card_forms.for_children(issued)
    message = f"the card was issued on {issued}, and its holder became {MILESTONES[0]} on {youngest}"
    fields = ("date_of_birth", "issue_date")
    yield CheckResult("issue_age", passed, "error", message, fields, f">= {youngest}", str(issued))


def days(card: IdCard) -> Iterator[CheckResult]:
    """Birth and issue are past, nobody is older than people become, and an expired card is said to be one."""
    yield from reading_day.future(date_of_birth=card.date_of_birth, issue_date=card.issue_date)
    read, born = reading_day.known(), card.date_of_birth
    if read is None:
        return
    if born is not None and read.year - born.year > _OLDEST:
        message = f"born on {born}, the holder is {read.year - born.year} years old"
        yield CheckResult("age", False, "error", message, ("date_of_birth",), f"at most {_OLDEST}", str(born))
    if card.expiry is not None and card.expiry < read:
        message = f"the card's last day, {card.expiry}, is before the day of reading, {read}"
        yield CheckResult("expired", False, "info", message, ("expiry",), None, str(card.expiry))


def expiries(born: date, issued: date | None) -> set[date]:
    """The days to which a card may last: one (more if born on 29 February), all if the issue is unknown."""
    if issued is None:
        return {day for age in MILESTONES for day in _birthdays(born, age)} | {UNLIMITED}
    for age in MILESTONES:
        if issued < min(_birthdays(born, age - _EARLY)):
            return _birthdays(born, age)
    return {UNLIMITED}


def _birthdays(born: date, age: int) -> set[date]:
    if (born.month, born.day) == (2, 29):
        year = born.year + age
        return {date(year, 2, 28), date(year, 3, 1)} | ({date(year, 2, 29)} if year % 4 == 0 else set())
    return {born.replace(year=born.year + age)}


def _agree(code: str, fields: tuple[str, ...], expected: str, found: str, message: str) -> CheckResult:
    return CheckResult(code, expected == found, "error", message, fields, expected, found)


def code_says(card: IdCard, text: str) -> Iterator[Claim | CheckResult]:
    """What a card's QR code says. It has the day of issue, which the front does not print: so the expiry."""
    yield from qr.says(card, text)
    code = qr.parse(text)
    if code is not None and code.issue_date is not None and card.issue_date is None:
        for check in expiry(card.model_copy(update={"issue_date": code.issue_date})):
            yield replace(check, code="qr_expiry", fields=("date_of_birth", "expiry"))


def _mends(card: IdCard, check: CheckResult) -> Iterator[tuple[str, object]]:
    """The other sex, and the days to which a card lasts."""
    if check.code == "number_sex":
        yield "sex", check.expected
    elif check.code == "expiry" and card.date_of_birth is not None:
        yield from (("expiry", day) for day in expiries(card.date_of_birth, card.issue_date))


_BACK_OF_2024 = "the back of a card of 2024"
REQUIRED = (
    Where(card_forms.has_front, "the front of a card", "number", "full_name", "date_of_birth"),
    Where(card_forms.is_front_of_12, "the front of a card", "sex", "nationality"),
    Where(
        card_forms.is_front_of_2021,
        "the front of a card of 2021",
        "place_of_origin",
        "place_of_residence",
        "expiry",
    ),
    # The zone has number and name too: a back alone is whole with it.
    Where(
        card_forms.is_back_alone, "the back of a card", Either("number", "mrz"), Either("full_name", "mrz")
    ),
    Where(card_forms.has_back, "the back of a card", "issue_date"),
    Where(card_forms.is_back_with_chip, "the back of a card with a chip", "mrz"),
    Where(card_forms.is_back_of_2021, "the back of a card of 2021", "personal_identification"),
    Where(card_forms.is_back_of_2024, _BACK_OF_2024, "expiry"),
)


class IdCard(BaseModel):
    """Thẻ căn cước, căn cước công dân hoặc chứng minh nhân dân"""

    checks: ClassVar[tuple[Rule, ...]] = (
        number,
        date_order,
        expiry,
        issue,
        days,
        card_forms.form_date,
    )
    equations: ClassVar[tuple[Rule, ...]] = (number, date_order, expiry, issue, card_forms.form_date)
    mends: ClassVar = _mends
    proofs: ClassVar = ("number_birth_year", "number_sex", "mrz_check_digits")
    evidence: ClassVar[tuple[Evidence, ...]] = (Evidence("qr", code_says), mrz.EVIDENCE)
    identified_by: ClassVar = ("number", "full_name", "date_of_birth", "mrz")
    required: ClassVar = (*REQUIRED, Where(card_forms.is_back_of_2024, _BACK_OF_2024, "place_of_residence"))
    paper: ClassVar = "card"

    number: NationalId | None = Field(None, title="Số")
    full_name: PersonName | None = Field(None, title="Họ và tên")
    date_of_birth: VnDate | None = Field(None, title="Ngày sinh")
    sex: Literal["Nam", "Nữ"] | None = Field(None, title="Giới tính")
    nationality: Text | None = Field(None, title="Quốc tịch")
    place_of_origin: Text | None = Field(None, title="Quê quán")
    place_of_residence: Text | None = Field(None, title="Nơi thường trú")
    expiry: ExpiryDate | None = Field(None, title="Có giá trị đến")
    personal_identification: LongText | None = Field(None, title="Đặc điểm nhận dạng")
    issue_date: VnDate | None = Field(None, title="Ngày cấp")
    mrz: Mrz | None = Field(None, title="MRZ")


class IdCard2(IdCard):
    """Thẻ căn cước, căn cước công dân hoặc chứng minh nhân dân"""

    required: ClassVar = (
        *REQUIRED,
        Where(card_forms.is_back_of_2024, _BACK_OF_2024, Either("place_of_residence", "place_of_abode")),
    )

    # On the back of the 2024 form; the place of residence there is that of the 2021 form under another name.
    place_of_abode: Text | None = Field(None, title="Nơi cư trú")
    place_of_birth_registration: Text | None = Field(None, title="Nơi đăng ký khai sinh")
