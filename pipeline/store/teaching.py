"""What a teacher was asked and what it said: a SQLite file beside the data set that is made of it.

An answer is on the disk before anything is made of it, so that nothing is paid for twice. What was being
asked when a process died counts with the most that it may have cost, and is asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import DatabaseError

from pipeline.errors import UsageError

State = Literal["asked", "answered", "refused"]
FORM = 1  # of the tables
_BATCH = 500
_SETTINGS = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA busy_timeout = 30000")
_metadata = MetaData()
_files = Table(
    "files",
    _metadata,
    Column("uri", String, primary_key=True),
    Column("etag", String),
    Column("problem", String),  # why it has no pages; None: all of them are in `pages`
)
_pages = Table(
    "pages",
    _metadata,
    Column("number", Integer, primary_key=True),
    Column("image", String, nullable=False, unique=True),
    Column("uri", String, nullable=False, index=True),
    Column("document", String, nullable=False),
    Column("page", Integer, nullable=False),
    Column("of", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("text", Text),
    Column("exact", Boolean, nullable=False),
    Column("reader", Text),
)
_asks = Table(
    "asks",
    _metadata,
    Column("number", Integer, primary_key=True),
    Column("key", String, nullable=False, unique=True),
    Column("image", String, nullable=False),
    Column("prompt", String, nullable=False),
    Column("asked", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("cost", Float, nullable=False),
    Column("text", Text),
    Column("finish", String),
    Column("version", String),
    Column("tokens_in", Integer),
    Column("tokens_out", Integer),
    Column("problem", String),
    Column("at", String, nullable=False),
)


@dataclass(frozen=True, slots=True)
class TaughtPage:
    """A page that a teacher is shown.

    image     sha256 of the picture's bytes, as they are sent and kept
    document  sha256 of the file, of which this is page `page` of so many
    text      what the page says by its own text, None where it has none that can be trusted
    exact     that text stands on paper letter for letter
    reader    what a second reader saw, None where none was asked
    """

    image: str
    uri: str
    document: str
    page: int
    of: int
    width: int
    height: int
    text: str | None = None
    exact: bool = False
    reader: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to a teacher and how it ended. `cost` is in the user's money, the most while it is asked.

    asked    what names it beside the picture: teacher, prompt's text, decoding
    finish   "stop", "length" or "blocked", by the teacher
    problem  why the teacher refused for good
    """

    key: str
    image: str
    prompt: str
    asked: Mapping[str, Any]
    state: State = "asked"
    cost: float = 0.0
    text: str | None = None
    finish: str | None = None
    version: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    problem: str | None = None
    at: str = ""


class Teaching:
    """The ledger of one data set. One process writes it at a time."""

    def __init__(self, path: Path) -> None:
        """Made where it is not there. Raises UsageError for a file that is no such ledger."""
        self._path = path
        self._engine = create_engine(f"sqlite:///{path}")
        event.listen(self._engine, "connect", _set)
        try:
            with self._engine.begin() as connection:
                form = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
                if form not in (0, FORM):
                    raise UsageError(f"{path} is of another version of vinbatch ({form}); use another folder")
                _metadata.create_all(connection)
                connection.exec_driver_sql(f"PRAGMA user_version = {FORM}")
        except DatabaseError as error:
            raise UsageError(f"{path} is no ledger of answers: {error.orig}") from None
        path.chmod(0o600)

    def known_file(self, uri: str, etag: str | None) -> bool:
        """Whether this version of the file was drawn before."""
        if etag is None:
            return False
        with self._engine.connect() as connection:
            found = connection.execute(select(_files.c.etag).where(_files.c.uri == uri)).one_or_none()
        return found is not None and found.etag == etag

    def keep_file(
        self, uri: str, etag: str | None, pages: Iterable[TaughtPage], problem: str | None = None
    ) -> None:
        """All pages of a file, at once. A picture that is known already stays as it was first found."""
        with self._engine.begin() as connection:
            for page in pages:
                connection.execute(upsert(_pages).values(**asdict(page)).on_conflict_do_nothing(["image"]))
            values = {"etag": etag, "problem": problem}
            made = upsert(_files).values(uri=uri, **values)
            connection.execute(made.on_conflict_do_update(index_elements=["uri"], set_=values))

    def pages_of(self, uri: str) -> list[TaughtPage]:
        with self._engine.connect() as connection:
            found = select(_pages).where(_pages.c.uri == uri).order_by(_pages.c.number)
            return [_page(row) for row in connection.execute(found).mappings()]

    def page(self, image: str) -> TaughtPage:
        with self._engine.connect() as connection:
            return _page(connection.execute(select(_pages).where(_pages.c.image == image)).mappings().one())

    def ended(self, key: str) -> bool:
        """Whether this was answered, or refused for good: it is not asked again."""
        with self._engine.connect() as connection:
            state = connection.execute(select(_asks.c.state).where(_asks.c.key == key)).scalar_one_or_none()
        return state in ("answered", "refused")

    def begin(self, ask: Asked) -> None:
        """It is about to be asked, and may cost as much as `ask.cost`, beside what earlier tries may have."""
        with self._engine.begin() as connection:
            before = self._cost_of(connection, ask.key)
            if before is None:
                connection.execute(insert(_asks).values(**_values(ask)))
            else:
                connection.execute(
                    update(_asks).where(_asks.c.key == ask.key).values(cost=before + ask.cost, at=_now())
                )

    def end(self, ask: Asked, most: float) -> None:
        """How it ended. `most` is what it was begun with, which `ask.cost` stands in for now."""
        with self._engine.begin() as connection:
            before = self._cost_of(connection, ask.key) or most
            values = _values(replace(ask, cost=max(0.0, before - most) + ask.cost))
            connection.execute(update(_asks).where(_asks.c.key == ask.key).values(**values))

    def give_up(self, key: str, most: float, cost: float) -> None:
        """It was not answered, and cost so much instead of the `most`: it may be asked another time."""
        with self._engine.begin() as connection:
            before = self._cost_of(connection, key) or most
            left = max(0.0, before - most) + cost
            connection.execute(update(_asks).where(_asks.c.key == key).values(cost=left))

    def spent(self) -> float:
        with self._engine.connect() as connection:
            return float(connection.execute(select(func.coalesce(func.sum(_asks.c.cost), 0.0))).scalar_one())

    def counts(self) -> dict[str, int]:
        """Requests by their state."""
        with self._engine.connect() as connection:
            found = select(_asks.c.state, func.count()).group_by(_asks.c.state)
            return {row.state: row[1] for row in connection.execute(found)}

    def answers(self) -> Iterator[tuple[TaughtPage, Asked]]:
        """All that were answered, in the order in which they were first asked, streamed."""
        last = 0
        joined = select(_asks, _pages).join_from(_asks, _pages, _asks.c.image == _pages.c.image)
        columns = {"ask": list(_asks.c), "page": list(_pages.c)}
        while True:
            wanted = joined.where(_asks.c.number > last, _asks.c.state == "answered")
            with self._engine.connect() as connection:
                rows = connection.execute(wanted.order_by(_asks.c.number).limit(_BATCH)).all()
            if not rows:
                return
            for row in rows:
                found = row._mapping
                ask = {column.name: found[column] for column in columns["ask"]}
                page = {column.name: found[column] for column in columns["page"]}
                last = ask.pop("number")
                page.pop("number")
                yield TaughtPage(**page), Asked(**ask)

    def problems(self) -> list[tuple[str, str]]:
        """Files that have no pages, and why."""
        with self._engine.connect() as connection:
            found = select(_files.c.uri, _files.c.problem).where(_files.c.problem.is_not(None))
            return [(uri, problem) for uri, problem in connection.execute(found.order_by(_files.c.uri))]

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Teaching:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _cost_of(connection: Connection, key: str) -> float | None:
        found = connection.execute(select(_asks.c.cost).where(_asks.c.key == key)).scalar_one_or_none()
        return None if found is None else float(found)


def _set(connection: Any, _record: object) -> None:
    for pragma in _SETTINGS:
        connection.execute(pragma)


def _page(row: RowMapping) -> TaughtPage:
    values = dict(row)
    values.pop("number")
    return TaughtPage(**values)


def _values(ask: Asked) -> dict[str, Any]:
    return {**asdict(ask), "asked": dict(ask.asked), "at": _now()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
