"""One document of a job, found by what a person calls it."""

from __future__ import annotations

from sqlalchemy import ColumnElement, or_, select

from pipeline.errors import UsageError
from pipeline.store import files, rows
from pipeline.store.database import Database
from pipeline.store.entities import DocumentRow, Job
from pipeline.store.failures import named
from pipeline.store.tables import documents, parts

_NAMED = 3  # documents that are named where a name fits several


def document(db: Database, job: Job, name: str) -> DocumentRow:
    """The document that has `name` as its URI or that of one of its files, or the only one whose URI ends so.

    The end of a URI begins after a slash: "june/7.pdf". Raises UsageError where the job has no such document,
    or several.
    """
    there = _rows(db, job, named(name)) or _rows(db, job, _ends_in(job, name))
    if not there:
        raise UsageError(f"job {job.name} has no document {name}; `vinbatch query` lists them by uri")
    if len(there) > 1:
        listed = ", ".join(row.uri for row in there[:_NAMED]) + (" …" if len(there) > _NAMED else "")
        raise UsageError(f"{name} names several documents of job {job.name}: {listed}; give more of the path")
    return there[0]


def _ends_in(job: Job, name: str) -> ColumnElement[bool]:
    end = "/" + name.lstrip("/")
    of_file = select(parts.c.document_id).where(
        parts.c.job_id == job.id, parts.c.uri.endswith(end, autoescape=True)
    )
    return or_(documents.c.uri.endswith(end, autoescape=True), documents.c.id.in_(of_file))


def _rows(db: Database, job: Job, which: ColumnElement[bool]) -> list[DocumentRow]:
    query = select(documents).where(documents.c.job_id == job.id, which).order_by(documents.c.id)
    with db.read() as connection:
        found = connection.execute(query.limit(_NAMED + 1)).mappings().all()
        several = files.stored(connection, [row["id"] for row in found if row["parts"]])
    return [rows.document(row, several.get(row["id"], ())) for row in found]
