"""The books of a job: what is counted, what does not add up, what failed, what is tried again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Subquery,
    Table,
    Text,
    and_,
    case,
    cast,
    delete,
    exists,
    false,
    func,
    null,
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
from pipeline.store.records import FINISHED, STATES, Balance, Difference, FailedItem, FailureGroup, Job
from pipeline.store.tables import documents, extractions, jobs, pages

_NAMED = 100  # differences that are told one by one
_BATCH = 2000  # documents put back in one transaction


def counts(db: Database, job: Job) -> dict[str, int]:
    with db.read() as connection:
        return _counts(connection, job)


def _counts(connection: Connection, job: Job) -> dict[str, int]:
    query = (
        select(documents.c.state, func.count())
        .where(documents.c.job_id == job.id)
        .group_by(documents.c.state)
    )
    found = {row[0]: row[1] for row in connection.execute(query)}
    return {state: found.get(state, 0) for state in STATES}


# the balance


def balance(db: Database, job: Job) -> Balance:
    differences: list[Difference] = []
    number = 0
    with db.snapshot() as connection:
        states = _counts(connection, job)
        submitted = connection.execute(select(jobs.c.submitted).where(jobs.c.id == job.id)).scalar_one()
        if submitted != sum(states.values()):
            message = f"{submitted} documents were submitted, {sum(states.values())} are there"
            differences.append(Difference("submitted", message))
            number += 1
        for kind, says, query in _wrong(job):
            number += connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
            for uri, figure in connection.execute(query.limit(_NAMED - len(differences))):
                named = uri or f"extraction {figure}"
                differences.append(Difference(kind, f"{named}: {says.format(figure)}", uri))
    return Balance(submitted=submitted, differences=tuple(differences), difference_count=number, **states)


def _wrong(job: Job) -> Iterator[tuple[Any, str, Select[tuple[str, Any]]]]:
    """Queries that find nothing while the books are in order: what, in words, URI and figure."""
    ours = documents.c.job_id == job.id
    finished = documents.c.state.in_(FINISHED)
    has_extraction = exists().where(extractions.c.document_id == documents.c.id)
    yield (
        "no_extraction",
        "is {0} and has no extraction",
        select(documents.c.uri, documents.c.state).where(ours, finished, ~has_extraction),
    )
    yield (
        "orphan_extraction",
        "is {0} and has an extraction",
        select(documents.c.uri, documents.c.state).where(ours, ~finished, has_extraction),
    )
    yield (
        "orphan_extraction",
        "belongs to no document",
        select(cast(null(), Text), extractions.c.document_id)
        .outerjoin_from(extractions, documents, documents.c.id == extractions.c.document_id)
        .where(documents.c.id.is_(None)),
    )
    kept = select(pages.c.document_id, func.count().label("number")).group_by(pages.c.document_id).subquery()
    number = func.coalesce(kept.c.number, 0)
    yield (
        "page_rows",
        "has {0} page rows, not one for each of its pages",
        select(documents.c.uri, number)
        .outerjoin_from(documents, kept, kept.c.document_id == documents.c.id)
        .where(ours, finished, number != documents.c.pages),
    )


def settle(db: Database, job: Job) -> None:
    """Waits until all that was committed so far is on the disk."""
    with db.write(durable=True) as connection:
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(submitted=jobs.c.submitted))


# failures


def failures(db: Database, job: Job) -> list[FailureGroup]:
    found = _failures(job)
    whole = func.sum(case((found.c.whole, 1), else_=0))
    query = select(found.c.reason, whole, func.count(), func.min(found.c.uri)).group_by(found.c.reason)
    with db.read() as connection:
        groups = [
            FailureGroup(reason, int(documents_), number - int(documents_), example)
            for reason, documents_, number, example in connection.execute(query)
        ]
    return sorted(groups, key=lambda group: (-group.documents, -group.pages, group.reason))


def failed(db: Database, job: Job, reason: str | None) -> Iterator[FailedItem]:
    found = _failures(job)
    query = select(found).order_by(found.c.id, found.c.page).limit(_BATCH)
    if reason is not None:
        query = query.where(found.c.reason == reason)
    last = (0, 0)
    while True:
        with db.read() as connection:
            after = query.where(tuple_(found.c.id, found.c.page) > last)
            batch = connection.execute(after).mappings().all()
        for row in batch:
            failure = rows.failure_from(row, row["page"] or None)
            yield FailedItem(row["uri"], failure, row["attempts"], row["losses"], row["worker"], row["at"])
        if len(batch) < _BATCH:
            return
        last = (batch[-1]["id"], batch[-1]["page"])


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


# another try


def retry(db: Database, job: Job, reason: str | None, document: str | None) -> int:
    if (reason is None) == (document is None):
        raise UsageError("say which documents to try again: either a reason or a document")
    failed_page = exists().where(pages.c.document_id == documents.c.id, pages.c.reason.is_not(None))
    chosen = select(documents.c.id).where(
        documents.c.job_id == job.id, documents.c.state.in_(("quarantined", "partial"))
    )
    if document is not None:
        chosen = chosen.where(documents.c.uri == document)
    else:
        _known(reason)
        this_page = failed_page.where(pages.c.reason == reason)
        chosen = chosen.where(
            or_(
                and_(documents.c.state == "quarantined", documents.c.reason == reason),
                and_(documents.c.state == "partial", this_page),
            )
        )
    number = 0
    while again := _put_back(db, chosen):
        number += again
    if document is not None and number == 0:
        raise UsageError(_why_not(db, job, document))
    return number


def _put_back(db: Database, chosen: Select[tuple[int]]) -> int:
    with db.write(durable=True) as connection:
        # FOR UPDATE: two people who ask at once put each document back once
        query = (
            chosen.limit(_BATCH) if db.is_sqlite else chosen.limit(_BATCH).with_for_update(skip_locked=True)
        )
        ids = connection.execute(query).scalars().all()
        if ids:
            connection.execute(delete(extractions).where(extractions.c.document_id.in_(ids)))
            connection.execute(delete(pages).where(pages.c.document_id.in_(ids), pages.c.reason.is_not(None)))
            connection.execute(
                update(documents)
                .where(documents.c.id.in_(ids))
                .values(
                    state="pending",
                    attempts=0,
                    losses=0,
                    lease_token=None,
                    ready_at=db.now(),
                    finished_at=None,
                )
            )
    return len(ids)


def _known(reason: str | None) -> None:
    if reason not in set(Reason):
        raise UsageError(f"{reason!r} is no reason code; `vinbatch failures` lists those of a job")


def _why_not(db: Database, job: Job, document: str) -> str:
    with db.read() as connection:
        query = select(documents.c.state).where(documents.c.job_id == job.id, documents.c.uri == document)
        state = connection.execute(query).scalar_one_or_none()
    if state is None:
        return f"job {job.name} has no document {document}"
    return f"{document} is {state}; only quarantined and partial documents are tried again"
