"""The one edge where the databases' exceptions become ours.

Their texts may hold what was read from a document, so only codes and names go on.
"""

from __future__ import annotations

import sqlite3

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pipeline.errors import Permanent, Reason, Transient, UsageError, VinbatchError

_UNREACHABLE = ("08", "57P")  # connection exceptions; shutdown, crash, "starting up"
_BUSY = (
    "40001",
    "40P01",
    "55P03",
    "53300",
    "25P03",
)  # serialization, deadlock, lock timeout, too many clients
_FULL = ("53100", "53200")


def translate(error: SQLAlchemyError | sqlite3.Error, store: str) -> VinbatchError:
    """What the caller of the store gets instead of `error`; `store` is the URL without its password."""
    if isinstance(error, sqlite3.Error):
        return _sqlite(error, store)
    if isinstance(error, PoolTimeout):
        return Transient(Reason.ledger_busy, f"the store {store} has no free connection")
    if not isinstance(error, DBAPIError):
        return Permanent(Reason.internal_error, f"the store {store} was used wrongly: {type(error).__name__}")
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return _sqlite(cause, store)
    if isinstance(cause, psycopg.Error):
        return _postgres(cause, error.connection_invalidated, store)
    return Permanent(Reason.internal_error, f"the store {store} failed: {type(cause).__name__}")


def _sqlite(cause: sqlite3.Error, store: str) -> VinbatchError:
    code = getattr(cause, "sqlite_errorname", None) or type(cause).__name__
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Transient(Reason.ledger_busy, f"the store {store} is locked by another process ({code})")
    if code.startswith("SQLITE_FULL"):
        return Transient(
            Reason.disk_full, f"the disk under {store} is full; make room, nothing is lost ({code})"
        )
    if code.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return Transient(Reason.ledger_unreachable, f"the store {store} cannot be read or written ({code})")
    return Permanent(Reason.internal_error, f"the store {store} refused a statement ({code})")


def _postgres(cause: psycopg.Error, disconnected: bool, store: str) -> VinbatchError:
    state = cause.sqlstate or ""
    name = f"{type(cause).__name__} {state}".strip()
    if state.startswith(_FULL):
        return Transient(
            Reason.disk_full, f"the server of {store} has no room left ({name}); nothing is lost"
        )
    if state.startswith(_BUSY):
        return Transient(Reason.ledger_busy, f"the store {store} is busy ({name})")
    lost = isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError)) and not state
    if disconnected or lost or state.startswith(_UNREACHABLE):
        return Transient(Reason.ledger_unreachable, f"the store {store} does not answer ({name})")
    if isinstance(cause, psycopg.errors.DependentObjectsStillExist):
        return UsageError(f"{store}: {cause.diag.message_primary}; drop those, then run again")
    where = cause.diag.constraint_name or cause.diag.table_name or ""
    return Permanent(
        Reason.internal_error, f"the store {store} refused a statement ({name} {where})".rstrip()
    )
