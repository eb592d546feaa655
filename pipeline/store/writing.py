"""Writing what was found: a page as soon as it is read, a document's whole result in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    ClauseElement,
    Connection,
    Delete,
    FromClause,
    Insert,
    Integer,
    Table,
    Text,
    Update,
    bindparam,
    cast,
    delete,
    func,
    insert,
    null,
    select,
    true,
    update,
)

from pipeline.records import Extraction, PageResult
from pipeline.store import jobs, rows, views
from pipeline.store.database import Database
from pipeline.store.ledger import held_by, lost, state_left_by
from pipeline.store.records import Lease, State
from pipeline.store.tables import Id, Json, checks, documents, extractions, fields, pages

_PAGE = {column.name: column.type for column in pages.c if column.name not in ("document_id", "read_at")}
_FIELD = {column.name: column.type for column in fields.c if column.name != "document_id"}
_CHECK = {column.name: column.type for column in checks.c if column.name != "document_id"}


def page(db: Database, lease: Lease, result: PageResult) -> None:
    with db.single() as connection:
        saved = db.prepared(_save_page).run(
            connection,
            document=lease.document_id,
            token=lease.token,
            pages=rows.dump([rows.page(result)]),
            **db.moments(now=0),
        )
        if saved is None:
            raise lost(lease)


def _save_page(db: Database) -> ClauseElement:
    held = select(documents.c.id).where(*held_by(bindparam("document"), bindparam("token")))
    if not db.is_sqlite:
        held = held.with_for_update(
            read=True
        )  # nobody takes the document back between the look and the write
    saved: ClauseElement = _put_pages(db, held.subquery("held")).returning(pages.c.page)
    return saved


def document(
    db: Database,
    lease: Lease,
    extraction: Extraction,
    results: Sequence[PageResult],
    sha256: str,
    etag: str | None,
) -> State:
    numbers = sorted(result.page for result in results)
    if numbers != list(range(1, extraction.pages + 1)):
        raise ValueError(
            f"{lease.uri}: the extraction has {extraction.pages} pages, results came for {numbers}"
        )
    views.check(jobs.views_of(db, lease.job_id), extraction.record)
    values = {
        "document": lease.document_id,
        "token": lease.token,
        "new_state": extraction.state,
        "new_sha256": sha256,
        "new_etag": etag,
        "page_count": len(results),
        "record": rows.dump(extraction.record),
        "pages": rows.dump([rows.page(result) for result in results]),
        "fields": rows.dump([rows.field(number, item) for number, item in enumerate(extraction.fields, 1)]),
        "checks": rows.dump([rows.check(number, item) for number, item in enumerate(extraction.checks, 1)]),
        **db.moments(now=0),
    }
    finish = db.prepared(_finish if db.is_sqlite else _finish_with_parts)
    with db.single() as connection:
        if finish.run(connection, **values) is None:
            _compare(connection, lease, extraction)
        elif db.is_sqlite:
            for part in _PARTS_ALONE:
                db.prepared(part).run(connection, **values)
    return extraction.state


def _compare(connection: Connection, lease: Lease, extraction: Extraction) -> None:
    """The answer to an earlier commit may have been lost: the same result again is no error."""
    if state_left_by(connection, lease) == extraction.state:
        query = select(extractions.c.record).where(extractions.c.document_id == lease.document_id)
        if connection.execute(query).scalar_one_or_none() == extraction.record:
            return
    raise lost(lease)


def _finish(db: Database) -> Update:
    """Ends the document, if the lease still holds."""
    return (
        update(documents)
        .where(*held_by(bindparam("document"), bindparam("token")))
        .values(
            state=bindparam("new_state"),
            reason=null(),
            message=null(),
            traceback=null(),
            retryable=null(),
            failed_page=null(),
            sha256=bindparam("new_sha256"),
            etag=func.coalesce(bindparam("new_etag", type_=Text()), documents.c.etag),
            pages=bindparam("page_count", type_=Integer()),
            finished_at=db.moment("now"),
        )
        .returning(documents.c.id)
    )


def _finish_with_parts(db: Database) -> ClauseElement:
    """All in one statement, so that PostgreSQL is asked once. If nothing is finished, nothing is put."""
    finished = _finish(db).cte("finished")
    parts = [part(db, finished).cte(f"part_{number}") for number, part in enumerate(_PARTS)]
    return select(finished.c.id).add_cte(*parts)


# the parts of a result: each puts rows to the document whose id `of` gives


def _put_pages(db: Database, of: FromClause) -> Any:
    columns = ["document_id", *_PAGE, "read_at"]
    source = db.rows("pages", _PAGE)
    chosen = select(of.c.id, *source.c, db.moment("now")).select_from(of.join(source, true())).where(true())
    statement = db.insert(pages).from_select(columns, chosen)
    return statement.on_conflict_do_update(
        index_elements=["document_id", "page"],
        set_={name: statement.excluded[name] for name in columns if name not in ("document_id", "page")},
    )


def _drop_pages(_: Database, of: FromClause) -> Delete:
    """Pages that an earlier try has saved, when the file was another one."""
    more = pages.c.page > bindparam("page_count", type_=Integer())
    return delete(pages).where(pages.c.document_id.in_(select(of.c.id)), more)


def _put_extraction(db: Database, of: FromClause) -> Insert:
    record = bindparam("record", type_=Text())
    values = select(of.c.id, record if db.is_sqlite else cast(record, Json()), db.moment("now"))
    return insert(extractions).from_select(["document_id", "record", "committed_at"], values)


def _put_fields(db: Database, of: FromClause) -> Insert:
    return _put(fields, of, db.rows("fields", _FIELD))


def _put_checks(db: Database, of: FromClause) -> Insert:
    return _put(checks, of, db.rows("checks", _CHECK))


def _put(table: Table, of: FromClause, source: FromClause) -> Insert:
    chosen = select(of.c.id, *source.c).select_from(of.join(source, true()))
    return insert(table).from_select(["document_id", *source.c.keys()], chosen)


_PARTS = (_put_pages, _drop_pages, _put_extraction, _put_fields, _put_checks)


def _alone(part: Callable[[Database, FromClause], ClauseElement], db: Database) -> ClauseElement:
    return part(db, select(bindparam("document", type_=Id).label("id")).subquery("document"))


_PARTS_ALONE = tuple(partial(_alone, part) for part in _PARTS)
