"""The books of a job: what is counted, what does not add up, what failed, what is tried again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
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
from pipeline.store.ledger import scheduled
from pipeline.store.records import (
    FINISHED,
    STATES,
    Balance,
    Difference,
    FailedItem,
    FailureGroup,
    Job,
    Repair,
)
from pipeline.store.tables import checks, documents, extractions, fields, jobs, pages

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
    uri, state, kept = documents.c.uri, documents.c.state, _pages_kept()
    yield "no_extraction", "is {0} and has no extraction", select(uri, state).where(*_without_result(job))
    yield "orphan_extraction", "is {0} and has an extraction", select(uri, state).where(*_with_too_much(job))
    yield (
        "orphan_extraction",
        "belongs to no document",
        select(cast(null(), Text), extractions.c.document_id).where(_of_nobody(extractions)),
    )
    yield (
        "page_rows",
        "has {0} page rows, not one for each of its pages",
        select(uri, kept).where(*_with_other_pages(job)),
    )


# what is wrong with a document, as conditions


def _without_result(job: Job) -> tuple[ColumnElement[bool], ...]:
    return documents.c.job_id == job.id, documents.c.state.in_(FINISHED), ~_has_extraction()


def _with_too_much(job: Job) -> tuple[ColumnElement[bool], ...]:
    return documents.c.job_id == job.id, ~documents.c.state.in_(FINISHED), _has_extraction()


def _with_other_pages(job: Job) -> tuple[ColumnElement[bool], ...]:
    finished = documents.c.state.in_(FINISHED)
    return documents.c.job_id == job.id, finished, _pages_kept() != func.coalesce(documents.c.pages, 0)


def _of_nobody(table: Table) -> ColumnElement[bool]:
    return ~exists().where(documents.c.id == table.c.document_id)


def _has_extraction() -> ColumnElement[bool]:
    return exists().where(extractions.c.document_id == documents.c.id)


def _pages_kept() -> ScalarSelect[int]:
    return select(func.count()).where(pages.c.document_id == documents.c.id).scalar_subquery()


# putting right


def repair(db: Database, job: Job) -> list[Repair]:
    with db.write(durable=True) as connection:
        again = _read_again(db, connection, (_without_result(job), _with_other_pages(job)))
        dropped = _drop_results(db, connection, job)
        strays = _drop_rows_of_nobody(connection)
        before, there = _count_again(connection, job)
    done = (
        Repair(f"{again} documents that lacked their result or a page of it are pending again", again),
        Repair(f"{dropped} results of documents that are not finished were removed", dropped),
        Repair(f"{strays} rows that belong to no document were removed", strays),
        Repair(f"{there} documents are there, and {before} were on the books: now {there}", there - before),
    )
    return [step for step in done if step.number]


def _read_again(
    db: Database, connection: Connection, wrong: Sequence[tuple[ColumnElement[bool], ...]]
) -> int:
    either = or_(*(and_(*conditions) for conditions in wrong))
    ids = db.locked(connection, select(documents.c.id).where(either), documents.c.id)
    for some in _some(ids):
        _reopen(db, connection, some)
    return len(ids)


def _drop_results(db: Database, connection: Connection, job: Job) -> int:
    ids = db.locked(connection, select(documents.c.id).where(*_with_too_much(job)), documents.c.id)
    for some in _some(ids):
        connection.execute(delete(extractions).where(extractions.c.document_id.in_(some)))
    return len(ids)


def _drop_rows_of_nobody(connection: Connection) -> int:
    return sum(
        connection.execute(delete(table).where(_of_nobody(table))).rowcount
        for table in (checks, fields, extractions, pages)
    )


def _count_again(connection: Connection, job: Job) -> tuple[int, int]:
    """Documents that were on the books, and those that are there."""
    mine = jobs.c.id == job.id
    # Locked before it counts: whoever adds or removes documents now changes the figure afterwards.
    connection.execute(update(jobs).where(mine).values(submitted=jobs.c.submitted))
    before = connection.execute(select(jobs.c.submitted).where(mine)).scalar_one()
    count = select(func.count()).where(documents.c.job_id == job.id)
    there = connection.execute(count).scalar_one()
    connection.execute(update(jobs).where(mine).values(submitted=there))
    return before, there


def _some(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """As many at a time as one statement may name."""
    return (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))


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
            _reopen(db, connection, ids)
    return len(ids)


def _reopen(db: Database, connection: Connection, ids: Sequence[Any]) -> None:
    """To be read again; good pages are kept."""
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
            finished_at=None,
            **scheduled(db),
        )
    )


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
