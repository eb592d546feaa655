"""Printed Vietnamese dates: 05/11/2026, 5-11-26, Ngày 05.11.2026, 2026-11-05, "Ngày 05 tháng 11 năm 2026".

A year of two digits is read where it is clear that it comes last: 25-03-01 may be a day of 2001 or of 2025.
"""

from __future__ import annotations

import re
from datetime import date, datetime

from schemas.text import tidy

UNLIMITED = date.max  # "Không thời hạn": it sorts after every other expiry, and absent stays null

_DAY = r"[0-9]{1,2}"
_LEAD = r"(?:(?:.*, ?)?ngày(?: lập| ký)?:? ?(?:[(/](?:date|day)\)?:? ?)?)?"
_NUMERIC = re.compile(rf"{_LEAD}({_DAY}) ?([/.\-]) ?({_DAY}) ?[/.\-] ?([0-9]{{4}}|[0-9]{{2}})", re.IGNORECASE)
_ISO = re.compile(rf"([0-9]{{4}})[/.\-]({_DAY})[/.\-]({_DAY})")
_WORDS = re.compile(
    rf"{_LEAD}({_DAY}) tháng (?:\(month\) )?({_DAY}),? năm (?:\(year\) )?([0-9]{{4}})", re.IGNORECASE
)
_TIME = re.compile(
    r"(?:(?<=[0-9])T)?([0-9]{1,2})[:hH]([0-9]{2})(?::([0-9]{2}))?(?: ?(AM|PM|SA|CH))?", re.IGNORECASE
)
_AFTERNOON = ("PM", "CH")  # chiều

# Which years of two digits are likely in what people have: beyond them another reading may be meant.
_RECENT = range(2010, 2040)
_CENTURY_ENDS = 50  # 50 to 99 are of the century before

# As they may be written, in the regular subset (`schemas.printed`).
_BEFORE = r"(?:(?:[Nn]gày|NGÀY)(?: lập| ký)?(?:/[Dd]ate)?:? (?:\((?:[Dd]ate|[Dd]ay)\):? )?)?"
_IN_WORDS = r" (?:[Tt]háng|THÁNG) (?:\([Mm]onth\) )?[0-9]{1,2},? (?:[Nn]ăm|NĂM) (?:\([Yy]ear\) )?[0-9]{4}"
_YEAR_LAST = rf"{_BEFORE}[0-9]{{1,2}}(?: ?[/.-] ?[0-9]{{1,2}} ?[/.-] ?[0-9]{{2}}(?:[0-9]{{2}})?|{_IN_WORDS})"
_FULL = rf"{_YEAR_LAST}|[0-9]{{4}}[/.-][0-9]{{1,2}}[/.-][0-9]{{1,2}}"
DATE_PATTERN = rf"{_FULL}|(?:[0-9]{{1,2}}/)?[0-9]{{4}}"
EXPIRY_PATTERN = rf"{DATE_PATTERN}|Không thời hạn|KHÔNG THỜI HẠN"
_CLOCK = r"[0-9]{1,2}[:hH][0-9]{2}(?::[0-9]{2})?(?: ?(?:AM|PM|SA|CH))?"
MOMENT_PATTERN = rf"(?:{_FULL})(?:T|,? ){_CLOCK}|{_CLOCK},? (?:{_FULL})"
STAMP_PATTERN = rf"(?:{_CLOCK},? ?)?(?:{_FULL})(?:(?:T|,? ?-? ?){_CLOCK})?"


def day(raw: str) -> date:
    """The date. Raises ValueError for a bare year or month, an impossible day, a year of two digits that may
    stand first, or anything else.
    """
    text = tidy(raw)
    if found := _NUMERIC.fullmatch(text):
        first, sign, month, last = found.groups()
        if len(last) == 2:
            return _short(raw, int(first), int(month), int(last), certain=sign != "-")
        d, m, y = int(first), int(month), int(last)
    elif found := _WORDS.fullmatch(text):
        d, m, y = (int(part) for part in found.groups())
    elif found := _ISO.fullmatch(text):
        y, m, d = (int(part) for part in found.groups())
    elif re.fullmatch(r"(?:[0-9]{1,2}/)?[0-9]{4}", text):
        raise ValueError(f"{raw!r} is not a full date: no day is printed")
    else:
        raise ValueError(f"{raw!r} is no date like 05/11/2026 or Ngày 05 tháng 11 năm 2026")
    return _existing(raw, y, m, d)


def till_day(raw: str) -> date:
    """The day of a receipt, which may carry a clock time."""
    return day(_TIME.sub("", tidy(raw)).strip(" -,"))


def _short(raw: str, first: int, month: int, last: int, *, certain: bool) -> date:
    """A date with a year of two digits, which comes last if that is `certain` or likelier by far."""
    year = 2000 + last - (100 if last >= _CENTURY_ENDS else 0)
    doubtful = not certain or year not in _RECENT
    if doubtful and 2000 + first in _RECENT and (other := _date(2000 + first, month, last)) is not None:
        this = _date(year, month, first)
        raise ValueError(f"{raw!r} may be {other}{f' or {this}' if this else ''}: its year has two digits")
    return _existing(raw, year, month, first)


def _existing(raw: str, year: int, month: int, day: int) -> date:
    found = _date(year, month, day)
    if found is None:
        raise ValueError(f"{raw!r} is a day that does not exist")
    return found


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def expiry(raw: str) -> date:
    """The day of expiry; "Không thời hạn" (unlimited) is `UNLIMITED`, 9999-12-31."""
    return UNLIMITED if tidy(raw).casefold() == "không thời hạn" else day(raw)


def moment(raw: str) -> datetime:
    """A date with a clock time on either side of it, as printed, without a time zone."""
    text = tidy(raw)
    clock = _TIME.search(text)
    if clock is None:
        raise ValueError(f"{raw!r} has no clock time like 14:30")
    on = day((text[: clock.start()] + text[clock.end() :]).strip(" -,"))
    hour, minute, second = (int(part or 0) for part in clock.groups()[:3])
    half = (clock[4] or "").upper()
    if half and 1 <= hour <= 12:
        hour = hour % 12 + 12 * (half in _AFTERNOON)
    try:
        return datetime(on.year, on.month, on.day, hour, minute, second)
    except ValueError:
        raise ValueError(f"{raw!r} is a time of day that does not exist") from None
