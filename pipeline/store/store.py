"""The store: what the rest of Vinbatch asks of the database, room by room."""

from __future__ import annotations

from functools import partial
from types import TracebackType
from typing import Any

from pipeline.store import finding, migrate, named, purchases, todo
from pipeline.store.audit import Audit
from pipeline.store.books import Books
from pipeline.store.calibrations import Calibrations
from pipeline.store.changes import diff
from pipeline.store.claims import Claims
from pipeline.store.database import Clock, Database
from pipeline.store.decisions import Decisions
from pipeline.store.export import export
from pipeline.store.failures import Failures
from pipeline.store.figures import Figures
from pipeline.store.jobs import Jobs
from pipeline.store.ledger import Ledger
from pipeline.store.purging import purge
from pipeline.store.query import query
from pipeline.store.queue import Queue
from pipeline.store.results import Results


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
    """Safe to share between threads; sent to another process it opens the same URL anew."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self.jobs = Jobs(database)
        self.ledger = Ledger(database)
        self.results = Results(database, self.jobs)
        self.calibrations = Calibrations(database)
        self.decisions = Decisions(database, self.jobs)
        self.claims = Claims(database)
        self.audit = Audit(database)
        self.queue = Queue(database)
        self.books = Books(database)
        self.failures = Failures(database)
        self.figures = Figures(database)
        self.document = partial(finding.document, database)
        self.diff = partial(diff, database)
        self.purge = partial(purge, database)
        self.query = partial(query, database)
        self.export = partial(export, database)
        self.named = partial(named.ask, database)
        self.purchases = partial(purchases.export, database)
        self.todo = partial(todo.todo, database)

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
