"""What a database complains of becomes an error of ours that says whether to try again; no value is told."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from sqlalchemy import exc

from pipeline.errors import Coded, Permanent, Reason, Transient, UsageError
from pipeline.store.faults import translate

FULL, BUSY, AWAY = Reason.disk_full, Reason.ledger_busy, Reason.ledger_unreachable
POSTGRES = {
    "53100": (Transient, FULL),
    "53200": (Transient, FULL),
    "25006": (Transient, AWAY),
    **dict.fromkeys(("25P01", "25P03", "40001", "40P01", "53300", "55P03", "57014"), (Transient, BUSY)),
    **dict.fromkeys(
        ("21000", "22001", "22P05", "23505", "44000", "54000"), (Permanent, Reason.internal_error)
    ),
    **dict.fromkeys(("0A000", "28P01", "3D000", "3F000", "42501", "42P01", "2BP01"), (UsageError, None)),
    **dict.fromkeys(("57P01", "57P03", "08006", "XX000", "58030", "25000"), (Transient, AWAY)),
}
SQLITE = {
    **dict.fromkeys(("BUSY", "BUSY_SNAPSHOT", "LOCKED", "LOCKED_SHAREDCACHE", "PROTOCOL"), (Transient, BUSY)),
    "FULL": (Transient, FULL),
    **dict.fromkeys(("CORRUPT", "CORRUPT_INDEX", "NOTADB", "FORMAT"), (UsageError, None)),
    **dict.fromkeys(("IOERR_WRITE", "CANTOPEN", "READONLY", "PERM"), (Transient, AWAY)),
    **dict.fromkeys(
        ("CONSTRAINT_UNIQUE", "MISMATCH", "TOOBIG", "RANGE", "ERROR"), (Permanent, Reason.internal_error)
    ),
}


def told(error: exc.SQLAlchemyError | sqlite3.Error | psycopg.Error) -> tuple[type, Reason | None]:
    found = translate(error, "THE STORE")
    assert "THE STORE" in found.message and "secret" not in found.message
    return type(found), found.reason if isinstance(found, Coded) else None


def of_sqlite(name: str) -> sqlite3.Error:
    error = sqlite3.OperationalError("secret-7")
    error.sqlite_errorname = f"SQLITE_{name}"
    return error


@pytest.mark.parametrize("state", POSTGRES)
def test_what_postgresql_complains_of(state: str) -> None:
    error = psycopg.errors.lookup(state)("secret-7")
    assert told(error) == POSTGRES[state]
    assert told(exc.OperationalError("UPDATE secret", {}, error)) == POSTGRES[state]


@pytest.mark.parametrize("name", SQLITE)
def test_what_sqlite_complains_of(name: str) -> None:
    assert told(of_sqlite(name)) == SQLITE[name]
    assert told(exc.OperationalError("UPDATE secret", {}, of_sqlite(name))) == SQLITE[name]


def test_what_a_driver_or_sqlalchemy_itself_complains_of() -> None:
    for error in (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError):
        assert told(error("secret: no such value")) == (Permanent, Reason.internal_error)
    for away in (psycopg.OperationalError, psycopg.InterfaceError):
        assert told(away("secret: the connection is closed")) == (Transient, AWAY)
    assert told(sqlite3.ProgrammingError("secret")) == (Permanent, Reason.internal_error)
    assert told(exc.TimeoutError("secret: the pool is empty")) == (Transient, BUSY)
    assert told(exc.InvalidRequestError("secret")) == (Permanent, Reason.internal_error)
    assert told(exc.DBAPIError("SELECT", {}, ValueError("secret"))) == (Permanent, Reason.internal_error)
