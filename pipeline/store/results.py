"""What was found: pages as soon as they are read, and a document's whole result in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any

from sqlalchemy import (
    Connection,
    FromClause,
    RowMapping,
    Table,
    delete,
    func,
    insert,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.types import TypeEngine

from pipeline.records import Extraction, PageResult
from pipeline.store import jobs, rows, views
from pipeline.store.database import Database
from pipeline.store.ledger import lost, mine, state_left_by
from pipeline.store.records import FINISHED, DocumentRow, Job, Lease, StoredExtraction
from pipeline.store.tables import checks, documents, extractions, fields, pages

_PAGE = {column.name: column.type for column in pages.c if column.name not in ("document_id", "read_at")}
_FIELD = {column.name: column.type for column in fields.c if column.name != "document_id"}
_CHECK = {column.name: column.type for column in checks.c if column.name != "document_id"}
_BATCH = 500  # documents that are held while results are streamed


# pages


def save_page(db: Database, lease: Lease, page: PageResult) -> None:
    held = select(documents.c.id).where(*mine(lease))
    if not db.is_sqlite:
        held = held.with_for_update(
            read=True
        )  # nobody takes the document back between the look and the write
    with db.write() as connection:
        if not _put_pages(db, connection, held.subquery("held"), [page]):
            raise lost(lease)


def _put_pages(db: Database, connection: Connection, held: FromClause, results: Sequence[PageResult]) -> int:
    """Writes the pages of the document that `held` gives, if it gives one; returns how many were written."""
    source = db.rows(_PAGE)
    columns = ["document_id", *_PAGE, "read_at"]
    chosen = select(held.c.id, *source.c, db.now()).select_from(held.join(source, true())).where(true())
    statement = db.insert(pages).from_select(columns, chosen)
    statement = statement.on_conflict_do_update(
        index_elements=["document_id", "page"],
        set_={name: statement.excluded[name] for name in columns if name not in ("document_id", "page")},
    )
    written = connection.execute(statement, {"rows": rows.dump([rows.page(result) for result in results])})
    return int(written.rowcount)


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


# documents


def commit(
    db: Database,
    lease: Lease,
    extraction: Extraction,
    results: Sequence[PageResult],
    sha256: str,
    etag: str | None,
) -> None:
    numbers = sorted(result.page for result in results)
    if numbers != list(range(1, extraction.pages + 1)):
        raise ValueError(
            f"{lease.uri}: the extraction has {extraction.pages} pages, results came for {numbers}"
        )
    views.check(jobs.views_of(db, lease.job_id), extraction.record)
    with db.write() as connection:
        before = _finish(db, connection, lease, extraction, sha256, etag)
        if before is None:
            _compare(connection, lease, extraction)
            return
        document = lease.document_id
        if before > len(results):
            connection.execute(
                delete(pages).where(pages.c.document_id == document, pages.c.page > len(results))
            )
        _put_pages(db, connection, select(literal(document).label("id")).subquery("held"), results)
        connection.execute(
            insert(extractions).values(document_id=document, record=extraction.record, committed_at=db.now())
        )
        _put(db, connection, fields, _FIELD, document, map(rows.field, count(1), extraction.fields))
        _put(db, connection, checks, _CHECK, document, map(rows.check, count(1), extraction.checks))


def _finish(
    db: Database, connection: Connection, lease: Lease, extraction: Extraction, sha256: str, etag: str | None
) -> int | None:
    """Ends the document; returns the highest page that an earlier try has saved, None when the lease is
    over.
    """
    highest = select(func.coalesce(func.max(pages.c.page), 0)).where(pages.c.document_id == documents.c.id)
    statement = (
        update(documents)
        .where(*mine(lease))
        .values(
            state=extraction.state,
            reason=None,
            message=None,
            traceback=None,
            retryable=None,
            failed_page=None,
            sha256=sha256,
            etag=func.coalesce(etag, documents.c.etag),
            pages=extraction.pages,
            finished_at=db.now(),
        )
        .returning(highest.scalar_subquery())
    )
    found: int | None = connection.execute(statement).scalar_one_or_none()
    return found


def _compare(connection: Connection, lease: Lease, extraction: Extraction) -> None:
    """The answer to an earlier commit may have been lost: the same result again is no error, anything else
    is.
    """
    if state_left_by(connection, lease) == extraction.state:
        query = select(extractions.c.record).where(extractions.c.document_id == lease.document_id)
        if connection.execute(query).scalar_one_or_none() == extraction.record:
            return
    raise lost(lease)


def _put(
    db: Database,
    connection: Connection,
    table: Table,
    columns: Mapping[str, TypeEngine[Any]],
    document: int,
    items: Iterable[dict[str, Any]],
) -> None:
    if items := list(items):
        source = db.rows(columns)
        chosen = select(literal(document), *source.c)
        statement = insert(table).from_select(["document_id", *columns], chosen)
        connection.execute(statement, {"rows": rows.dump(items)})


# streaming


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
    last = 0
    while True:
        query = select(documents).where(documents.c.job_id == job.id, documents.c.id > last)
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
