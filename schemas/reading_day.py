"""The day on which a document was read, for rules that hold its dates against it.

Rules are functions of the record alone, and a day that is to come on one day is past on another. So whoever
runs them says which day it was; where nobody does, rules about it say nothing. A page keeps the day on which
it was read, and judging it again comes to the same verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, timedelta, timezone

from schemas.checks import CheckResult

_HERE = timezone(timedelta(hours=7))  # Viet Nam, whose papers they are: it has no summer time
_READ: ContextVar[date | None] = ContextVar("reading_day", default=None)


def of(moment: datetime) -> date:
    """The day in Viet Nam at that moment; one without a time zone is UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(_HERE).date()


def known() -> date | None:
    """The day on which the record was read, None where nobody said."""
    return _READ.get()


@contextmanager
def being(day: date | None) -> Iterator[None]:
    """The rules that are run inside go by this day."""
    token = _READ.set(day)
    try:
        yield
    finally:
        _READ.reset(token)


def future(**days: date | None) -> Iterator[CheckResult]:
    """A failed check for each of the days of a document, by its field, that had not come when it was read.

    That another day is past bears nothing out, and nothing is said of it.
    """
    read = known()
    for field, day in days.items():
        if read is not None and day is not None and day > read:
            message = f"{field}: {day} is after the day of reading, {read}"
            yield CheckResult("future_date", False, "error", message, (field,), f"<= {read}", str(day))
