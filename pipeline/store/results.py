"""What was found: a page as soon as it is read, a document's whole result in one transaction; and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    RowMapping,
    Table,
    delete,
    func,
    literal_column,
    select,
    update,
)

from pipeline.errors import LeaseLost, Permanent, Transient, VinbatchError
from pipeline.records import DocumentRef, Extraction, PageResult, Part
from pipeline.store import enqueue, files, group_commit, readings, rows, views
from pipeline.store.database import Database
from pipeline.store.entities import FINISHED, DocumentRow, Job, Lease, State, StoredExtraction
from pipeline.store.group_commit import Result
from pipeline.store.jobs import Jobs
from pipeline.store.ledger import HELD, lost, state_left_by
from pipeline.store.tables import checks, documents, extractions, fields, jobs, pages, witnesses
from schemas.spec import SchemaSpec

_BATCH = 500  # documents that are held while results are streamed
_LOOKED_AT = 200  # documents of a job that tell what it was read with
_SOME = 1000  # pages

# Ends the document, if the lease still holds.
_FINISH = f"""
UPDATE documents
SET state = :state, reason = NULL, message = NULL, traceback = NULL, retryable = NULL, failed_page = NULL,
    sha256 = :sha256, etag = coalesce(:etag, etag), pages = :page_count, finished_at = @now
WHERE {HELD}
RETURNING id
"""
# The same of a document on which nobody decided; nobody decides on one that is leased.
_FINISH_UNDECIDED = _FINISH.replace(
    "RETURNING",
    "AND NOT EXISTS (SELECT 1 FROM decisions WHERE document_id = :document AND undone_at IS NULL)\nRETURNING",
)

# The parts of a result. Each puts rows to the document that `held` has; if it has none, nothing is put.
_PUT_PAGES = """
INSERT INTO pages (
    document_id, page, key, record, reason, message, traceback, retryable, renderer, width, height, tiles,
    prompt_tokens, output_tokens, output, attempts, passes, numerics, read_at)
SELECT held.id, page, key, record, reason, message, traceback, retryable, renderer, width, height, tiles,
    prompt_tokens, output_tokens, output, attempts, passes, numerics, @now
FROM held, json_to_recordset(CAST(:pages AS json)) AS given(
    page integer, key text, record text, reason text, message text, traceback text, retryable boolean,
    renderer text, width integer, height integer, tiles integer, prompt_tokens integer,
    output_tokens integer, output text, attempts integer, passes integer, numerics text)
WHERE true
ON CONFLICT (document_id, page) DO UPDATE
SET key = excluded.key, record = excluded.record, reason = excluded.reason, message = excluded.message,
    traceback = excluded.traceback, retryable = excluded.retryable, renderer = excluded.renderer,
    width = excluded.width, height = excluded.height, tiles = excluded.tiles,
    prompt_tokens = excluded.prompt_tokens, output_tokens = excluded.output_tokens,
    output = excluded.output, attempts = excluded.attempts, passes = excluded.passes,
    numerics = excluded.numerics,
    read_at = excluded.read_at
RETURNING page
"""
# With the whole result: most pages are there already, as they are, and are not written twice.
_PUT_CHANGED_PAGES = _PUT_PAGES.replace(
    "RETURNING",
    """WHERE (pages.key, coalesce(pages.record, ''), coalesce(pages.reason, ''))
    <> (excluded.key, coalesce(excluded.record, ''), coalesce(excluded.reason, ''))
RETURNING""",
)
# Pages that an earlier try has saved, when the file was another one.
_DROP_PAGES = "DELETE FROM pages WHERE document_id IN (SELECT id FROM held) AND page > :page_count"
_PUT_EXTRACTION = """
INSERT INTO extractions (document_id, record, committed_at, score, tier, calibration, read_on)
SELECT id, :record, @now, CAST(:score AS double precision), CAST(:tier AS text), CAST(:calibration AS bigint),
    CAST(:read_on AS text)
FROM held
"""
_PUT_FIELDS = """
INSERT INTO fields (
    document_id, number, path, raw, value, type, confidence, source, page, box, problem, score, absence)
SELECT held.id, number, path, raw, value, type, confidence, source, page, box, problem, score, absence
FROM held, json_to_recordset(CAST(:fields AS json)) AS given(
    number integer, path text, raw text, value text, type text, confidence double precision, source text,
    page integer, box text, problem text, score double precision, absence text)
"""
_PUT_CHECKS = """
INSERT INTO checks (document_id, number, code, passed, severity, message, fields, expected, found, suspects)
SELECT held.id, number, code, passed, severity, message, fields, expected, found, suspects
FROM held, json_to_recordset(CAST(:checks AS json)) AS given(
    number integer, code text, passed boolean, severity text, message text, fields text, expected text,
    found text, suspects text)
"""
_PUT_WITNESSES = """
INSERT INTO witnesses (document_id, number, field, source, verdict, raw, value, type, page, box)
SELECT held.id, number, field, source, verdict, raw, value, type, page, box
FROM held, json_to_recordset(CAST(:witnesses AS json)) AS given(
    number integer, field text, source text, verdict text, raw text, value text, type text, page integer,
    box text)
"""
_PUT_PARTS = """
UPDATE parts
SET size = coalesce(given.size, parts.size), etag = coalesce(given.etag, parts.etag), sha256 = given.sha256,
    pages = given.pages, reason = given.reason, message = given.message
FROM held, json_to_recordset(CAST(:parts AS json)) AS given(
    part integer, size bigint, etag text, sha256 text, pages integer, reason text, message text)
WHERE parts.document_id = held.id AND parts.part = given.part
"""
_PARTS = (
    _PUT_PARTS,
    _PUT_CHANGED_PAGES,
    _DROP_PAGES,
    _PUT_EXTRACTION,
    _PUT_FIELDS,
    _PUT_CHECKS,
    _PUT_WITNESSES,
)

# PostgreSQL is asked once. SQLite cannot do it all in one statement, and need not: it is in this process.
_FINISH_WITH_PARTS = f"""
WITH held AS ({_FINISH_UNDECIDED}), parts_put AS ({_PUT_PARTS}), pages_put AS ({_PUT_CHANGED_PAGES}),
    pages_dropped AS ({_DROP_PAGES}), extraction_put AS ({_PUT_EXTRACTION}), fields_put AS ({_PUT_FIELDS}),
    checks_put AS ({_PUT_CHECKS}), witnesses_put AS ({_PUT_WITNESSES})
SELECT id FROM held
"""
_PARTS_ALONE = tuple(f"{group_commit.HELD_ALONE} {part}" for part in _PARTS)
_PAGES_ALONE = _PARTS_ALONE[:3]
_RESULT_ALONE = _PARTS_ALONE[3:]  # of pages that are there already

# FOR SHARE: nobody takes the document back between the look and the write.
_SAVE_PAGE = f"WITH held AS (SELECT id FROM documents WHERE {HELD} FOR SHARE) {_PUT_PAGES}"

_GROUP = group_commit.GroupCommit(
    _FINISH_UNDECIDED,
    (_PUT_CHANGED_PAGES, _PUT_EXTRACTION, _PUT_FIELDS, _PUT_CHECKS, _PUT_WITNESSES),
    _SAVE_PAGE,
    _PUT_PAGES,
)


class Results:
    """Pages, extractions, fields, checks and what witnesses say."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self._db = database
        self._jobs = jobs

    def save_page(self, lease: Lease, page: PageResult) -> None:
        """Keeps a page as soon as it is read, so that no crash makes it be read again. Raises LeaseLost."""
        held = {"document": lease.document_id, "token": lease.token}
        with self._db.single() as connection:
            if not self._db.sql(connection, _SAVE_PAGE, **held, pages=rows.dump([rows.page(page)])):
                raise lost(lease)

    def save_pages(self, pages: Sequence[tuple[Lease, PageResult]]) -> list[LeaseLost | None]:
        """As `save_page` does, several in one transaction; for each None, or that its lease is lost."""
        held: set[tuple[int, str]] = set()
        for start in range(0, len(pages), group_commit.MOST):
            held |= _GROUP.save(self._db, pages[start : start + group_commit.MOST])
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

                ended = _GROUP.finish(self._db, values[start : start + group_commit.MOST], look)
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
        finish = _FINISH_UNDECIDED if self._db.is_sqlite else _FINISH_WITH_PARTS
        state: State = extraction.state
        indexed = self._jobs.indexed(lease.job_id)
        with self._db.write() if indexed or members else self._db.single() as connection:
            ended = self._db.sql(connection, finish, **values)
            decided = not ended and readings.has_decisions(connection, lease.document_id)
            if not ended and not decided:
                return self._compare(connection, lease, extraction)
            if ended and self._db.is_sqlite:
                for part in _PARTS_ALONE:
                    self._db.sql(connection, part, **values)
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
            "parts": rows.dump([files.found(number, part) for number, part in enumerate(one.parts, 1)]),
            "pages": rows.dump([rows.page(page) for page in one.pages]),
            **_parts(one.extraction),
        }

    def _commit_decided(self, one: Result, values: dict[str, Any]) -> State:
        """Of a document that was read again: what people decided is kept."""
        lease, extraction = one.lease, one.extraction
        rules = self._jobs.rules(lease.job_id, one.spec)
        with self._db.write() as connection:
            if not self._db.sql(connection, _FINISH, **values):
                return self._compare(connection, lease, extraction)
            for part in _PAGES_ALONE:
                self._db.sql(connection, part, **values)
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

    def known_pages(self, keys: Iterable[str]) -> dict[str, PageResult]:
        """Pages already read under these keys, by any job and under any document's name. Failed ones are
        left out.

        `page` in the result is the number it had there; the caller sets its own.
        """
        known: dict[str, PageResult] = {}
        remaining = iter(keys)
        with self._db.read() as connection:
            while chunk := list(islice(remaining, _BATCH)):
                query = select(pages).where(pages.c.key.in_(chunk), pages.c.record.is_not(None))
                for row in connection.execute(query).mappings():
                    known[row["key"]] = rows.page_from(row)
        return known

    def numerics_of(self, checkpoint: str) -> tuple[str, ...]:
        """Those that this checkpoint has read pages with, in whatever job: of some documents of each."""
        with self._db.read() as connection:
            mine = select(jobs.c.id).where(jobs.c.checkpoint == checkpoint)
            found: dict[str, None] = {}
            for job in connection.execute(mine.order_by(jobs.c.id.desc())).scalars():
                ours = select(documents.c.id).where(
                    documents.c.job_id == job, documents.c.state.in_(FINISHED)
                )
                those = pages.c.document_id.in_(ours.limit(_LOOKED_AT).scalar_subquery())
                query = select(pages.c.numerics).distinct().where(those, pages.c.numerics.is_not(None))
                found |= dict.fromkeys(sorted(connection.execute(query).scalars()))
        return tuple(found)

    def numerics(self, job: Job) -> tuple[str, ...]:
        """Those that the job's pages were read with, the most frequent first."""
        count = func.count()
        query = (
            select(pages.c.numerics)
            .join_from(pages, documents)
            .where(documents.c.job_id == job.id, pages.c.numerics.is_not(None))
            .group_by(pages.c.numerics)
            .order_by(count.desc(), pages.c.numerics)
        )
        with self._db.read() as connection:
            return tuple(connection.execute(query).scalars())

    def some_numerics(self, job: Job) -> tuple[str, ...]:
        """Those of some of the job's pages: quick, however many there are."""
        some = (
            select(pages.c.numerics)
            .join_from(pages, documents)
            .where(documents.c.job_id == job.id, pages.c.numerics.is_not(None))
            .limit(_SOME)
            .subquery()
        )
        with self._db.read() as connection:
            return tuple(connection.execute(select(some.c.numerics).distinct()).scalars())

    def pages(self, job: Job, uri: str) -> list[PageResult]:
        """The pages of one document in order, with what the model wrote."""
        query = (
            select(pages)
            .join_from(pages, documents)
            .where(documents.c.job_id == job.id, documents.c.uri == uri)
            .order_by(pages.c.page)
        )
        with self._db.read() as connection:
            return [rows.page_from(row) for row in connection.execute(query).mappings()]

    def documents(self, job: Job) -> Iterator[DocumentRow]:
        """All documents of a job in the order they were added, streamed."""
        return self._rows(job, finished=False)

    def finished(self, job: Job) -> Iterator[DocumentRow]:
        """Those of them that have a result."""
        return self._rows(job, finished=True)

    def _rows(self, job: Job, *, finished: bool) -> Iterator[DocumentRow]:
        for batch in self._batches(job, finished=finished):
            several = self._parts_of(batch)
            for row in batch:
                yield rows.document(row, several.get(row["id"], ()))

    def extractions(self, job: Job) -> Iterator[StoredExtraction]:
        """All results of a job in the order its documents were added, streamed."""
        for batch in self._batches(job, finished=True):
            yield from self._stored(batch)

    def extraction(self, job: Job, uri: str) -> StoredExtraction | None:
        """The result of one document; None where it has none, or the job has no such document."""
        query = select(documents).where(documents.c.job_id == job.id, documents.c.uri == uri)
        with self._db.read() as connection:
            row = connection.execute(query.where(documents.c.state.in_(FINISHED))).mappings().one_or_none()
        return None if row is None else next(self._stored([row]), None)

    def _stored(self, batch: Sequence[RowMapping]) -> Iterator[StoredExtraction]:
        ids = [row["id"] for row in batch]
        several = self._parts_of(batch)
        with self._db.read() as connection:
            results = results_of(connection, batch)
            decided = readings.standing(connection, ids)
            before = readings.before(connection, list(decided))
        for row in batch:
            if (document := row["id"]) in results:
                yield StoredExtraction(
                    row["uri"],
                    row["sha256"],
                    results[document],
                    several.get(document, ()),
                    decided.get(document, ()),
                    before.get(document),
                    document,
                )

    def _parts_of(self, batch: Sequence[RowMapping]) -> dict[int, tuple[Part, ...]]:
        """The files of those documents that have several."""
        ids = [row["id"] for row in batch if row["parts"]]
        if not ids:
            return {}
        with self._db.read() as connection:
            return files.stored(connection, ids)

    def _batches(self, job: Job, *, finished: bool) -> Iterator[Sequence[RowMapping]]:
        """Documents in the order of their ids; each batch is read on its own: nothing is held open."""
        ours = documents.c.job_id == job.id
        with self._db.read() as connection:
            [ends] = connection.execute(
                select(func.min(documents.c.id), func.max(documents.c.id)).where(ours)
            )
        if ends[0] is None:
            return
        last, end = ends[0] - 1, ends[1]
        # With "+" no index of the job's documents is used: SQLite would sort all of them for each batch.
        chosen = literal_column("+documents.job_id", BigInteger) == job.id
        while True:
            query = select(documents).where(chosen, documents.c.id > last, documents.c.id <= end)
            if finished:
                query = query.where(documents.c.state.in_(FINISHED))
            with self._db.read() as connection:
                batch = connection.execute(query.order_by(documents.c.id).limit(_BATCH)).mappings().all()
            if not batch:
                return
            yield batch
            last = batch[-1]["id"]


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
    values = _parts(read)
    for part in _RESULT_ALONE:
        db.sql(connection, part, document=document, **values)
    if not indexed:
        return read.state
    sent = duplicates.mark(db, connection, {document: read.record}, settled, new=False)
    return "review" if document in sent else read.state


_WHY = ("reason", "message", "traceback", "retryable", "failed_page")


def _parts(extraction: Extraction) -> dict[str, Any]:
    """What the statements above take of a result."""
    return {
        "record": rows.dump(extraction.record),
        "score": extraction.score,
        "tier": extraction.tier,
        "calibration": extraction.calibration,
        "read_on": None if extraction.read_on is None else extraction.read_on.isoformat(),
        "fields": rows.dump([rows.field(n, item) for n, item in enumerate(extraction.fields, 1)]),
        "checks": rows.dump([rows.check(n, item) for n, item in enumerate(extraction.checks, 1)]),
        "witnesses": rows.dump([rows.testimony(n, item) for n, item in enumerate(extraction.testimony, 1)]),
    }


def results_of(connection: Connection, batch: Sequence[RowMapping]) -> dict[int, Extraction]:
    """The results of those documents that have one, by id, as they are in the tables."""
    ids = [row["id"] for row in batch]
    query = select(extractions).where(extractions.c.document_id.in_(ids))
    results = {row["document_id"]: row for row in connection.execute(query).mappings()}
    of_fields, of_checks, of_witnesses = (
        _grouped(connection, table, ids) for table in (fields, checks, witnesses)
    )
    return {
        (id := row["id"]): rows.extraction(
            {**results[id], "state": row["state"], "pages": row["pages"]},
            of_fields[id],
            of_checks[id],
            of_witnesses[id],
        )
        for row in batch
        if row["id"] in results
    }


def _grouped(connection: Connection, table: Table, ids: Sequence[int]) -> dict[int, list[RowMapping]]:
    grouped: dict[int, list[RowMapping]] = defaultdict(list)
    query = select(table).where(table.c.document_id.in_(ids)).order_by(table.c.document_id, table.c.number)
    for row in connection.execute(query).mappings():
        grouped[row["document_id"]].append(row)
    return grouped
