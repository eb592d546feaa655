"""Makes the tables, and brings those of an older Vinbatch up to date."""

from __future__ import annotations

import sqlite3

from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.sql import column, table

from pipeline.errors import Reason, Transient, Unavailable, UsageError
from pipeline.store import reader
from pipeline.store.database import Database
from pipeline.store.faults import translate
from pipeline.store.tables import REVISION, metadata

_OLDEST_POSTGRES = 130000
# What libpq says of a server that is starting or recovers from a crash (57P03, which it does not pass on),
# and of one that crashed as it was connected to.
_COMING_UP = ("FATAL:  the database system is ", "server closed the connection unexpectedly")


def up(db: Database, *, create: bool, proven: bool) -> None:
    """Raises, in one line, UsageError for a store that cannot be used, Unavailable when none answers, and
    Transient when that may pass.
    """
    if db.is_sqlite:
        _look_at_file(db, create)
    try:
        with db.engine.begin() as connection:
            proven = True  # it answers: from here on what fails may pass
            _look_at_server(db, connection)
            revision = _revision(connection)
            whole = revision != REVISION or db.is_sqlite or not reader.lacking(connection)
        if revision == REVISION and whole:
            return
        if revision is None and not create:
            raise UsageError(f"there is no store at {db.shown} yet; `vinbatch run` makes it")
        with db.writer.begin() as connection:
            db.lock(connection)
            if (revision := _revision(connection)) != REVISION:
                _upgrade(db, connection, revision)
            elif not db.is_sqlite and reader.lacking(connection):
                reader.make_again(connection, metadata.tables)
    except SQLAlchemyError as error:
        passing = translate(error, db.shown)
        # A server that does not answer may be misspelt: whoever typed the URL is told at once. One that is
        # starting, or recovers from a crash, is there.
        there = proven or any(words in str(error) for words in _COMING_UP)
        if isinstance(passing, Transient) and (there or passing.reason != Reason.ledger_unreachable):
            raise passing from None
        raise Unavailable(f"cannot open the store {db.shown}: {_complaint(error)}") from None


def _look_at_file(db: Database, create: bool) -> None:
    if not db.path.parent.is_dir():
        raise UsageError(f"cannot open the store {db.shown}: there is no folder {db.path.parent}")
    if not create and not db.path.is_file():
        raise UsageError(f"there is no store at {db.shown}; `vinbatch run` makes it")
    if not db.path.exists():
        # What is read from documents is nobody else's. SQLite gives its -wal and -shm the same rights.
        try:
            db.path.touch(mode=0o600)
        except OSError as error:
            raise UsageError(f"cannot open the store {db.shown}: {error.strerror}") from None


def _look_at_server(db: Database, connection: Connection) -> None:
    if db.is_sqlite:
        return
    version = connection.execute(text("SHOW server_version_num")).scalar_one()
    if int(version) < _OLDEST_POSTGRES:
        raise UsageError(
            f"the store {db.shown} runs on PostgreSQL {int(version) // 10000}; 13 or newer is needed"
        )
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise UsageError(f"the database of {db.shown} is encoded in {encoding}; make it with ENCODING 'UTF8'")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(
        select(column("version_num")).select_from(table("alembic_version"))
    ).scalar_one_or_none()
    return found


def _upgrade(db: Database, connection: Connection, revision: str | None) -> None:
    # Alembic takes a third of a second to import, and a store that is up to date does not need it.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "pipeline.store:migrations")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise UsageError(
            f"the store {db.shown} was written by a newer Vinbatch (tables {revision}); update this one"
        )
    if revision is None:
        foreign = sorted(set(metadata.tables) & set(inspect(connection).get_table_names()))
        if foreign:
            named = ", ".join(foreign)
            raise UsageError(
                f"{db.shown} has tables of something else ({named}); give Vinbatch its own database"
            )
    command.upgrade(config, "head")
    if revision is not None:
        from pipeline.store.jobs import renew_views

        renew_views(db, connection)


def _complaint(error: SQLAlchemyError) -> str:
    """What the database says, in one line. It names hosts and users, never a password."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(cause, sqlite3.Error):
        if getattr(cause, "sqlite_errorname", "") == "SQLITE_NOTADB":
            return "the file is no SQLite database"
        return f"{cause} ({getattr(cause, 'sqlite_errorname', type(cause).__name__)})"
    import psycopg  # not at the top: a store in SQLite does without

    if isinstance(cause, psycopg.Error):
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
        return lines[0] if lines else type(cause).__name__
    return type(error).__name__
