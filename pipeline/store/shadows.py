"""Shadows: jobs in which a candidate reads a share of another job's documents, to be compared with it.

A shadow is a job of its own. Its results stand in views of their own (`_shadow_invoice_v1`), and no question
over all jobs counts them, so that nobody takes the candidate's values for those of the job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy import select

from pipeline.errors import Reason
from pipeline.records import DocumentRef, Failure
from pipeline.store import files
from pipeline.store.database import Database
from pipeline.store.entities import Job, View
from pipeline.store.tables import documents

_BATCH = 500  # documents
_SALT = "shadow\n"
_PREFIX = "_shadow_"  # no name of a schema's own view begins with "_"
_LONGEST = 63  # bytes of a name in PostgreSQL


@dataclass(frozen=True, slots=True)
class Shadow:
    """Of which job, and the share of its documents, 0 to 1."""

    of: int
    share: float


def chosen(db: Database, job: Job, share: float) -> Iterator[DocumentRef]:
    """That share of a job's documents as it listed them, in their order, streamed.

    A document is chosen by its URI alone: always the same ones, and those of a smaller share among them.
    """
    last = 0
    while True:
        query = (
            select(documents)
            .where(documents.c.job_id == job.id, documents.c.id > last)
            .order_by(documents.c.id)
            .limit(_BATCH)
        )
        with db.read() as connection:
            batch = connection.execute(query).mappings().all()
            mine = [row for row in batch if is_chosen(row["uri"], share)]
            parts = files.of(connection, [row["id"] for row in mine if row["parts"]])
        if not batch:
            return
        for row in mine:
            broken = row["state"] == "quarantined" and not row["attempts"]  # by its entry in the listing
            why = Failure(Reason(row["reason"]), row["message"]) if broken else None
            yield DocumentRef(row["uri"], row["size"], row["etag"], why, parts.get(row["id"], ()))
        last = batch[-1]["id"]


def is_chosen(uri: str, share: float) -> bool:
    """Whether a document belongs to this share of all."""
    digest = hashlib.sha256(f"{_SALT}{uri}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def views_of(wanted: tuple[View, ...]) -> tuple[View, ...]:
    """The views in which a shadow's results stand, in place of these."""
    return tuple(replace(view, name=_named(view.name)) for view in wanted)


def _named(name: str) -> str:
    """Two long names that begin alike stay apart."""
    whole = f"{_PREFIX}{name}"
    if len(whole.encode()) <= _LONGEST:
        return whole
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{whole.encode()[: _LONGEST - 9].decode('utf-8', 'ignore')}_{digest}"
