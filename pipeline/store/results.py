"""Reading back what was found: pages by their keys, results of a job one after the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from sqlalchemy import BigInteger, Connection, RowMapping, Table, func, literal_column, select

from pipeline.records import PageResult
from pipeline.store import rows
from pipeline.store.database import Database
from pipeline.store.records import FINISHED, DocumentRow, Job, StoredExtraction
from pipeline.store.tables import checks, documents, extractions, fields, pages

_PAGE = {column.name: column.type for column in pages.c if column.name not in ("document_id", "read_at")}
_FIELD = {column.name: column.type for column in fields.c if column.name != "document_id"}
_CHECK = {column.name: column.type for column in checks.c if column.name != "document_id"}
_BATCH = 500  # documents that are held while results are streamed


def known_pages(db: Database, keys: Iterable[str]) -> dict[str, PageResult]:
    known: dict[str, PageResult] = {}
    remaining = iter(keys)
    with db.read() as connection:
        while chunk := list(islice(remaining, _BATCH)):
            query = select(pages).where(pages.c.key.in_(chunk), pages.c.record.is_not(None))
            for row in connection.execute(query).mappings():
                known[row["key"]] = rows.page_from(row)
    return known


def page_results(db: Database, job: Job, uri: str) -> list[PageResult]:
    query = (
        select(pages)
        .join_from(pages, documents)
        .where(documents.c.job_id == job.id, documents.c.uri == uri)
        .order_by(pages.c.page)
    )
    with db.read() as connection:
        return [rows.page_from(row) for row in connection.execute(query).mappings()]


def documents_of(db: Database, job: Job) -> Iterator[DocumentRow]:
    for batch in _batches(db, job, finished=False):
        for row in batch:
            yield DocumentRow(
                row["uri"],
                row["state"],
                row["reason"],
                row["message"],
                row["sha256"],
                row["etag"],
                row["pages"],
                row["attempts"],
            )


def extractions_of(db: Database, job: Job) -> Iterator[StoredExtraction]:
    for batch in _batches(db, job, finished=True):
        ids = [row["id"] for row in batch]
        with db.read() as connection:
            query = select(extractions.c.document_id, extractions.c.record)
            records = {
                row.document_id: row.record
                for row in connection.execute(query.where(extractions.c.document_id.in_(ids)))
            }
            found_fields = _grouped(connection, fields, ids)
            found_checks = _grouped(connection, checks, ids)
        for row in batch:
            if (document := row["id"]) in records:
                result = rows.extraction(
                    row["state"],
                    records[document],
                    found_fields[document],
                    found_checks[document],
                    row["pages"],
                )
                yield StoredExtraction(row["uri"], row["sha256"], result)


def _batches(db: Database, job: Job, *, finished: bool) -> Iterator[Sequence[RowMapping]]:
    """Documents in the order of their ids; each batch is read on its own, so that nothing is held open."""
    ours = documents.c.job_id == job.id
    with db.read() as connection:
        [ends] = connection.execute(select(func.min(documents.c.id), func.max(documents.c.id)).where(ours))
    if ends[0] is None:
        return
    last, end = ends[0] - 1, ends[1]
    # With "+" no index of the job's documents is used: SQLite would sort all of them for each batch.
    chosen = literal_column("+documents.job_id", BigInteger) == job.id
    while True:
        query = select(documents).where(chosen, documents.c.id > last, documents.c.id <= end)
        if finished:
            query = query.where(documents.c.state.in_(FINISHED))
        with db.read() as connection:
            batch = connection.execute(query.order_by(documents.c.id).limit(_BATCH)).mappings().all()
        if not batch:
            return
        yield batch
        last = batch[-1]["id"]


def _grouped(connection: Connection, table: Table, ids: Sequence[int]) -> dict[int, list[RowMapping]]:
    grouped: dict[int, list[RowMapping]] = defaultdict(list)
    query = select(table).where(table.c.document_id.in_(ids)).order_by(table.c.document_id, table.c.number)
    for row in connection.execute(query).mappings():
        grouped[row["document_id"]].append(row)
    return grouped
