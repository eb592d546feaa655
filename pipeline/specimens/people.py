"""Invented people of Vietnam: names, birth dates, numbers, addresses. Province 099 is assigned to nobody."""

from __future__ import annotations

import calendar
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from pipeline.specimens.content import (
    CODAS,
    FEATURE_PLACES,
    FEATURES,
    FEMALE_GIVEN,
    FEMALE_MIDDLE,
    MALE_GIVEN,
    MALE_MIDDLE,
    ONSETS,
    PLACE_FIRST,
    PLACE_LAST,
    PROVINCES,
    STREETS,
    SURNAMES,
    VOWELS,
)

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
        distance = rng.choice(("1cm", "1,5cm", "2cm", "0,5cm", "2,5cm", "3cm"))
        where, side = rng.choice(FEATURE_PLACES), rng.choice(("trái", "phải"))
        return f"{rng.choice(FEATURES)} c: {distance} {where} {side}"

    def word(self, choices: tuple[str, ...]) -> str:
        return self.syllable() if self.rng.random() < self.invented else self.rng.choice(choices)

    def syllable(self) -> str:
        """A random, capitalised, writable syllable; most mean nothing."""
        rng = self.rng
        vowels = rng.choice(VOWELS)
        at = 0 if len(vowels) == 1 else rng.choice((0, len(vowels) - 1))
        toned = unicodedata.normalize("NFC", vowels[at] + rng.choice(_TONES))
        text = (
            rng.choice(("", *ONSETS))
            + vowels[:at]
            + toned
            + vowels[at + 1 :]
            + rng.choice(("", "", "", *CODAS))
        )
        return text[0].upper() + text[1:]

    def _place(self) -> str:
        return f"{self.word(PLACE_FIRST)} {self.word(PLACE_LAST)}"


def number(rng: Random, sex: str, birth: date) -> str:
    """Province 099, century and sex, two digits of the birth year, six more."""
    century = 2 * (birth.year // 100 - 19) + (sex == "Nữ")
    return f"099{century}{birth.year % 100:02d}{rng.randint(0, 999_999):06d}"


def expiry(birth: date, issued: date) -> date | None:
    """The last valid day: the birthday at 25, 40 or 60, the next one when less than two years away.

    None: for life.
    """
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
