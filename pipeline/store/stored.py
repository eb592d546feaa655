"""What was found, read back: pages, documents and results, streamed where they are many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from sqlalchemy import BigInteger, Connection, RowMapping, Table, func, literal_column, select

from pipeline.records import Extraction, PageResult, Part
from pipeline.store import files, page_rows, readings, rows
from pipeline.store.database import Database
from pipeline.store.entities import FINISHED, DocumentRow, Job, StoredExtraction
from pipeline.store.tables import checks, documents, extractions, fields, jobs, pages, witnesses

_BATCH = 500  # documents that are held while results are streamed
_LOOKED_AT = 200  # documents of a job that tell what it was read with
_SOME = 1000  # pages


class StoredResults:
    """Pages, extractions, fields, checks and what witnesses say, as they were stored."""

    def __init__(self, database: Database) -> None:
        self._db = database

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
                    known[row["key"]] = page_rows.page_of(row)
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
            return [page_rows.page_of(row) for row in connection.execute(query).mappings()]

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
