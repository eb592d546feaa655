"""One SELECT by a person, which the database itself keeps from writing.

PostgreSQL runs it as a cursor in a READ ONLY transaction, as a role that may only read where there is one;
SQLite on a connection that is opened for reading and authorised to nothing but SELECT. The answer is read
to its end, within a time limit, into a file without a name, and handed out from there: whoever reads it may
pause for as long as they like, and holds up neither SQLite's log nor PostgreSQL's clearing of old rows.
"""

from __future__ import annotations

import logging
import pickle
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from tempfile import SpooledTemporaryFile
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, select, text
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import UsageError
from pipeline.store import reader
from pipeline.store.database import Database
from pipeline.store.entities import View
from pipeline.store.faults import translate
from pipeline.store.tables import jobs

_log = logging.getLogger(__name__)
_BATCH = 1000  # rows
_JSON = (
    "settings",
    "sources",
    "views",
    "record",
    "box",
    "fields",
    "suspects",
)  # columns of the tables that hold JSON
_IN_MEMORY = 16 * 2**20  # bytes of an answer; what is more goes to the temporary folder
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
def query(
    db: Database, sql: str, *, seconds: float = 300.0, values: Mapping[str, str | None] | None = None
) -> Iterator[Rows]:
    """Runs one SELECT that cannot write, by the database's own means.

    With `values`, those of its `:name`s, it is a statement of ours, written as `Database.sql` takes it.

    Its rows are read to the end before the first is handed out, so a reader that pauses holds up nobody.
    Raises UsageError with the database's complaint in one line, or when they take more than `seconds`.
    """
    kinds = _kinds(db)
    with _Answer() as answer:
        ask = _sqlite if db.is_sqlite else _postgres
        columns = ask(db, sql if values is None else db.words(sql), seconds, answer, values)
        yield Rows(columns, answer.rows(), kinds)


class _Answer:
    """Rows that are kept until they are handed out. They never leave this process, so pickle may be used."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  closed with its block

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        try:
            pickle.dump(rows, self._file)
        except OSError as error:
            raise UsageError(
                f"the query failed: its answer does not fit into the temporary folder ({error.strerror}); "
                "name another one with TMPDIR, or ask for less"
            ) from None

    def rows(self) -> Iterator[tuple[Any, ...]]:
        self._file.seek(0)
        while True:
            try:
                yield from pickle.load(self._file)
            except EOFError:
                return


def _kinds(db: Database) -> dict[str, str]:
    """Of the columns that are of one type wherever they occur: those of views, and JSON of tables."""
    found: dict[str, set[str]] = {name: {"json"} for name in _JSON}
    with db.read() as connection:
        stored = connection.execute(select(jobs.c.views)).scalars().all()
    for view in (view for of_job in stored for view in View.all_of(of_job)):
        for column in view.columns:
            found.setdefault(column.name, set()).add(column.kind)
    return {name: kinds.pop() for name, kinds in found.items() if len(kinds) == 1}


def _too_slow(seconds: float) -> UsageError:
    return UsageError(
        f"the query failed: it took longer than {seconds:g} s; "
        "ask for less, or give it more time (the setting query_seconds)"
    )


# PostgreSQL


def _postgres(
    db: Database, sql: str, seconds: float, answer: _Answer, values: Mapping[str, str | None] | None
) -> tuple[str, ...]:
    import psycopg  # not at the top: a store in SQLite does without

    engine = db.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    until, role = time.monotonic() + seconds, None
    try:
        with engine.connect() as connection:
            role = _confine(connection, db, sql)
            raw: Any = connection.connection.driver_connection
            _allow_until(raw, until)
            with raw.cursor("vinbatch_query") as cursor:
                # As the body of a cursor it is one statement, and that one a SELECT.
                cursor.execute(sql, values)
                columns = tuple(column.name for column in cursor.description)
                while rows := cursor.fetchmany(_BATCH):
                    answer.add(rows)
                    _allow_until(raw, until)
        return columns
    except (SQLAlchemyError, psycopg.Error) as error:
        cause = getattr(error, "orig", error)
        if isinstance(cause, psycopg.errors.QueryCanceled):
            raise _too_slow(seconds) from None
        if isinstance(cause, psycopg.Error) and (cause.sqlstate or "")[:2] in _COMPLAINTS:
            forbidden = isinstance(cause, psycopg.errors.InsufficientPrivilege)
            hint = f" (it runs as {role})" if role and forbidden else ""
            raise UsageError(f"the query failed: {cause.diag.message_primary}{hint}") from None
        raise translate(error, db.shown) from None


_COMPLAINTS = ("0A", "21", "22", "25", "2B", "34", "42", "44", "54")


def _allow_until(raw: Any, until: float) -> None:
    """The rest of the time: the server counts it for each fetch anew."""
    left = max(1, int((until - time.monotonic()) * 1000))
    raw.execute(f"SET LOCAL statement_timeout = {left}")


def _confine(connection: Connection, db: Database, sql: str) -> str | None:
    """Takes the rights that reading does not need, for the rest of the transaction. Raises UsageError.

    Returns the role that the query runs as, if there is one for it.
    """
    _refuse(connection, sql)
    if connection.execute(text("SELECT current_setting('is_superuser') = 'on'")).scalar_one():
        _log.warning("the user of the store %s is a superuser; give Vinbatch one of its own", db.shown)
    role = reader.usable(connection)
    if role is not None:
        connection.exec_driver_sql(f"SET LOCAL ROLE {role}")
    else:
        _log.warning(
            "the query runs with all the rights of the store's user: there is no role %s that it may take",
            reader.name(connection),
        )
    return role


# Functions that do more than compute: files, signals, slots, locks, other settings (the role among them), SQL
# from a text. PostgreSQL calls them volatile, and everybody may execute many of them. These may be used:
_HARMLESS = (
    "array_sample",
    "array_shuffle",
    "bernoulli",
    "clock_timestamp",
    "gen_random_uuid",
    "pg_database_size",
    "pg_indexes_size",
    "pg_relation_size",
    "pg_table_size",
    "pg_total_relation_size",
    "random",
    "random_normal",
    "system",
    "timeofday",
    "uuidv4",
    "uuidv7",
)


def _refuse(connection: Connection, sql: str) -> None:
    """Raises UsageError for a query that names a function which does more than compute.

    A name is looked for in the text as it stands, in quotes and comments too: there is no way to call a
    function without its name, except in the U&"…" form, which is refused.
    """
    volatile = text(
        "SELECT DISTINCT proname FROM pg_proc WHERE provolatile = 'v' AND proname <> ALL(:harmless)"
    )
    names = connection.execute(volatile, {"harmless": list(_HARMLESS)}).scalars().all()
    called = re.search(rf"(?<![^\W\d])(?:{'|'.join(map(re.escape, names))})(?![\w$])", sql, re.IGNORECASE)
    if called is not None:
        raise UsageError(f"the query failed: {called[0]} does more than read, and is not allowed here")
    if re.search(r'u&"', sql, re.IGNORECASE):
        raise UsageError('the query failed: names in the form U&"…" are not allowed here')


# SQLite


def _sqlite(
    db: Database, sql: str, seconds: float, answer: _Answer, values: Mapping[str, str | None] | None
) -> tuple[str, ...]:
    address = f"file:{quote(str(db.path))}?mode=ro"
    until = time.monotonic() + seconds
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=30, isolation_level=None)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.create_aggregate("decimal_sum", 1, _DecimalSum)
            # Called now and then: so Ctrl-C ends a long query too.
            connection.set_progress_handler(lambda: time.monotonic() > until, 100_000)
            # Its first use in a connection looks like a change of tables, which the authorizer would refuse.
            connection.execute("SELECT 1 FROM json_each('[]')").close()
            connection.set_authorizer(_authorize)
            cursor = connection.execute(sql, values or {})
            if cursor.description is None:
                raise UsageError("the query failed: only SELECT is allowed here")
            while rows := cursor.fetchmany(_BATCH):
                answer.add(rows)
            return tuple(column[0] for column in cursor.description)
    except (sqlite3.Error, sqlite3.Warning) as error:
        if getattr(error, "sqlite_errorname", None) == "SQLITE_INTERRUPT":
            if time.monotonic() > until:
                raise _too_slow(seconds) from None
            raise KeyboardInterrupt from None  # it came while the handler ran, which told SQLite to stop
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
