"""One SELECT by a person, which the database itself keeps from writing, streamed.

PostgreSQL runs it as a cursor in a READ ONLY transaction; SQLite on a connection that is opened for
reading and authorised to nothing but SELECT.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any
from urllib.parse import quote

import psycopg
from sqlalchemy.exc import DBAPIError

from pipeline.errors import UsageError
from pipeline.store import jobs
from pipeline.store.database import Database
from pipeline.store.faults import translate

_BATCH = 1000
_ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}


@dataclass(frozen=True, slots=True)
class Rows:
    """The answer: column names, and rows that come as they are asked for. Only to be read once.

    `kinds` are the types of columns that bear the name of a view's column; SQLite does not know them.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]
    kinds: dict[str, str]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self.rows


@contextmanager
def run(db: Database, sql: str) -> Iterator[Rows]:
    """Raises UsageError with the database's complaint in one line."""
    kinds = _kinds(db)
    with _sqlite(db, sql, kinds) if db.is_sqlite else _postgres(db, sql, kinds) as found:
        yield found


def _kinds(db: Database) -> dict[str, str]:
    """Of the names of view columns that are of one type wherever they occur."""
    found: dict[str, set[str]] = {}
    for job in jobs.every(db):
        for view in job.views:
            for column in view.columns:
                found.setdefault(column.name, set()).add(column.kind)
    return {name: kinds.pop() for name, kinds in found.items() if len(kinds) == 1}


@contextmanager
def _postgres(db: Database, sql: str, kinds: dict[str, str]) -> Iterator[Rows]:
    engine = db.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    try:
        with engine.connect() as connection:
            # A pager that waits must not be taken for a dead worker.
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            # no_parameters: a "%" in the query is a "%"
            streamed = {"stream_results": True, "max_row_buffer": _BATCH, "no_parameters": True}
            found = connection.exec_driver_sql(sql, execution_options=streamed)
            with closing(found):
                yield Rows(tuple(found.keys()), (tuple(row) for row in found), kinds)
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.Error) and (error.orig.sqlstate or "")[:2] in _COMPLAINTS:
            raise UsageError(f"the query failed: {error.orig.diag.message_primary}") from None
        raise translate(error, db.shown) from None


_COMPLAINTS = ("0A", "21", "22", "25", "2B", "34", "42", "44", "57")


@contextmanager
def _sqlite(db: Database, sql: str, kinds: dict[str, str]) -> Iterator[Rows]:
    address = f"file:{quote(str(db.path))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=30, isolation_level=None)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.create_aggregate("decimal_sum", 1, _DecimalSum)
            # Called now and then, so that Ctrl-C ends a long query.
            connection.set_progress_handler(lambda: 0, 100_000)
            connection.set_authorizer(_authorize)
            cursor = connection.execute(sql)
            if cursor.description is None:
                raise UsageError("the query failed: only SELECT is allowed here")
            yield Rows(tuple(column[0] for column in cursor.description), iter(cursor), kinds)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise UsageError(f"the query failed: {error}") from None


def _authorize(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


class _DecimalSum:
    """decimal_sum(x): the exact sum. Whole or short, it is a number that compares and sorts; else it is
    text.
    """

    def __init__(self) -> None:
        self.total: Decimal | None = None

    def step(self, value: Any) -> None:
        if value is not None:
            self.total = _EXACT.add(self.total or Decimal(0), Decimal(str(value)))

    def finalize(self) -> Any:
        return None if self.total is None else number(self.total)


_EXACT = Context(prec=1000, traps=[InvalidOperation, Inexact])


def number(value: Decimal) -> int | float | str:
    """A decimal where there is no such type: a whole or a real number if it holds every digit, else text."""
    text = format(value, "f")
    digits = len(text.lstrip("-").replace(".", ""))
    if "." not in text and digits <= 18:
        return int(text)
    return float(text) if digits <= 15 else text
