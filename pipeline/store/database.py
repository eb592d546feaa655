"""A database, SQLite or PostgreSQL, as the store uses it: transactions, the clock, the differences."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from sqlalchemy import ColumnElement, Connection, Select, create_engine, event, func, literal, select
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import UsageError
from pipeline.store import url
from pipeline.store.faults import translate
from pipeline.store.tables import Instant

Clock = Callable[[], datetime]

# A commit is not forced to the disk, which would cost more than all the rest. A loss of power, or of
# PostgreSQL itself, may undo the last half second, never half of a transaction: those documents are leased
# or pending again, and are read again. What a person is told is done goes by `write(durable=True)`, which
# forces all before it too.
_SQLITE_SETTINGS = (
    "PRAGMA journal_mode = WAL",  # readers never wait for the writer
    "PRAGMA synchronous = NORMAL",
    "PRAGMA busy_timeout = 30000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # what is purged is overwritten
)
_POSTGRES_SETTINGS = {
    "synchronous_commit": "off",
    "timezone": "UTC",
    "lock_timeout": "60s",
    # A process that is stopped in the middle of a transaction must not keep its documents for ever.
    "idle_in_transaction_session_timeout": "60s",
}
_POSTGRES_CONNECT = {
    "connect_timeout": 10,
    "application_name": "vinbatch",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    # Milliseconds. Else a statement that gets no answer because the network is cut, or the server's machine
    # is gone, is sent again for a quarter of an hour, and ever more seldom, before anybody is told.
    "tcp_user_timeout": 30_000,
}


class Database:
    """One store. Nothing is opened before the first transaction."""

    def __init__(self, address: str, clock: Clock | None = None) -> None:
        self.url = url.parse(address)
        self.shown = url.mask(self.url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        # A pooler such as pgbouncer stands between: each transaction may be another session of the server's.
        self.pooled = False
        self._file: tuple[int, int] | None = None  # device and inode of the SQLite file
        self._clock = clock or (_machine_clock if self.is_sqlite else None)
        self.engine = create_engine(
            self.url,
            connect_args={} if self.is_sqlite else _POSTGRES_CONNECT,
            **({"creator": self._open_file} if self.is_sqlite else {}),
            json_serializer=_as_json,
            hide_parameters=True,  # they hold what was read from documents
            pool_size=4,
            max_overflow=12,
        )
        self.writer = self.engine.execution_options(vinbatch_writes=True)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._prepared: dict[str, _Prepared] = {}
        event.listen(self.engine, "connect", self._on_connect)
        event.listen(self.engine, "begin", self._begin_sqlite if self.is_sqlite else _begin_postgres)

    def close(self) -> None:
        self.engine.dispose()

    @property
    def path(self) -> Path:
        """Of the SQLite file."""
        return Path(self.url.database or "")

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[Connection]:
        """A transaction that is kept as a whole or not at all; `durable` waits until it is on the disk.

        Raises Transient or Permanent for the database's errors, as all transactions here do.
        """
        engine = self.writer.execution_options(vinbatch_durable=True) if durable else self.writer
        with self.errors(), engine.begin() as connection:
            if durable and not self.is_sqlite:
                connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self.errors(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Like `read`, and all statements see the same moment."""
        engine = self.engine
        if not self.is_sqlite:  # there every transaction is like this
            engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with self.errors(), engine.begin() as connection:
            yield connection

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise translate(error, self.shown) from None

    @contextmanager
    def single(self) -> Iterator[Connection]:
        """For one statement that is a transaction of its own, and saves PostgreSQL two ways."""
        engine = self.writer if self.is_sqlite or self.pooled else self._autocommit
        with self.errors(), engine.begin() as connection:
            yield connection

    def sql(self, connection: Connection, statement: str, **values: Any) -> Sequence[Sequence[Any]]:
        """Runs a statement that is written out as SQL; returns its rows as the driver gives them.

        In the text `:name` is a value and `@name` a moment, given as seconds from now (`@now` need not be
        given); a list or a dictionary goes as JSON. It is PostgreSQL's SQL; three things are put otherwise
        for SQLite: it has one writer at a time and no row locks, and it unpacks a JSON list, which stands for
        many rows, in words of its own.
        """
        words, moments, names = self._prepare_once(statement)
        now = None if self._clock is None else self._clock()
        values = {
            name: _as_json(value) if isinstance(value, (list, dict)) else value
            for name, value in values.items()
            if name in names
        }
        for name in moments:
            values[name] = self._moment(now, float(values.get(name, 0.0)))
        if not self.is_sqlite:
            found = connection.exec_driver_sql(words, values)
            return found.all() if found.returns_rows else ()
        # SQLite answers quicker than SQLAlchemy can wrap a question; its errors are translated like others.
        raw = connection.connection.cursor()
        raw.execute(words, values)
        rows: Sequence[Sequence[Any]] = raw.fetchall()
        raw.close()
        return rows

    def words(self, statement: str) -> str:
        """A statement as `sql` takes it, without moments, in the words of the driver."""
        return self._prepare_once(statement).words

    def _prepare_once(self, statement: str) -> _Prepared:
        if statement not in self._prepared:
            self._prepared[statement] = self._prepare(statement)
        return self._prepared[statement]

    def _prepare(self, statement: str) -> _Prepared:
        moments, names = frozenset(_MOMENT.findall(statement)), frozenset(_NAME.findall(statement))
        if self.is_sqlite:
            words = _ROWS.sub(_rows_in_sqlite, _LOCK.sub("", statement))
            return _Prepared(_MOMENT.sub(r":\1", words), moments, names)
        moment = r":\1" if self._clock else r"(clock_timestamp() + make_interval(secs => :\1))"
        return _Prepared(_VALUE.sub(r"%(\1)s", _MOMENT.sub(moment, statement)), moments, names)

    def _moment(self, now: datetime | None, seconds: float) -> Any:
        if now is None:
            return seconds  # the server reckons from its own clock
        return Instant().process_bind_param(now + timedelta(seconds=seconds), self.engine.dialect)

    def locked(self, connection: Connection, chosen: Select[tuple[int]], id: ColumnElement[int]) -> list[int]:
        """The chosen ids, whose rows nobody else changes until the transaction ends.

        Everybody waits for rows in the order of their ids, so that two who want the same never wait for
        each other; and what somebody else has removed or changed meanwhile is looked at anew.
        """
        chosen = chosen.order_by(id)
        if not self.is_sqlite:  # which has one writer at a time, and ignores FOR UPDATE
            chosen = chosen.with_for_update()
        found: Sequence[Any] = connection.execute(chosen).scalars().all()
        return list(found)

    def lock(self, connection: Connection) -> None:
        """Lets one process at a time change jobs and tables, until the transaction ends."""
        if not self.is_sqlite:  # SQLite has one writer anyway
            connection.execute(select(func.pg_advisory_xact_lock(0x76696E62)))

    # the clock: PostgreSQL's own, because workers' clocks differ and jump; in SQLite the machine's

    def now(self) -> ColumnElement[datetime]:
        return self.later(0.0)

    def later(self, seconds: float) -> ColumnElement[datetime]:
        """That many seconds from now, as SQL."""
        if self._clock is not None:
            return literal(self._clock() + timedelta(seconds=seconds), Instant)
        if seconds == 0.0:
            return func.clock_timestamp(type_=Instant)
        interval = func.make_interval(0, 0, 0, 0, 0, 0, float(seconds))
        return func.clock_timestamp(type_=Instant).op("+", return_type=Instant())(interval)

    def read_clock(self) -> datetime:
        if self._clock is not None:
            return self._clock()
        with self.read() as connection:
            return connection.execute(select(self.now())).scalar_one()

    # what the two databases write differently

    def quote(self, name: str) -> str:
        return self.engine.dialect.identifier_preparer.quote_identifier(name)

    def _open_file(self) -> sqlite3.Connection:
        """Opens the SQLite file, which is there already, and is the one that was opened first."""
        self.look_at_file()
        # isolation_level: transactions begin where `_begin_sqlite` says, not where the driver guesses.
        return sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw", uri=True, check_same_thread=False, isolation_level=None
        )

    def look_at_file(self) -> None:
        """Raises UsageError when the SQLite file is not the one that was opened first.

        SQLite would go on reading and writing the old one, which nobody will ever see again.
        """
        found = _identity(self.path)
        if self._file is None:
            self._file = found
        elif found != self._file:
            raise UsageError(
                f"the store {self.shown} was {'replaced' if found else 'deleted'} while it was in use; put "
                "its file back, or go on with another store: what was written since cannot be seen there"
            )

    def _on_connect(self, raw: Any, record: Any) -> None:
        if self.is_sqlite:
            for statement in _SQLITE_SETTINGS:
                raw.execute(statement)
            return
        with raw.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            # A pooler gives each of its clients a number of its own, with which they cancel a statement.
            self.pooled = record.info["pooled"] = cursor.fetchone()[0] != raw.info.backend_pid
            if self.pooled:
                raw.prepare_threshold = None  # what one session has prepared, the next one does not know
            else:
                for name, value in _POSTGRES_SETTINGS.items():
                    cursor.execute(f"SET {name} = '{value}'")
        raw.commit()

    def _begin_sqlite(self, connection: Connection) -> None:
        self.look_at_file()
        options = connection.get_execution_options()
        if options.get("isolation_level") == "AUTOCOMMIT":
            return
        synchronous = "FULL" if options.get("vinbatch_durable") else "NORMAL"
        if connection.info.get("synchronous", "NORMAL") != synchronous:
            connection.exec_driver_sql(f"PRAGMA synchronous = {synchronous}")
            connection.info["synchronous"] = synchronous
        # One that reads first and writes later would fail at once when another one wrote in between.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("vinbatch_writes") else "BEGIN")


class _Prepared(NamedTuple):
    """A statement in the driver's words, and the names of its moments and of all its values."""

    words: str
    moments: frozenset[str]
    names: frozenset[str]


_NAME = re.compile(r"[:@](\w+)")
_VALUE = re.compile(r":(\w+)")
_MOMENT = re.compile(r"@(\w+)")
_LOCK = re.compile(r"\s+FOR (?:UPDATE|SHARE)(?: SKIP LOCKED)?")
_ROWS = re.compile(r"json_to_recordset\(CAST\(:(\w+) AS json\)\) AS (\w+)\(([^)]*)\)")


def _rows_in_sqlite(found: re.Match[str]) -> str:
    parameter, name, columns = found.groups()
    names = (column.split()[0] for column in columns.split(","))
    values = ", ".join(f"json_extract(value, '$.{column}') AS {column}" for column in names)
    return f"(SELECT {values} FROM json_each(:{parameter})) AS {name}"


def _begin_postgres(connection: Connection) -> None:
    """Behind a pooler the settings are made for each transaction: the session is not ours."""
    autocommit = connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
    if connection.info.get("pooled") and not autocommit:
        made = (f"set_config('{name}', '{value}', true)" for name, value in _POSTGRES_SETTINGS.items())
        connection.exec_driver_sql(f"SELECT {', '.join(made)}")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _as_json(value: Any) -> str:
    from pipeline.store import rows  # with all records, which a query does without

    return rows.dump(value)


def _machine_clock() -> datetime:
    return datetime.now(UTC)
