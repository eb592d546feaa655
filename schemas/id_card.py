"""The citizen's identity card: CCCD (2021 form) and căn cước (2024 form), either side, and the old CMND.

Its rules hold the number against the print, the dates against each other, and MRZ and QR code against the
print.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from schemas import law, mrz, qr
from schemas.checks import CheckResult, CodeRule, Rule, Severity
from schemas.dates import UNLIMITED
from schemas.fields import ExpiryDate, LongText, Mrz, NationalId, PersonName, Text, VnDate
from schemas.text import match

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


def expiries(born: date, issued: date | None) -> set[date]:
    """The days to which a card may last: one (more if born on 29 February), all if the issue is unknown."""
    if issued is None:
        return {day for age in MILESTONES for day in _birthdays(born, age)} | {UNLIMITED}
    for age in MILESTONES:
        if issued < min(_birthdays(born, age - _EARLY)):
            return _birthdays(born, age)
    return {UNLIMITED}


def machine_readable_zone(card: IdCard) -> Iterator[CheckResult]:
    """The MRZ's own check digits, and what it says against the print. A damaged part accuses nobody."""
    if card.mrz is None:
        return
    try:
        zone = mrz.parse(card.mrz)
    except ValueError as error:
        yield CheckResult(
            "mrz_form", False, "error", f"the MRZ cannot be read: {error}", ("mrz",), None, card.mrz
        )
        return
    wrong = ", ".join(zone.bad)
    message = (
        f"the MRZ's check digits are wrong for: {wrong}" if wrong else "the MRZ's check digits are right"
    )
    yield CheckResult("mrz_check_digits", not wrong, "error", message, ("mrz",), None, wrong or None)

    if card.number is not None and len(card.number) == 12 and "number" not in zone.bad:
        yield _against("MRZ", "number", zone.number, card.number)
    if card.date_of_birth is not None and "date of birth" not in zone.bad:
        yield _against("MRZ", "date_of_birth", zone.date_of_birth, f"{card.date_of_birth:%y%m%d}")
    if card.expiry is not None and "expiry" not in zone.bad:
        yield _against("MRZ", "expiry", zone.expiry or f"{UNLIMITED:%y%m%d}", f"{card.expiry:%y%m%d}")
    if card.sex is not None and zone.sex is not None:
        yield _against("MRZ", "sex", zone.sex, card.sex)
    if card.full_name is not None:
        # Line 3 holds 30 characters: a longer name is cut off there.
        passed = mrz.names_agree(zone.name, card.full_name, cut=not card.mrz.endswith("<<"))
        message = f"the MRZ says {zone.name}, the print {card.full_name}"
        fields = ("full_name", "mrz")
        yield CheckResult("mrz_full_name", passed, "error", message, fields, zone.name, card.full_name)


def card_code(card: IdCard, text: str) -> Iterator[CheckResult]:
    """The card's QR code against the print. Another code on the page says nothing about the card."""
    code = qr.parse(text)
    if code is None:
        return
    if card.number is not None:
        old = code.old_number if len(card.number) == 9 else None
        yield _against("QR", "number", old or code.number, card.number)
    if card.date_of_birth is not None and code.date_of_birth is not None:
        yield _against("QR", "date_of_birth", str(code.date_of_birth), str(card.date_of_birth))
    if card.issue_date is not None and code.issue_date is not None:
        yield _against("QR", "issue_date", str(code.issue_date), str(card.issue_date))
    if card.sex is not None and code.sex is not None:
        yield _texts("sex", code.sex, card.sex)
    if card.full_name is not None and code.full_name is not None:
        yield _texts("full_name", code.full_name, card.full_name)
    if card.place_of_residence is not None and code.place_of_residence is not None:
        yield _texts("place_of_residence", code.place_of_residence, card.place_of_residence, "warning")


def _birthdays(born: date, age: int) -> set[date]:
    if (born.month, born.day) == (2, 29):
        year = born.year + age
        return {date(year, 2, 28), date(year, 3, 1)} | ({date(year, 2, 29)} if year % 4 == 0 else set())
    return {born.replace(year=born.year + age)}


def _against(source: str, field: str, expected: str, found: str) -> CheckResult:
    message = f"{field}: the {source} says {expected}, the print {found}"
    fields = (field, "mrz") if source == "MRZ" else (field,)
    return _agree(f"{source.lower()}_{field}", fields, expected, found, message)


def _agree(code: str, fields: tuple[str, ...], expected: str, found: str, message: str) -> CheckResult:
    return CheckResult(code, expected == found, "error", message, fields, expected, found)


def _texts(field: str, expected: str, found: str, severity: Severity = "error") -> CheckResult:
    """Two texts: equal but for capitals, punctuation and the place of a tone mark, or not."""
    degree = match(_words(expected), _words(found))
    message = f"{field}: the QR says {expected}, the print {found}"
    if degree == "unaccented":
        message += "; they differ in diacritics only"
    return CheckResult(
        f"qr_{field}", degree in ("strict", "tone"), severity, message, (field,), expected, found
    )


def _words(text: str) -> str:
    return " ".join(re.split(r"[\s,.;:/-]+", text)).strip()


class IdCard(BaseModel):
    """Thẻ căn cước, căn cước công dân hoặc chứng minh nhân dân"""

    checks: ClassVar[tuple[Rule, ...]] = (
        number,
        date_order,
        expiry,
        machine_readable_zone,
    )
    code_checks: ClassVar[tuple[CodeRule, ...]] = (card_code,)
    required: ClassVar = ("number", "full_name")

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

    # On the back of the 2024 form; the place of residence there is that of the 2021 form under another name.
    place_of_abode: Text | None = Field(None, title="Nơi cư trú")
    place_of_birth_registration: Text | None = Field(None, title="Nơi đăng ký khai sinh")
