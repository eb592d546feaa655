"""The books of a job: what is counted, what does not add up, how it is put right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    Table,
    Text,
    and_,
    cast,
    delete,
    exists,
    func,
    null,
    or_,
    select,
    update,
)

from pipeline.errors import Reason, Unbalanced
from pipeline.store.database import Database
from pipeline.store.entities import (
    FINISHED,
    STATES,
    Balance,
    Difference,
    Job,
    Repair,
)
from pipeline.store.failures import reopen
from pipeline.store.tables import (
    checks,
    claims,
    decisions,
    documents,
    extractions,
    fields,
    jobs,
    pages,
    parts,
    readings,
    witnesses,
)

_NAMED = 100  # differences that are told one by one
_BATCH = 2000  # documents put back in one transaction


class Books:
    """What is counted of a job, what does not add up, and how it is put right."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def counts(self, job: Job) -> dict[str, int]:
        """How many documents are in each state; every state is a key."""
        with self._db.read() as connection:
            return _counts(connection, job)

    def balance(self, job: Job) -> Balance:
        """Counts the books and looks for differences."""
        differences: list[Difference] = []
        number = 0
        with self._db.snapshot() as connection:
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

    def verify(self, job: Job) -> Balance:
        """The balance of what is safe on the disk. Raises Unbalanced, naming documents, if it is off."""
        with self._db.write(durable=True) as connection:  # waits for all that was committed so far
            connection.execute(update(jobs).where(jobs.c.id == job.id).values(submitted=jobs.c.submitted))
        found = self.balance(job)
        if not found.balanced:
            named = "; ".join(d.message for d in found.differences[:10])
            raise Unbalanced(f"job {job.name}: {found.difference_count} differences in the ledger: {named}")
        return found

    def repair(self, job: Job) -> list[Repair]:
        """Puts right what can be worked out from what is there, and says what it did; nothing is made up.

        Documents whose result is not whole are pending again, results that belong to no finished document
        go, and the documents are counted anew. Files of a document whose rows are gone come with the next
        listing of it. Lanes may work meanwhile.
        """
        with self._db.write(durable=True) as connection:
            unlike = (
                _without_result(job),
                _with_other_pages(job),
                _with_other_parts(job),
                _undecided_otherwise(job),
            )
            again = _read_again(self._db, connection, unlike)
            dropped = _drop_results(self._db, connection, job)
            strays = _drop_rows_of_nobody(connection)
            before, there = _count_again(connection, job)
        done = (
            Repair(f"{again} documents that lacked their result or a page of it are pending again", again),
            Repair(f"{dropped} results of documents that are not finished were removed", dropped),
            Repair(f"{strays} rows that belong to no document were removed", strays),
            Repair(
                f"{there} documents are there, and {before} were on the books: now {there}", there - before
            ),
        )
        return [step for step in done if step.number]


def _counts(connection: Connection, job: Job) -> dict[str, int]:
    query = (
        select(documents.c.state, func.count())
        .where(documents.c.job_id == job.id)
        .group_by(documents.c.state)
    )
    found = {row[0]: row[1] for row in connection.execute(query)}
    return {state: found.get(state, 0) for state in STATES}


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
    files, of_files = _parts_kept(), _pages_of_parts()
    yield "part_rows", "has {0} part rows, not one for each file", select(uri, files).where(*_torn(job))
    yield (
        "part_rows",
        "has {0} pages in its parts, not as many as it has",
        select(uri, of_files).where(*_with_other_parts(job)),
    )
    yield (
        "decision_rows",
        "is {0}, which is not what people decided",
        select(uri, state).where(*_undecided_otherwise(job)),
    )


# what is wrong with a document, as conditions


def _without_result(job: Job) -> tuple[ColumnElement[bool], ...]:
    return documents.c.job_id == job.id, documents.c.state.in_(FINISHED), ~_has_extraction()


def _with_too_much(job: Job) -> tuple[ColumnElement[bool], ...]:
    return documents.c.job_id == job.id, ~documents.c.state.in_(FINISHED), _has_extraction()


def _with_other_pages(job: Job) -> tuple[ColumnElement[bool], ...]:
    finished = documents.c.state.in_(FINISHED)
    return documents.c.job_id == job.id, finished, _pages_kept() != func.coalesce(documents.c.pages, 0)


def _torn(job: Job) -> tuple[ColumnElement[bool], ...]:
    return documents.c.job_id == job.id, documents.c.parts.is_not(None), _parts_kept() != documents.c.parts


def _with_other_parts(job: Job) -> tuple[ColumnElement[bool], ...]:
    finished = documents.c.state.in_(FINISHED)
    several = documents.c.parts.is_not(None)
    return documents.c.job_id == job.id, finished, several, _pages_of_parts() != documents.c.pages


def _undecided_otherwise(job: Job) -> tuple[ColumnElement[bool], ...]:
    """Rejected, or with a kept reading, and no decision stands; or one stands, and no reading is kept."""
    stands = exists().where(decisions.c.document_id == documents.c.id, decisions.c.undone_at.is_(None))
    kept = exists().where(readings.c.document_id == documents.c.id)
    rejected = and_(documents.c.state == "quarantined", documents.c.reason == Reason.rejected)
    finished = or_(documents.c.state.in_(FINISHED), rejected)
    return (
        documents.c.job_id == job.id,
        or_(and_(finished, stands, ~kept), and_(~stands, or_(kept, rejected))),
    )


def _of_nobody(table: Table) -> ColumnElement[bool]:
    return ~exists().where(documents.c.id == table.c.document_id)


def _has_extraction() -> ColumnElement[bool]:
    return exists().where(extractions.c.document_id == documents.c.id)


def _pages_kept() -> ScalarSelect[int]:
    return select(func.count()).where(pages.c.document_id == documents.c.id).scalar_subquery()


def _parts_kept() -> ScalarSelect[int]:
    return select(func.count()).where(parts.c.document_id == documents.c.id).scalar_subquery()


def _pages_of_parts() -> ScalarSelect[int]:
    kept = select(func.coalesce(func.sum(parts.c.pages), 0)).where(parts.c.document_id == documents.c.id)
    return kept.scalar_subquery()


# putting right


def _read_again(
    db: Database, connection: Connection, wrong: Sequence[tuple[ColumnElement[bool], ...]]
) -> int:
    either = or_(*(and_(*conditions) for conditions in wrong))
    ids = db.locked(connection, select(documents.c.id).where(either), documents.c.id)
    for some in _some(ids):
        reopen(db, connection, some)
    return len(ids)


def _drop_results(db: Database, connection: Connection, job: Job) -> int:
    ids = db.locked(connection, select(documents.c.id).where(*_with_too_much(job)), documents.c.id)
    for some in _some(ids):
        connection.execute(delete(extractions).where(extractions.c.document_id.in_(some)))
    return len(ids)


def _drop_rows_of_nobody(connection: Connection) -> int:
    return sum(
        connection.execute(delete(table).where(_of_nobody(table))).rowcount
        for table in (witnesses, checks, fields, extractions, pages, parts, decisions, readings, claims)
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
