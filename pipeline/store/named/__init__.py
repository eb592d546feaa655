"""Questions over all documents of a store, or those of one job, each in a file of SQL beside this one.

A file's first line, a comment, says what it answers. It is PostgreSQL's SQL, and `Database.sql` says what is
put otherwise for SQLite. Besides the store's own it may read these tables, each in a file of `tables/`:

    latest      the newest reading of each document for each schema
    decided     what people decided of them, as far as it stands
    failed      their failed checks that send a document to a person
    cards       identity cards, of any version of the schema
    invoices    the newest reading of each invoice, with what the index knows of it
    purchases   invoices, each once, and why a paper is set aside
    shares      net and VAT of invoices by rate
    limits      since, until, amount: from how many đồng on none may pay in cash, by law
    suppliers   tax_code, since, until, note: the caller's list of risky suppliers

and these values: `:job`, NULL for all jobs, and the days `:today`, `:in_30_days` and `:in_90_days`. Where the
paper does not say, an answer is `unknown`, or the row is left out, as the file says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from importlib import resources

from pipeline.errors import UsageError
from pipeline.store import invoices, query
from pipeline.store.database import Database
from pipeline.store.query import Rows
from pipeline.store.suppliers import Supplier
from schemas import law as laws
from schemas.law import Law
from schemas.payment import Limit, limits

# In an order in which each reads only earlier ones.
_TABLES = ("latest", "decided", "failed", "cards", "invoices", "purchases", "shares", "limits", "suppliers")
_OF_INVOICES = {"invoices", "shares"}  # these stand in the index
# The names that these questions had at first.
_FORMERLY = {
    "chains": "replaced-invoices",
    "duplicates": "duplicate-invoices",
    "payment": "non-cash-payments",
    "purchases": "purchase-list",
    "unidentified": "unidentified-invoices",
    "unlinked": "unclear-corrections",
}


@dataclass(frozen=True, slots=True)
class Named:
    """One question. `needs` are the tables of `tables/` that it reads, each after those it reads itself."""

    name: str
    title: str
    body: str
    needs: tuple[str, ...]

    def sql(self, is_sqlite: bool) -> str:
        """The whole statement."""
        tables = [f"{name} AS MATERIALIZED (\n{_table(name, is_sqlite)})" for name in self.needs]
        own = self.body.removeprefix("WITH ")
        if own != self.body:
            return "WITH RECURSIVE " + ",\n".join([*tables, own])
        return ("WITH " + ",\n".join(tables) + "\n" if tables else "") + own


def every() -> tuple[Named, ...]:
    """All questions, by name."""
    files = sorted(file.name for file in resources.files(__package__).iterdir() if file.name.endswith(".sql"))
    return tuple(_named(name.removesuffix(".sql")) for name in files)


def find(name: str) -> Named:
    """Raises UsageError, which names those that are there."""
    found = {named.name: named for named in every()}
    name = _FORMERLY.get(name, name)
    if name not in found:
        raise UsageError(f"no named query {name!r}; there are {', '.join(found)}")
    return found[name]


@contextmanager
def ask(
    db: Database,
    name: str,
    *,
    job: str | None = None,
    suppliers: Sequence[Supplier] | None = None,
    law: Law | None = None,
    seconds: float = 300.0,
) -> Iterator[Rows]:
    """The rows of a named query, as `query` gives them, after the index of invoices was brought up to date.

    `job` is the name of the one whose documents are asked about; None: all. `law` is what a user adds to
    `law.toml`. Raises UsageError for an unknown name, and for a list of suppliers that is wanted or was given
    in vain.
    """
    named = find(name)
    if (suppliers is not None) != ("suppliers" in named.needs):
        told = "reads no list of suppliers" if suppliers is not None else "wants --suppliers FILE.csv"
        raise UsageError(f"the named query {named.name} {told}")
    if _OF_INVOICES.intersection(named.needs):
        invoices.update(db)
    values = _values(db, job, suppliers or (), law or Law())
    statement = named.sql(db.is_sqlite)
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    with query.query(db, statement, seconds=seconds, values=used) as rows:
        yield rows


def _values(
    db: Database, job: str | None, suppliers: Sequence[Supplier], law: Law
) -> Mapping[str, str | None]:
    today = db.read_clock().date()
    given: Mapping[str, Sequence[Limit | Supplier]] = {
        "limits": tuple(limits(laws.built_in().extended(law))),
        "suppliers": suppliers,
    }
    lists = {  # dates as in ISO 8601
        name: json.dumps([asdict(item) for item in items], default=str) for name, items in given.items()
    }
    days = {f"in_{days}_days": str(today + timedelta(days)) for days in (30, 90)}
    return {"job": job, "today": str(today), **days, **lists}


def _named(name: str) -> Named:
    title, _, body = (resources.files(__package__) / f"{name}.sql").read_text("utf-8").partition("\n")
    while body.startswith("--"):
        body = body.partition("\n")[2]
    return Named(name, title.removeprefix("--").strip(), body, _needed(body))


def _needed(body: str) -> tuple[str, ...]:
    """The tables that it reads, and those that they read, in the order of `_TABLES`."""
    found = {name for name in _TABLES if re.search(rf"\b(?:FROM|JOIN) {name}\b", body)}
    for name in reversed(_TABLES):
        if name in found:
            found.update(_needed(_table(name, is_sqlite=False)))
    return tuple(name for name in _TABLES if name in found)


def _table(name: str, is_sqlite: bool) -> str:
    if name == "shares":
        return _SHARES_IN_SQLITE if is_sqlite else _SHARES
    return (resources.files(__package__) / f"tables/{name}.sql").read_text("utf-8")


_SHARES = """    SELECT document_id, part ->> 0 AS rate, CAST(part ->> 1 AS bigint) AS net,
        CAST(part ->> 2 AS bigint) AS vat
    FROM invoice_index CROSS JOIN LATERAL jsonb_array_elements(CAST(shares AS jsonb)) AS parts(part)
"""
_SHARES_IN_SQLITE = """    SELECT document_id, value ->> 0 AS rate, value ->> 1 AS net, value ->> 2 AS vat
    FROM invoice_index, json_each(invoice_index.shares)
"""
