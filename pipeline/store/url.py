"""What may stand after --store, and how it is shown: never with a password."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from pipeline.errors import UsageError

# No scheme, and nothing that a URL typed wrongly has (postgresql:/host, user:password@host).
_PATH = re.compile(r"[^:@?]+")
FORMS = "FILE.db, sqlite:///FILE.db or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


def parse(url: str) -> URL:
    """The URL with its driver, a SQLite path made absolute; a bare path is SQLite's. Raises UsageError."""
    if _PATH.fullmatch(url):
        return _sqlite(URL.create("sqlite", database=str(Path(url).expanduser())))
    try:
        parsed = make_url(url)
        port_is_number = parsed.port  # noqa: F841 — read here so that a bad one is complained of here
    except (ArgumentError, ValueError):
        # The text may hold a password that did not parse as one, so none of it is repeated.
        raise UsageError(f"the store is not a database URL; write {FORMS}") from None
    kind, _, driver = parsed.drivername.partition("+")
    if kind == "sqlite" and driver in ("", "pysqlite"):
        return _sqlite(parsed)
    if kind in ("postgresql", "postgres") and driver in ("", "psycopg"):
        if not parsed.database:
            raise UsageError(f"the store {mask(parsed)} names no database; write {FORMS}")
        return parsed.set(drivername="postgresql+psycopg")
    raise UsageError(f"the store {mask(parsed)} is of a kind that is not known; write {FORMS}")


def _sqlite(parsed: URL) -> URL:
    path = parsed.database
    if parsed.host or parsed.query:
        raise UsageError(
            f"the store {mask(parsed)} cannot be used; write sqlite:///FILE.db, with three slashes"
        )
    if path and Path(path).is_dir():
        raise UsageError(f"the store {path} is a folder; name a file in it, as {Path(path) / 'vinbatch.db'}")
    if not path or path == ":memory:":
        raise UsageError("a store in memory would be another one in each process; write sqlite:///FILE.db")
    return parsed.set(drivername="sqlite+pysqlite", database=str(Path(path).absolute()))


def mask(url: URL) -> str:
    """The URL for people: no password, neither before the host nor among the parameters."""
    shown = url.set(
        drivername=url.get_backend_name() if "+" in url.drivername else url.drivername,
        query={key: "***" if "pass" in key.lower() else value for key, value in url.query.items()},
    )
    return shown.render_as_string(hide_password=True).replace("=%2A%2A%2A", "=***")


def shown(url: str) -> str:
    """A URL as text for people, also one that cannot be used: without its password."""
    if _PATH.fullmatch(url):
        return url
    try:
        return mask(make_url(url))
    except (ArgumentError, ValueError):
        return "(not a database URL)"
