"""The QR code of an identity card.

On the 2021 form: number|old number or nothing|NAME|DDMMYYYY|Nam or Nữ|address|DDMMYYYY of issue. The payload
of the 2024 form was not verified, so the first seven parts are read and all others kept as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

from schemas import dates
from schemas.evidence import Claim
from schemas.text import alike, tidy, unaccented

_SEX = {"NAM": "Nam", "M": "Nam", "MALE": "Nam", "NU": "Nữ", "F": "Nữ", "FEMALE": "Nữ"}


@dataclass(frozen=True, slots=True)
class CardCode:
    """What a card's code says. A part that is empty or not in its form is None; `rest` is kept raw."""

    number: str
    old_number: str | None
    full_name: str | None
    date_of_birth: date | None
    sex: str | None
    place_of_residence: str | None
    issue_date: date | None
    rest: tuple[str, ...]


def parse(text: str) -> CardCode | None:
    """The card's code, None for some other code: fewer than seven parts, or no 12 digits in front.

    A health insurance card begins with the same number, and goes on with other things: what has digits for a
    name or a sex, or letters for a day, is no card's code.
    """
    parts = [tidy(part) for part in text.split("|")]
    if len(parts) < 7 or not re.fullmatch(r"[0-9]{12}", parts[0]):
        return None
    number, old_number, name, born, sex, address, issued, *rest = parts
    if re.search(r"[0-9]", name + sex) or re.search(r"[^\W\d]", born):
        return None
    return CardCode(
        number=number,
        old_number=old_number or None,
        full_name=name or None,
        date_of_birth=_day(born),
        sex=_SEX.get(unaccented(sex).upper()),
        place_of_residence=address or None,
        issue_date=_day(issued),
        rest=tuple(rest),
    )


def says(card: Any, text: str) -> Iterator[Claim]:
    """What a card's code says of the card's fields. Another code on the page says nothing."""
    code = parse(text)
    if code is None:
        return
    old = code.old_number if card.number is not None and len(card.number) == 9 else None
    yield Claim("number", old or code.number, old or code.number)
    for path in ("full_name", "sex"):
        if (said := getattr(code, path)) is not None:
            yield Claim(path, said, said, partial(alike, said))
    if code.place_of_residence is not None:
        yield _address(card, code.place_of_residence)
    for path in ("date_of_birth", "issue_date"):
        if (day := getattr(code, path)) is not None:
            yield Claim(path, f"{day:%d%m%Y}", day.isoformat())


def _address(card: Any, said: str) -> Claim:
    """The place of residence, which a card of 2024 has as the place of abode.

    Whether the code of that form always has the abode was not verified: another one accuses nobody.
    """
    abode = getattr(card, "place_of_abode", None)
    if abode is None or card.place_of_residence is not None:
        return Claim("place_of_residence", said, said, partial(alike, said))
    return Claim("place_of_abode", said, said, partial(alike, said), sound=alike(said, abode))


def build(
    number: str,
    full_name: str,
    date_of_birth: date,
    sex: str,
    address: str,
    issued: date,
    old_number: str = "",
) -> str:
    """The payload of the 2021 form."""
    return "|".join(
        (number, old_number, full_name, f"{date_of_birth:%d%m%Y}", sex, address, f"{issued:%d%m%Y}")
    )


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%d%m%Y").date() if len(text) == 8 else dates.day(text)
    except ValueError:
        return None
