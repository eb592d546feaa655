"""Questions over all invoices of a store, each in a file of SQL beside this one.

A file's first line, a comment, says what it answers. It is PostgreSQL's SQL, and `Database.sql` says what is
put otherwise for SQLite. It may read

    invoices    (invoices.sql) the newest reading of each document, with what the index knows of it
    limits      since, until, amount: from how many đồng on none may pay in cash, by law
    suppliers   tax_code, since, until, note: the caller's list of risky suppliers

Where the paper does not say, an answer is `unknown`, or the row is left out, as the file says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import resources

from pipeline.errors import UsageError
from pipeline.store import invoices, query
from pipeline.store.database import Database
from pipeline.store.query import Rows
from pipeline.store.suppliers import Supplier
from schemas import law as laws
from schemas.law import Law
from schemas.payment import Limit, limits

_INVOICES = "invoices"
_GIVEN = {
    "limits": "limits AS (SELECT since, until, amount FROM json_to_recordset(CAST(:limits AS json))"
    " AS given(since text, until text, amount bigint))",
    "suppliers": "suppliers AS (SELECT tax_code, since, until, note"
    " FROM json_to_recordset(CAST(:suppliers AS json))"
    " AS given(tax_code text, since text, until text, note text))",
}


@dataclass(frozen=True, slots=True)
class Named:
    """One question. `needs` are the tables of `_GIVEN` that it reads."""

    name: str
    title: str
    body: str
    needs: tuple[str, ...]

    @property
    def sql(self) -> str:
        """The whole statement."""
        tables = [f"invoices AS MATERIALIZED (\n{_file(_INVOICES)})", *(_GIVEN[name] for name in self.needs)]
        own = self.body.removeprefix("WITH ")
        return "WITH RECURSIVE " + ",\n".join(tables) + ("\n" if own == self.body else ",\n") + own


def every() -> tuple[Named, ...]:
    """All questions, by name."""
    files = sorted(file.name for file in resources.files(__package__).iterdir() if file.name.endswith(".sql"))
    names = (name.removesuffix(".sql") for name in files)
    return tuple(_named(name) for name in names if name != _INVOICES)


def find(name: str) -> Named:
    """Raises UsageError, which names those that are there."""
    found = {named.name: named for named in every()}
    if name not in found:
        raise UsageError(f"no named query {name!r}; there are {', '.join(found)}")
    return found[name]


@contextmanager
def ask(
    db: Database,
    name: str,
    *,
    suppliers: Sequence[Supplier] | None = None,
    law: Law | None = None,
    seconds: float = 300.0,
) -> Iterator[Rows]:
    """The rows of a named query, as `query` gives them, after the index of invoices was brought up to date.

    `law` is what a user adds to `law.toml`.
    Raises UsageError for an unknown name, and for a list of suppliers that is wanted or was given in vain.
    """
    named = find(name)
    if (suppliers is not None) != ("suppliers" in named.needs):
        told = "reads no list of suppliers" if suppliers is not None else "wants --suppliers FILE.csv"
        raise UsageError(f"the named query {name} {told}")
    invoices.update(db)
    with query.query(
        db, named.sql, seconds=seconds, values=_values(named, suppliers or (), law or Law())
    ) as rows:
        yield rows


def _values(named: Named, suppliers: Sequence[Supplier], law: Law) -> Mapping[str, str]:
    given: Mapping[str, Sequence[Limit | Supplier]] = {
        "limits": tuple(limits(laws.built_in().extended(law))),
        "suppliers": suppliers,
    }
    return {
        name: json.dumps([asdict(item) for item in given[name]], default=str)  # dates as in ISO 8601
        for name in named.needs
    }


def _named(name: str) -> Named:
    title, _, body = _file(name).partition("\n")
    while body.startswith("--"):
        body = body.partition("\n")[2]
    needs = tuple(table for table in _GIVEN if re.search(rf"\b(?:FROM|JOIN) {table}\b", body))
    return Named(name, title.removeprefix("--").strip(), body, needs)


def _file(name: str) -> str:
    return (resources.files(__package__) / f"{name}.sql").read_text("utf-8")
