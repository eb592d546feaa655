"""What was found is kept: a page as soon as it is read, a document's whole result in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, delete, select, update

from pipeline.errors import LeaseLost, Permanent, Transient, VinbatchError
from pipeline.records import DocumentRef, Extraction, PageResult, Part
from pipeline.store import (
    enqueue,
    files,
    group_commit,
    page_rows,
    readings,
    statements,
    views,
)
from pipeline.store.database import Database
from pipeline.store.entities import DocumentRow, Job, Lease, State
from pipeline.store.group_commit import Result
from pipeline.store.jobs import Jobs
from pipeline.store.ledger import lost, state_left_by
from pipeline.store.stored import StoredResults
from pipeline.store.tables import documents, extractions
from schemas.spec import SchemaSpec

_WHY = ("reason", "message", "traceback", "retryable", "failed_page")


class Results(StoredResults):
    """Puts pages and whole results, and reads them back."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        super().__init__(database)
        self._jobs = jobs

    def save_page(self, lease: Lease, page: PageResult) -> None:
        """Keeps a page as soon as it is read, so that no crash makes it be read again. Raises LeaseLost."""
        held = {"document": lease.document_id, "token": lease.token}
        with self._db.single() as connection:
            if not self._db.sql(connection, statements.SAVE_PAGE, **held, pages=[page_rows.row_of(page)]):
                raise lost(lease)

    def save_pages(self, pages: Sequence[tuple[Lease, PageResult]]) -> list[LeaseLost | None]:
        """As `save_page` does, several in one transaction; for each None, or that its lease is lost."""
        held: set[tuple[int, str]] = set()
        for start in range(0, len(pages), group_commit.MOST):
            held |= statements.GROUP.save(self._db, pages[start : start + group_commit.MOST])
        leases = (lease for lease, _ in pages)
        return [None if (one.document_id, one.token) in held else lost(one) for one in leases]

    def commit_group(self, group: Sequence[Result]) -> list[State | VinbatchError | ValueError]:
        """Ends several documents in one transaction, each under its own lease and as `commit` ends one.

        Those that cannot go with the others (whose lease is over, on which people decided, that were tried
        before or have several files) are committed by themselves after it. For each its state, or what
        `commit` raised. Raises Transient when the store does not answer; the same group may be given again.
        """
        ended = self._commit_plain([one for one in group if one.plain]) if len(group) > 1 else {}
        return [
            ended[one.lease.document_id] if one.lease.document_id in ended else self._commit_one(one)
            for one in group
        ]

    def _commit_plain(self, group: Sequence[Result]) -> dict[int, State]:
        values = []
        for one in group:
            with suppress(Permanent, ValueError):  # it is told of it when it is committed by itself
                values.append(self._values(one))
        results = {one.lease.document_id: one for one in group}
        states: dict[int, State] = {}
        with suppress(Permanent):  # the database refuses what one of them has: each by itself
            for start in range(0, len(values), group_commit.MOST):
                sent: set[int] = set()

                def look(connection: Connection, ended: set[int], sent: set[int] = sent) -> None:
                    sent |= self._repeating(connection, [results[document] for document in ended])

                ended = statements.GROUP.finish(self._db, values[start : start + group_commit.MOST], look)
                states |= {
                    document: "review" if document in sent else results[document].extraction.state
                    for document in ended
                }
        return states

    def _repeating(self, connection: Connection, ended: Sequence[Result]) -> set[int]:
        """Those of them that repeat an invoice of another file, and go to review for it."""
        found = {
            one.lease.document_id: one.extraction.record
            for one in ended
            if self._jobs.indexed(one.lease.job_id)
        }
        if not found:
            return set()
        from pipeline.store import duplicates  # with all schemas, which few who use the store need

        return duplicates.mark(self._db, connection, found)

    def _commit_one(self, one: Result) -> State | VinbatchError | ValueError:
        try:
            return self.commit(
                one.lease,
                one.extraction,
                one.pages,
                sha256=one.sha256,
                etag=one.etag,
                parts=one.parts,
                spec=one.spec,
                members=one.members,
            )
        except Transient:
            raise
        except (VinbatchError, ValueError) as error:
            return error

    def commit(
        self,
        lease: Lease,
        extraction: Extraction,
        pages: Sequence[PageResult],
        *,
        sha256: str | None,
        etag: str | None = None,
        parts: Sequence[Part] = (),
        spec: SchemaSpec | None = None,
        members: Sequence[DocumentRef] = (),
    ) -> State:
        """Ends a document with its result: state, extraction, fields, checks and pages in one transaction.

        What people decided on the document is kept; `spec` (None: as the job names it) has the rules that are
        then run again. `members`, documents within a portfolio, are added to the job in the same transaction;
        known ones stay as they are. `sha256` and `etag` are those of the first file; `parts` are all of them,
        where there are several. Returns the state that the document is in now.

        Raises LeaseLost, and leaves nothing, when the document is no longer this lease's. The same commit
        again is no error and changes nothing. Raises Permanent(schema_mismatch) when a value is not of
        its field's type.
        """
        one = Result(lease, extraction, pages, sha256, etag, parts, spec, members)
        values = self._values(one)
        finish = statements.FINISH_UNDECIDED if self._db.is_sqlite else statements.FINISH_WITH_PARTS
        state: State = extraction.state
        indexed = self._jobs.indexed(lease.job_id)
        with self._db.write() if indexed or members else self._db.single() as connection:
            ended = self._db.sql(connection, finish, **values)
            decided = not ended and readings.has_decisions(connection, lease.document_id)
            if not ended and not decided:
                return self._compare(connection, lease, extraction)
            if ended and self._db.is_sqlite:
                statements.put_alone(self._db, connection, values)
            if ended and self._repeating(connection, [one]):
                state = "review"
            if ended:
                enqueue.add(self._db, connection, lease.job_id, members)
        return self._commit_decided(one, values) if decided else state

    def _values(self, one: Result) -> dict[str, Any]:
        """What the statements take of a document's result. Raises Permanent(schema_mismatch)."""
        numbers = sorted(page.page for page in one.pages)
        if numbers != list(range(1, one.extraction.pages + 1)):
            raise ValueError(
                f"{one.lease.uri}: the extraction has {one.extraction.pages} pages, "
                f"results came for {numbers}"
            )
        views.check(self._jobs.views_of(one.lease.job_id), one.extraction.record)
        return {
            "document": one.lease.document_id,
            "token": one.lease.token,
            "state": one.extraction.state,
            "sha256": one.sha256,
            "etag": one.etag,
            "page_count": len(one.pages),
            "parts": [files.found(number, part) for number, part in enumerate(one.parts, 1)],
            "pages": [page_rows.row_of(page) for page in one.pages],
            **statements.values_of(one.extraction),
        }

    def _commit_decided(self, one: Result, values: dict[str, Any]) -> State:
        """Of a document that was read again: what people decided is kept."""
        lease, extraction = one.lease, one.extraction
        rules = self._jobs.rules(lease.job_id, one.spec)
        with self._db.write() as connection:
            if not self._db.sql(connection, statements.FINISH, **values):
                return self._compare(connection, lease, extraction)
            statements.put_pages(self._db, connection, values)
            enqueue.add(self._db, connection, lease.job_id, one.members)
            indexed = self._jobs.indexed(lease.job_id)
            return put_decided(self._db, connection, lease.document_id, extraction, rules, indexed=indexed)

    def replace(
        self, job: Job, row: DocumentRow, extraction: Extraction, spec: SchemaSpec | None = None
    ) -> State | None:
        """Puts another result of the same pages in the place of a finished document's, in one transaction.

        `extraction` is what was read, without any decision; what people decided is kept, as in `commit`.
        Returns its state, or None, and nothing is changed, when the document is no longer as `row` has it.
        Raises Permanent(schema_mismatch) when a value is not of its field's type.
        """
        views.check(self._jobs.views_of(job.id), extraction.record)
        same = (
            documents.c.job_id == job.id,
            documents.c.uri == row.uri,
            documents.c.state == row.state,
            documents.c.sha256 == row.sha256,
        )
        with self._db.write() as connection:
            chosen = select(documents.c.id).where(*same)
            found = self._db.locked(connection, chosen, documents.c.id)
            if not found:
                return None
            decided = readings.has_decisions(connection, found[0])
            rules = self._jobs.rules(job.id, spec) if decided else None
            indexed = self._jobs.indexed(job.id)
            return put_decided(self._db, connection, found[0], extraction, rules, indexed=indexed)

    def _compare(self, connection: Connection, lease: Lease, extraction: Extraction) -> State:
        """The answer to an earlier commit may have been lost: the same result again is no error."""
        left = state_left_by(self._db, connection, lease)
        document = lease.document_id
        read = readings.before(connection, [document]).get(document)
        if read is not None and left is not None:
            if (read.state, read.record) == (extraction.state, extraction.record):
                return left
        elif left in (extraction.state, "review"):  # where it was sent for repeating another invoice
            query = select(extractions.c.record).where(extractions.c.document_id == document)
            if connection.execute(query).scalar_one_or_none() == extraction.record:
                return left
        raise lost(lease)


def put_decided(
    db: Database,
    connection: Connection,
    document: int,
    read: Extraction,
    spec: SchemaSpec | None,
    *,
    indexed: bool,
) -> State:
    """Makes `read`, with the decisions that stand, the result of a document; returns its state.

    The document's row is locked by the caller. `spec` is needed where there are decisions. `indexed`: as
    `Jobs.indexed` says of its job. Raises Permanent(schema_mismatch) as `commit` does.
    """
    # With all schemas, which few who use the store need.
    from pipeline import deciding
    from pipeline.store import duplicates

    read = duplicates.unmarked(read)
    made = readings.standing(connection, [document]).get(document, ())
    connection.execute(delete(extractions).where(extractions.c.document_id == document))
    readings.forget(connection, [document])
    settled = set[int]()
    if made:
        whole = deciding.standing(made).get(None)
        settled = {document} if whole is not None and whole.ruling == "accept" else set()
        readings.keep(connection, document, read)
        if (no := deciding.rejected(made)) is not None:
            readings.reject(connection, document, no.by)
            return "quarantined"
        if spec is None:
            raise ValueError("decisions are applied by the rules of a schema, and none was given")
        read = deciding.applied(read, made, spec)
        views.check(views.of(spec), read.record)
    state = {"state": read.state, **dict.fromkeys(_WHY)}
    connection.execute(update(documents).where(documents.c.id == document).values(**state))
    statements.put_result(db, connection, {"document": document, **statements.values_of(read)})
    if not indexed:
        return read.state
    sent = duplicates.mark(db, connection, {document: read.record}, settled, new=False)
    return "review" if document in sent else read.state
