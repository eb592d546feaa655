"""A listing becomes rows, a batch a transaction; what is there already stays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Text,
    bindparam,
    case,
    exists,
    false,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.types import TypeEngine

from pipeline.errors import Reason
from pipeline.records import DocumentRef, Failure
from pipeline.store import rows
from pipeline.store.database import Database
from pipeline.store.ledger import scheduled
from pipeline.store.records import Added, Job
from pipeline.store.tables import documents, jobs

_LONGEST_URI = 2000  # bytes; an index entry of PostgreSQL holds 2,700
_ADDED: dict[str, TypeEngine[Any]] = {
    "uri": Text(),
    "size": BigInteger(),
    "etag": Text(),
    "reason": Text(),
    "message": Text(),
    "traceback": Text(),
    "retryable": Boolean(),
}


def add(db: Database, job: Job, refs: Iterable[DocumentRef], batch: int) -> Added:
    added = known = failed = changed = 0
    uris: list[str] = []
    for chunk in _batches(refs, batch):
        items = {item["uri"]: item for item in map(_added, chunk)}
        with db.write(durable=True) as connection:
            new = _insert(db, connection, job, items)
            old = [item for uri, item in items.items() if uri not in new]
            other = _changed(db, connection, job, old) if old else []
        added += len(new)
        known += len(chunk) - len(new)
        failed += sum(items[uri]["reason"] is not None for uri in new)
        changed += len(other)
        uris += other[: 20 - len(uris)]
    return Added(added, known, failed, changed, tuple(uris))


def _batches(refs: Iterable[DocumentRef], size: int) -> Iterator[list[DocumentRef]]:
    remaining = iter(refs)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _added(ref: DocumentRef) -> dict[str, Any]:
    uri, failure = rows.clean(ref.uri), ref.failure
    if len(uri.encode()) > _LONGEST_URI:
        failure = Failure(
            Reason.uri_too_long, f"the name has {len(uri.encode()):,} bytes, at most {_LONGEST_URI:,}"
        )
        uri = f"{uri.encode()[: _LONGEST_URI - 100].decode('utf-8', 'ignore')}…{_digest(uri)}"
    return {"uri": uri, "size": ref.size, "etag": ref.etag, **rows.failure(failure)}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _insert(db: Database, connection: Connection, job: Job, items: dict[str, dict[str, Any]]) -> set[str]:
    """Adds those that are not there yet; returns their URIs."""
    source = db.rows("refs", _ADDED)
    broken = source.c.reason.is_not(None)
    values = {
        "job_id": literal(job.id),
        **{name: source.c[name] for name in _ADDED},
        "state": case((broken, "quarantined"), else_="pending"),
        "attempts": literal(0),
        "losses": literal(0),
        "suspect": false(),
        "added_at": db.now(),
        **scheduled(db),
        "finished_at": case((broken, db.now())),
    }
    statement = (
        db.insert(documents)
        .from_select(list(values), select(*values.values()).where(true()))
        .on_conflict_do_nothing(index_elements=["job_id", "uri"])
        .returning(documents.c.uri)
    )
    new = set(connection.execute(statement, {"refs": rows.dump(list(items.values()))}).scalars())
    if new:
        submitted = jobs.c.submitted + len(new)
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(submitted=submitted))
    return new


def _changed(db: Database, connection: Connection, job: Job, items: Sequence[dict[str, Any]]) -> list[str]:
    """Known documents that are now listed with another etag; pending ones take it on.

    Those that were given up are pending again: what is there now may be readable.
    """
    source = db.rows("refs", {"uri": Text(), "etag": Text()})
    # Not a join: SQLite would look through all of the job's documents for each batch.
    other = exists().where(
        documents.c.job_id == job.id, documents.c.uri == source.c.uri, documents.c.etag != source.c.etag
    )
    found = set(connection.execute(select(source.c.uri).where(other), {"refs": rows.dump(items)}).scalars())
    if found:
        theirs = (documents.c.job_id == job.id, documents.c.uri == bindparam("found"))
        seen = [
            {"found": item["uri"], "new_etag": item["etag"], "new_size": item["size"]}
            for item in items
            if item["uri"] in found
        ]
        held = select(documents.c.id).where(documents.c.job_id == job.id, documents.c.uri.in_(found))
        db.locked(connection, held, documents.c.id)
        again = update(documents).where(*theirs, documents.c.state == "quarantined")
        connection.execute(
            again.values(
                state="pending",
                attempts=0,
                losses=0,
                suspect=False,
                lease_token=None,
                **rows.failure(None),
                finished_at=None,
                **scheduled(db),
            ),
            seen,
        )
        connection.execute(
            update(documents)
            .where(*theirs, documents.c.state == "pending")
            .values(etag=bindparam("new_etag"), size=bindparam("new_size")),
            seen,
        )
    return [item["uri"] for item in items if item["uri"] in found]
