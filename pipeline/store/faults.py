"""The one edge where the databases' exceptions become ours.

Their texts may hold what was read from a document, so only codes and names go on.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pipeline.errors import Permanent, Reason, Transient, UsageError, VinbatchError

if TYPE_CHECKING:
    import psycopg

# SQLSTATEs, or how they begin. Only what is said of the data itself is held against a document: a server's
# mood passes, and what it refuses for good is for the person who runs the job.
_FULL = ("53100", "53200")
_READ_ONLY = ("25006",)  # after a failover, or while its owner works on it
_BUSY = (
    "25P",  # a transaction that took too long, or that the server ended for it
    "40",  # serialization, deadlock
    "53",  # too many connections
    "55",  # locks that were waited for in vain
    "57014",  # statement_timeout
)
_DATA = ("21", "22", "23", "44", "54")  # a value that does not fit
_REFUSED = ("0A", "28", "3D", "3F", "42")  # rights, passwords, tables that are not there
_SQLITE_DATA = ("SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_TOOBIG", "SQLITE_RANGE", "SQLITE_ERROR")
_SQLITE_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")


def translate(error: SQLAlchemyError | sqlite3.Error | psycopg.Error, store: str) -> VinbatchError:
    """What the caller of the store gets instead of `error`; `store` is the URL without its password."""
    import psycopg  # not at the top: a store in SQLite does without

    if isinstance(error, sqlite3.Error):
        return _sqlite(error, store)
    if isinstance(error, psycopg.Error):
        return _postgres(error, store)
    if isinstance(error, PoolTimeout):
        return Transient(Reason.ledger_busy, f"the store {store} has no free connection")
    if not isinstance(error, DBAPIError):
        return Permanent(Reason.internal_error, f"the store {store} was used wrongly: {type(error).__name__}")
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return _sqlite(cause, store)
    if isinstance(cause, psycopg.Error):
        return _postgres(cause, store)
    return Permanent(Reason.internal_error, f"the store {store} failed: {type(cause).__name__}")


def _sqlite(cause: sqlite3.Error, store: str) -> VinbatchError:
    code = getattr(cause, "sqlite_errorname", None) or type(cause).__name__
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")):
        return Transient(Reason.ledger_busy, f"the store {store} is locked by another process ({code})")
    if code.startswith("SQLITE_FULL"):
        return Transient(
            Reason.disk_full, f"the disk under {store} is full; make room, nothing is lost ({code})"
        )
    if code.startswith(_SQLITE_DAMAGED):
        return UsageError(f"the store {store} is damaged or no database ({code}); bring back a copy of it")
    if code.startswith("SQLITE_") and not code.startswith(_SQLITE_DATA):
        return Transient(Reason.ledger_unreachable, f"the store {store} cannot be read or written ({code})")
    return Permanent(Reason.internal_error, f"the store {store} refused a statement ({code})")


def _postgres(cause: psycopg.Error, store: str) -> VinbatchError:
    import psycopg

    state = cause.sqlstate or ""
    name = f"{type(cause).__name__} {state}".strip()
    if isinstance(cause, psycopg.errors.DependentObjectsStillExist):
        return UsageError(f"{store}: {cause.diag.message_primary}; drop those, then run again")
    if state.startswith(_FULL):
        return Transient(
            Reason.disk_full, f"the server of {store} has no room left ({name}); nothing is lost"
        )
    if state.startswith(_READ_ONLY):
        return Transient(Reason.ledger_unreachable, f"the store {store} may only be read now ({name})")
    if state.startswith(_BUSY):
        return Transient(Reason.ledger_busy, f"the store {store} is busy ({name})")
    if state.startswith(_REFUSED):
        return UsageError(f"the store {store} refused a statement: {cause.diag.message_primary} ({name})")
    # The driver's own complaints have no state: connections that are lost, and values that it cannot send.
    of_the_data = isinstance(cause, (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError))
    if state.startswith(_DATA) or (not state and of_the_data):
        where = cause.diag.constraint_name or cause.diag.table_name or ""
        message = f"the store {store} refused a statement ({name} {where})".rstrip()
        return Permanent(Reason.internal_error, message)
    return Transient(Reason.ledger_unreachable, f"the store {store} does not answer ({name})")
