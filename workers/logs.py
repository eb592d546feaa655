"""What happened in a run, as log records with fields: job, lane, document, page, reason; never a value that
was read.

What a lane logs would be in a file of Ray's that ends with the run. So its `Recorder` keeps the records until
a report takes them to the driver, which logs them as its own (`relay`).
"""

from __future__ import annotations

import datetime
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.printable import as_json
from pipeline.settings import LogSettings

Fields = Mapping[str, str | int | float]

_ROOTS = ("workers", "pipeline")  # the loggers of our packages
_KEPT = 1000  # records of one lane between two of its reports

_LOG = logging.getLogger(__name__)


def fields(**values: str | int | float | None) -> dict[str, Any]:
    """For the argument `extra` of a logger's methods. None leaves a field out."""
    return {"fields": {name: value for name, value in values.items() if value is not None}}


@dataclass(frozen=True, slots=True)
class Event:
    """A record of a lane on its way to the driver, numbered in the order of its lane."""

    number: int
    seconds: float  # since the epoch
    level: int
    logger: str
    message: str
    fields: Fields


class Recorder(logging.Handler):
    """Keeps the newest records of this process; what is older is counted by the gap in the numbers."""

    def __init__(self) -> None:
        super().__init__()
        self._events: deque[Event] = deque(maxlen=_KEPT)
        self._number = 0

    def emit(self, record: logging.LogRecord) -> None:
        self._number += 1
        self._events.append(
            Event(
                self._number,
                record.created,
                record.levelno,
                record.name,
                record.getMessage(),
                _fields(record),
            )
        )

    def after(self, number: int) -> tuple[Event, ...]:
        """The events after that one; those up to it are forgotten."""
        self.acquire()
        try:
            while self._events and self._events[0].number <= number:
                self._events.popleft()
            return tuple(self._events)
        finally:
            self.release()


def relay(events: Sequence[Event], after: int, **more: str | int) -> int:
    """Log a lane's events whose number is above `after`, with more fields; returns the last number."""
    for event in events:
        if event.number <= after:
            continue
        if event.number > after + 1:
            missing = event.number - after - 1
            _LOG.warning("%d records of a lane were dropped", missing, extra=fields(**more))
        logger = logging.getLogger(event.logger)
        if logger.isEnabledFor(event.level):
            record = logger.makeRecord(
                event.logger,
                event.level,
                "",
                0,
                event.message,
                (),
                None,
                extra=fields(**more, **event.fields),
            )
            record.created = event.seconds
            logger.handle(record)
        after = event.number
    return after


@contextmanager
def handled(handler: logging.Handler, settings: LogSettings) -> Iterator[None]:
    """Inside this block the records of our packages go to this handler."""
    loggers = [logging.getLogger(name) for name in _ROOTS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(settings.level.upper())
        logger.propagate = False  # to handlers that somebody else has put in place
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


class LineHandler(logging.Handler):
    """Every record as one line for `write`."""

    def __init__(self, write: Callable[[str], None], format: str) -> None:
        super().__init__()
        self._write = write
        self.setFormatter(_Json() if format == "json" else _Plain())

    def emit(self, record: logging.LogRecord) -> None:
        self._write(self.format(record))


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created).strftime("%Y-%m-%d %H:%M:%S")
        named = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        return f"{when} {record.levelname.lower()}: {record.getMessage()}" + (f" [{named}]" if named else "")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat()
        return as_json(
            {
                "time": when,
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": record.getMessage(),
                **_fields(record),
            }
        )


def _fields(record: logging.LogRecord) -> Fields:
    found: Fields = getattr(record, "fields", {})
    return found
