"""Printed Vietnamese dates: 05/11/2026, 5-11-2026, 05.11.2026, 2026-11-05, "Ngày 05 tháng 11 năm 2026"."""

from __future__ import annotations

import re
from datetime import date, datetime

from schemas.text import tidy

UNLIMITED = date.max  # "Không thời hạn": it sorts after every other expiry, and absent stays null

_DAY = r"[0-9]{1,2}"
_NUMERIC = re.compile(rf"({_DAY}) ?[/.\-] ?({_DAY}) ?[/.\-] ?([0-9]{{4}})")
_SHORT = re.compile(rf"({_DAY})[/.\-]({_DAY})[/.\-]([0-9]{{2}})")
_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_WORDS = re.compile(rf"(?:.*, ?)?ngày ({_DAY}) tháng ({_DAY}) năm ([0-9]{{4}})", re.IGNORECASE)
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")

_LONG = r"[Nn]gày [0-9]{1,2} tháng [0-9]{1,2} năm [0-9]{4}"
_SEPARATED = r"[0-9]{1,2} ?[/.-] ?[0-9]{1,2} ?[/.-] ?[0-9]{4}"
DATE_PATTERN = rf"{_SEPARATED}|{_LONG}|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}|(?:[0-9]{{1,2}}/)?[0-9]{{4}}"
EXPIRY_PATTERN = rf"{DATE_PATTERN}|Không thời hạn|KHÔNG THỜI HẠN"
_CLOCK = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?"
MOMENT_PATTERN = (
    rf"(?:{_SEPARATED}|{_LONG}|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}) {_CLOCK}|{_CLOCK} (?:{_SEPARATED}|{_LONG})"
)
_TWO_DIGIT_YEAR = r"[0-9]{1,2}[/.-][0-9]{1,2}[/.-][0-9]{2}"
STAMP_PATTERN = rf"(?:{_CLOCK} ?)?(?:{_SEPARATED}|{_TWO_DIGIT_YEAR}|{_LONG})(?: ?-? ?{_CLOCK})?"


def day(raw: str) -> date:
    """The date. Raises ValueError for a bare year or month, an impossible day, or anything else."""
    text = tidy(raw)
    if found := _NUMERIC.fullmatch(text) or _WORDS.fullmatch(text):
        d, m, y = (int(part) for part in found.groups())
    elif found := _ISO.fullmatch(text):
        y, m, d = (int(part) for part in found.groups())
    elif re.fullmatch(r"(?:[0-9]{1,2}/)?[0-9]{4}", text):
        raise ValueError(f"{raw!r} is not a full date: no day is printed")
    else:
        raise ValueError(f"{raw!r} is no date like 05/11/2026 or Ngày 05 tháng 11 năm 2026")
    try:
        return date(y, m, d)
    except ValueError:
        raise ValueError(f"{raw!r} is a day that does not exist") from None


def till_day(raw: str) -> date:
    """The day of a receipt, which may carry a clock time and a year of two digits (20yy)."""
    text = _TIME.sub("", tidy(raw)).strip(" -,")
    if found := _SHORT.fullmatch(text):
        d, m, y = found.groups()
        text = f"{d}/{m}/20{y}"
    return day(text)


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
    hour, minute, second = (int(part or 0) for part in clock.groups())
    try:
        return datetime(on.year, on.month, on.day, hour, minute, second)
    except ValueError:
        raise ValueError(f"{raw!r} is a time of day that does not exist") from None
