"""The index of invoices: what questions over many of them ask of each, in columns that SQL can compare.

Which invoice a paper is, which other one it stands for, how it was paid: the schemas' rules say so from a
record, and SQL could not. A row is made with the result (`duplicates.mark`); those that an older Vinbatch
left out are made when a run begins or somebody asks, and all anew when the rules have changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, and_, literal_column, select

from pipeline.store import rows
from pipeline.store.database import Database
from pipeline.store.entities import Job
from pipeline.store.shares import in_dong, shares
from pipeline.store.tables import documents, extractions, invoice_index, jobs
from schemas.fields import whole_tax_code
from schemas.identity import identity
from schemas.payment import payment
from schemas.registry import BUILT_IN, resolve
from schemas.related import related

_SCHEMAS = tuple(f"invoice@{version}" for version in BUILT_IN["invoice"])
_BATCH = 1000  # documents in one transaction
_LARGEST = 2**63 - 1

_PUT = """
INSERT INTO invoice_index (document_id, rules, identity, seller, seller_name, buyer, number, issue_date,
    total, total_vnd, payment, relation, related, shares)
SELECT document_id, rules, identity, seller, seller_name, buyer, number, issue_date,
    total, total_vnd, payment, relation, related, shares
FROM json_to_recordset(CAST(:rows AS json)) AS given(
    document_id bigint, rules text, identity text, seller text, seller_name text, buyer text, number text,
    issue_date text, total text, total_vnd bigint, payment text, relation text, related text,
    shares text)
WHERE true
ON CONFLICT (document_id) DO UPDATE
SET rules = excluded.rules, identity = excluded.identity, seller = excluded.seller,
    seller_name = excluded.seller_name, buyer = excluded.buyer, number = excluded.number,
    issue_date = excluded.issue_date, total = excluded.total, total_vnd = excluded.total_vnd,
    payment = excluded.payment, relation = excluded.relation, related = excluded.related,
    shares = excluded.shares
"""


def update(db: Database, *, old_ones: bool = True) -> int:
    """Makes the rows that are missing, and `old_ones`, in small transactions; returns their number."""
    rules = resolve(_SCHEMAS[-1]).hash  # of all code that a row comes from
    last, made = 0, 0
    while True:
        with db.write() as connection:
            found = _without_row(connection, rules if old_ones else None, last)
            if not found:
                return made
            put(db, connection, [row(document, record) for document, record in found], rules)
        last, made = found[-1][0], made + len(found)


def put(
    db: Database, connection: Connection, made: Sequence[dict[str, Any]], rules: str | None = None
) -> None:
    """Keeps rows of the index, made by `row`; `rules` is the hash of what they were made by."""
    by = rules or _rules()
    db.sql(connection, _PUT, rows=[one | {"rules": by} for one in made])


@cache
def _rules() -> str:
    return resolve(_SCHEMAS[-1]).hash


def indexed(job: Job) -> bool:
    """Whether the documents of a job stand in the index: a shadow's are read a second time."""
    return job.schema in _SCHEMAS and job.shadow_of is None


def _without_row(connection: Connection, rules: str | None, last: int) -> list[tuple[int, Mapping[str, Any]]]:
    """The next results of which these rules (None: any) made no row; locked until the transaction ends."""
    read = select(jobs.c.id).where(jobs.c.schema.in_(_SCHEMAS), jobs.c.shadow_of.is_(None))
    # With "+" no index of the jobs' documents is used: SQLite would sort all of them for each batch.
    ours = connection.execute(read).scalars().all()
    mine = invoice_index.c.document_id == extractions.c.document_id
    if rules is not None:
        mine = and_(mine, invoice_index.c.rules == rules)
    query = (
        select(extractions.c.document_id, extractions.c.record)
        .join(documents, documents.c.id == extractions.c.document_id)
        .outerjoin(invoice_index, mine)
        .where(
            literal_column("+documents.job_id", BigInteger).in_(ours),
            invoice_index.c.document_id.is_(None),
            extractions.c.document_id > last,
        )
        .order_by(extractions.c.document_id)
        .limit(_BATCH)
        .with_for_update(read=True, of=extractions)  # SQLite has one writer, and passes over this
    )
    return [(found.document_id, found.record) for found in connection.execute(query)]


def row(document: int, record: Mapping[str, Any]) -> dict[str, Any]:
    """The index's row of one record of the schema `invoice`, but for the hash of the rules."""
    seller, total = record.get("seller_tax_code"), record.get("total")
    own = identity(seller, record.get("form_no"), record.get("series"), record.get("number"))
    other = related(record.get("related_invoice"), seller)
    return {
        "document_id": document,
        "identity": None if own is None else str(own),
        "seller": None if seller is None else whole_tax_code(seller),
        "seller_name": record.get("seller_name"),
        "buyer": record.get("buyer_tax_code"),
        "number": record.get("number"),
        "issue_date": record.get("issue_date"),
        "total": total,
        "total_vnd": _dong(total, record),
        "payment": payment(record.get("payment_method")),
        "relation": None if other is None else other.relation,
        "related": None if other is None or other.other is None else str(other.other),
        "shares": _shares(record),
    }


def rate(record: Mapping[str, Any]) -> Decimal | None:
    """How many đồng one unit of the invoice's currency is; None where that is not printed."""
    if record.get("currency") in (None, "VND"):
        return Decimal(1)
    printed = record.get("exchange_rate")
    return None if printed is None else Decimal(printed)


def _shares(record: Mapping[str, Any]) -> str | None:
    unit = rate(record)
    if unit is None:
        return None
    found = [(part.rate, part.net, part.vat) for part in in_dong(shares(record), unit)]
    whole = [(name, _whole(net), _whole(tax)) for name, net, tax in found]
    if not found or any(net is None or tax is None for _, net, tax in whole):
        return None
    return rows.dump(whole)


def _dong(total: str | None, record: Mapping[str, Any]) -> int | None:
    unit = rate(record)
    if total is None or unit is None:
        return None
    return _whole(Decimal(total) * unit)


def _whole(amount: Decimal) -> int | None:
    """The amount in whole đồng; None where no column can hold it."""
    if abs(amount) > _LARGEST:  # and more digits than `quantize` takes
        return None
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))
