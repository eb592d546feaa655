"""What failed, and another try."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Subquery,
    Table,
    and_,
    case,
    delete,
    exists,
    false,
    func,
    or_,
    select,
    true,
    tuple_,
    union_all,
    update,
)

from pipeline.errors import Reason, UsageError
from pipeline.store import rows
from pipeline.store.database import Database
from pipeline.store.entities import FailedItem, FailureGroup, Job
from pipeline.store.tables import documents, extractions, pages, parts, readings

_BATCH = 2000  # documents put back in one transaction


class Failures:
    """Quarantined documents, and failed pages of partial ones."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def groups(self, job: Job) -> list[FailureGroup]:
        """Failures by reason, the most frequent first."""
        found = _failures(job)
        whole = func.sum(case((found.c.whole, 1), else_=0))
        query = select(found.c.reason, whole, func.count(), func.min(found.c.uri)).group_by(found.c.reason)
        with self._db.read() as connection:
            groups = [
                FailureGroup(reason, int(documents_), number - int(documents_), example)
                for reason, documents_, number, example in connection.execute(query)
            ]
        return sorted(groups, key=lambda group: (-group.documents, -group.pages, group.reason))

    def each(self, job: Job, reason: str | None = None) -> Iterator[FailedItem]:
        """Each quarantined document and each failed page of a partial one, streamed."""
        found = _failures(job)
        query = select(found).order_by(found.c.id, found.c.page).limit(_BATCH)
        if reason is not None:
            query = query.where(found.c.reason == reason)
        last = (0, 0)
        while True:
            with self._db.read() as connection:
                after = query.where(tuple_(found.c.id, found.c.page) > last)
                batch = connection.execute(after).mappings().all()
                several = _files(connection, {row["id"] for row in batch})
            for row in batch:
                failure = rows.failure_from(row, row["page"] or None)
                yield FailedItem(
                    row["uri"],
                    several.get(row["id"], (row["uri"],)),
                    failure,
                    row["attempts"],
                    row["losses"],
                    row["worker"],
                    row["at"],
                )
            if len(batch) < _BATCH:
                return
            last = (batch[-1]["id"], batch[-1]["page"])

    def retry(self, job: Job, *, reason: str | None = None, document: str | None = None) -> int:
        """Puts quarantined and partial documents back to pending, with fresh attempts; returns how many.

        Their good pages are kept. Exactly one of `reason` and `document` is given, which is a URI, of any of
        its files. Raises UsageError when the document is unknown, finished or being worked on.
        """
        if (reason is None) == (document is None):
            raise UsageError("say which documents to try again: either a reason or a document")
        if reason == Reason.rejected:
            raise UsageError("people rejected these documents: who did so may take it back (vinbatch review)")
        chosen = select(documents.c.id).where(
            documents.c.job_id == job.id,
            documents.c.state.in_(("quarantined", "partial")),
            or_(documents.c.reason.is_(None), documents.c.reason != Reason.rejected),
        )
        if document is not None:
            chosen = chosen.where(named(document))
        else:
            _known(reason)
            this_page = exists().where(pages.c.document_id == documents.c.id, pages.c.reason == reason)
            chosen = chosen.where(
                or_(
                    and_(documents.c.state == "quarantined", documents.c.reason == reason),
                    and_(documents.c.state == "partial", this_page),
                )
            )
        number = 0
        while again := self._put_back(chosen):
            number += again
        if document is not None and number == 0:
            raise UsageError(self._why_not(job, document))
        return number

    def _put_back(self, chosen: Select[tuple[int]]) -> int:
        query = chosen.limit(_BATCH)
        if not self._db.is_sqlite:  # two people who ask at once put each document back once
            query = query.with_for_update(skip_locked=True)
        with self._db.write(durable=True) as connection:
            ids = connection.execute(query).scalars().all()
            if ids:
                reopen(self._db, connection, ids)
                _unpin(connection, ids)
        return len(ids)

    def _why_not(self, job: Job, document: str) -> str:
        with self._db.read() as connection:
            query = select(documents.c.state, documents.c.reason)
            found = connection.execute(query.where(documents.c.job_id == job.id, named(document))).first()
        if found is None:
            return f"job {job.name} has no document {document}"
        state, reason = found
        if reason == Reason.rejected:
            return f"{document} was rejected by a person, who may take it back (vinbatch review)"
        return f"{document} is {state}; only quarantined and partial documents are tried again"


def _files(connection: Connection, ids: Collection[int]) -> dict[int, tuple[str, ...]]:
    """The parts of those documents that have several."""
    query = select(parts.c.document_id, parts.c.uri).order_by(parts.c.document_id, parts.c.part)
    found: dict[int, tuple[str, ...]] = {}
    for document, uri in connection.execute(query.where(parts.c.document_id.in_(ids))):
        found[document] = (*found.get(document, ()), uri)
    return found


def _unpin(connection: Connection, ids: Sequence[Any]) -> None:
    """Whoever asks for another try means the files as they are now, which a list may not tell."""
    connection.execute(update(documents).where(documents.c.id.in_(ids)).values(etag=None))
    mine = update(parts).where(parts.c.document_id.in_(ids))
    connection.execute(mine.values(etag=None))
    connection.execute(mine.where(~parts.c.listed_broken).values(reason=None, message=None))


def named(uri: str) -> ColumnElement[bool]:
    """The document with this name, or with a file of this name."""
    # Not EXISTS for each document: SQLite would look at all of them.
    return or_(
        documents.c.uri == uri, documents.c.id.in_(select(parts.c.document_id).where(parts.c.uri == uri))
    )


def _failures(job: Job) -> Subquery:
    """Quarantined documents, and the failed pages of partial ones. Page 0 is the document as a whole."""
    common = (documents.c.id, documents.c.uri, documents.c.attempts, documents.c.losses, documents.c.worker)
    quarantined = select(
        *common,
        *_why(documents, func.coalesce(documents.c.failed_page, 0)),
        true().label("whole"),
        documents.c.finished_at.label("at"),
    ).where(documents.c.job_id == job.id, documents.c.state == "quarantined")
    partial = (
        select(*common, *_why(pages, pages.c.page), false().label("whole"), pages.c.read_at.label("at"))
        .join_from(documents, pages)
        .where(documents.c.job_id == job.id, documents.c.state == "partial", pages.c.reason.is_not(None))
    )
    return union_all(quarantined, partial).subquery()


def _why(table: Table, page: ColumnElement[int]) -> tuple[ColumnElement[Any], ...]:
    return table.c.reason, table.c.message, table.c.traceback, table.c.retryable, page.label("page")


def reopen(db: Database, connection: Connection, ids: Sequence[Any]) -> None:
    """To be read again; good pages and what people decided are kept."""
    connection.execute(delete(extractions).where(extractions.c.document_id.in_(ids)))
    connection.execute(delete(readings).where(readings.c.document_id.in_(ids)))
    connection.execute(delete(pages).where(pages.c.document_id.in_(ids), pages.c.reason.is_not(None)))
    connection.execute(
        update(documents)
        .where(documents.c.id.in_(ids))
        .values(
            state="pending",
            attempts=0,
            losses=0,
            lease_token=None,
            finished_at=None,
            ready_at=db.now(),
            scheduled_at=db.now(),
        )
    )


def _known(reason: str | None) -> None:
    if reason not in set(Reason):
        raise UsageError(f"{reason!r} is no reason code; `vinbatch failures` lists those of a job")
