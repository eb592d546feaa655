"""The store: what the rest of Vinbatch asks of the database, room by room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pipeline.store import migrate
from pipeline.store.database import Clock, Database

if TYPE_CHECKING:
    from pipeline.records import DocumentRef
    from pipeline.store.audit import Audit
    from pipeline.store.books import Books
    from pipeline.store.calibrations import Calibrations
    from pipeline.store.claims import Claims
    from pipeline.store.decisions import Decisions
    from pipeline.store.entities import Change, DocumentRow, Purged
    from pipeline.store.export import Exported
    from pipeline.store.failures import Failures
    from pipeline.store.figures import Figures
    from pipeline.store.jobs import Jobs
    from pipeline.store.ledger import Ledger
    from pipeline.store.purchases import Listed
    from pipeline.store.query import Rows
    from pipeline.store.queue import Queue
    from pipeline.store.results import Results
    from pipeline.store.runs import Runs
    from pipeline.store.todo import Todo


def open(url: str, *, create: bool = True, proven: bool = False, clock: Clock | None = None) -> Store:
    """The store at a URL: sqlite:///FILE.db or postgresql://USER:PASSWORD@HOST/DATABASE.

    Makes the tables or brings older ones up to date; with create=False a store that is not there is an
    error. `clock` replaces the database's clock in tests. Raises, in one line and without the password,
    UsageError for a URL that cannot be used or tables of a newer Vinbatch, Unavailable for a server that does
    not answer, Transient for a database that is busy, or whose answer broke off. `proven` says that somebody
    has opened this very store before, a lane's driver for one: then a server that does not answer is
    Transient too, worth waiting for.
    """
    database = Database(url, clock)
    try:
        migrate.up(database, create=create, proven=proven)
    except BaseException:
        database.close()
        raise
    return Store(database)


class Store:
    """Safe to share between threads; sent to another process it opens the same URL anew.

    Each room and each question is imported when it is first asked for: a query needs few of them.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    @cached_property
    def jobs(self) -> Jobs:
        from pipeline.store.jobs import Jobs

        return Jobs(self._db)

    @cached_property
    def runs(self) -> Runs:
        from pipeline.store.runs import Runs

        return Runs(self._db)

    @cached_property
    def ledger(self) -> Ledger:
        from pipeline.store.ledger import Ledger

        return Ledger(self._db)

    @cached_property
    def results(self) -> Results:
        from pipeline.store.results import Results

        return Results(self._db, self.jobs)

    @cached_property
    def calibrations(self) -> Calibrations:
        from pipeline.store.calibrations import Calibrations

        return Calibrations(self._db)

    @cached_property
    def decisions(self) -> Decisions:
        from pipeline.store.decisions import Decisions

        return Decisions(self._db, self.jobs)

    @cached_property
    def claims(self) -> Claims:
        from pipeline.store.claims import Claims

        return Claims(self._db)

    @cached_property
    def audit(self) -> Audit:
        from pipeline.store.audit import Audit

        return Audit(self._db)

    @cached_property
    def queue(self) -> Queue:
        from pipeline.store.queue import Queue

        return Queue(self._db)

    @cached_property
    def books(self) -> Books:
        from pipeline.store.books import Books

        return Books(self._db)

    @cached_property
    def failures(self) -> Failures:
        from pipeline.store.failures import Failures

        return Failures(self._db)

    @cached_property
    def figures(self) -> Figures:
        from pipeline.store.figures import Figures

        return Figures(self._db)

    @cached_property
    def document(self) -> partial[DocumentRow]:
        from pipeline.store.finding import document

        return partial(document, self._db)

    @cached_property
    def diff(self) -> partial[Iterator[Change]]:
        from pipeline.store.changes import diff

        return partial(diff, self._db)

    @cached_property
    def chosen(self) -> partial[Iterator[DocumentRef]]:
        from pipeline.store.shadows import chosen

        return partial(chosen, self._db)

    @cached_property
    def purge(self) -> partial[Purged]:
        from pipeline.store.purging import purge

        return partial(purge, self._db)

    @cached_property
    def query(self) -> Callable[..., AbstractContextManager[Rows]]:
        from pipeline.store.query import query

        return partial(query, self._db)

    @cached_property
    def export(self) -> partial[Exported]:
        from pipeline.store.export import export

        return partial(export, self._db)

    @cached_property
    def named(self) -> Callable[..., AbstractContextManager[Rows]]:
        from pipeline.store.named import ask

        return partial(ask, self._db)

    @cached_property
    def purchases(self) -> partial[Listed]:
        from pipeline.store.purchases import export

        return partial(export, self._db)

    @cached_property
    def prepare_for(self) -> partial[None]:
        from pipeline.store.duplicates import prepare

        return partial(prepare, self._db)

    @cached_property
    def todo(self) -> partial[list[Todo]]:
        from pipeline.store.todo import todo

        return partial(todo, self._db)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._db.url.render_as_string(hide_password=False),)

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    @property
    def url(self) -> str:
        """For people: without the password."""
        return self._db.shown

    @property
    def one_machine(self) -> bool:
        """True for SQLite, whose file must not be shared between machines."""
        return self._db.is_sqlite


def _reopen(url: str) -> Store:
    return open(url, create=False, proven=True)
