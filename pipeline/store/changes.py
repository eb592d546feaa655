"""What differs between two jobs over the same documents, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby
from typing import Any

from sqlalchemy import select

from pipeline.store import readings, rows
from pipeline.store.database import Database
from pipeline.store.entities import Change, Job
from pipeline.store.tables import documents, fields

_BATCH = 200


@dataclass(frozen=True, slots=True)
class _Document:
    uri: str
    side: int  # 0 before, 1 after
    state: str
    # By path: the value, as decided or as read, or the raw text where there is none.
    values: dict[str, Any] = field(default_factory=dict)


def diff(db: Database, before: Job, after: Job) -> Iterator[Change]:
    """What differs between two jobs, by document URI and field path in byte order, streamed."""
    # Both jobs are read in step, in the order of their URIs; only a few documents of each are held.
    both = merge(_documents(db, before, 0), _documents(db, after, 1), key=lambda document: document.uri)
    for uri, found in groupby(both, key=lambda document: document.uri):
        yield from _compared(uri, list(found))


def _compared(uri: str, found: Sequence[_Document]) -> Iterator[Change]:
    sides = {document.side: document for document in found}
    old, new = sides.get(0), sides.get(1)
    if old is None or new is None:
        yield Change(uri, None, old and old.state, new and new.state)
        return
    if old.state != new.state:
        yield Change(uri, None, old.state, new.state)
    for path in sorted({*old.values, *new.values}):
        if old.values.get(path) != new.values.get(path):
            yield Change(uri, path, old.values.get(path), new.values.get(path))


def _documents(db: Database, job: Job, side: int) -> Iterator[_Document]:
    last = ""
    while True:
        query = (
            select(documents.c.id, documents.c.uri, documents.c.state)
            .where(documents.c.job_id == job.id, documents.c.uri > last)
            .order_by(documents.c.uri)
            .limit(_BATCH)
        )
        with db.read() as connection:
            found = {row.id: _Document(row.uri, side, row.state) for row in connection.execute(query)}
            values = select(fields).where(fields.c.document_id.in_(list(found)))
            for row in connection.execute(values).mappings():
                read = rows.field_from(row)
                value = read.raw if read.value is None else read.value
                found[row["document_id"]].values[read.path] = value
            for document, made in readings.standing(connection, list(found)).items():
                whole = found[document].values
                whole |= {one.field: one.value for one in made if one.field is not None}
        if not found:
            return
        yield from found.values()
        last = max(document.uri for document in found.values())
