"""What people decide: kept as rows with their history, applied to the result in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, insert, select, update

from pipeline import deciding
from pipeline.errors import LeaseLost, Permanent, UsageError
from pipeline.records import Decision, Extraction
from pipeline.store import readings, rows
from pipeline.store.audit import note
from pipeline.store.claims import holds
from pipeline.store.database import Database
from pipeline.store.entities import Job
from pipeline.store.failures import named
from pipeline.store.jobs import Jobs
from pipeline.store.results import put_decided
from pipeline.store.stored import results_of
from pipeline.store.tables import decisions, documents
from schemas.registry import SchemaSpec

_BATCH = 500  # documents whose decisions are taken back in one go


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Decision):
    """A decision as it is kept. It stands while `undone_at` is None."""

    id: int
    at: datetime
    batch: str | None = None  # of an import
    undone_at: datetime | None = None
    undone_by: str | None = None


class Decisions:
    """Corrections never change what was read: they stand beside it, until somebody takes them back."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self._db = database
        self._jobs = jobs

    def add(
        self,
        job: Job,
        uri: str,
        made: Sequence[Decision],
        *,
        batch: str | None = None,
        spec: SchemaSpec | None = None,
        claim: str | None = None,
    ) -> tuple[int, ...]:
        """Keeps decisions on one document (its URI, or that of one of its files) and applies them at once.

        Record, checks and state are those with all decisions that stand. Of a correction `raw` is read as the
        schema reads print, or `value` is taken as it is, canonical; `was` is filled in here. With `claim`,
        the token of a claim, that must hold. `spec`: the job's schema, where it cannot be found by its name.
        Returns the ids of the decisions.

        Raises UsageError, which names no value, for a document that has no result, a field that the schema
        does not have, a text that is no value of it; LeaseLost when the claim is over.
        """
        rules = self._jobs.rules(job.id, spec)
        with self._db.write(durable=True) as connection:
            row = self._locked(connection, job, uri)
            document = row["id"]
            if claim is not None and not holds(self._db, connection, document, claim):
                raise LeaseLost(f"{uri}: this claim is over; somebody else may have the document")
            read = _reading(connection, row)
            if read is None:
                raise UsageError(f"{uri} is {row['state']}: people decide on what has a result")
            try:
                kept = [deciding.checked(decision, read, rules) for decision in made]
            except UsageError as error:
                raise UsageError(f"{uri}: {error.message}") from None
            ids = tuple(self._keep(connection, document, decision, batch) for decision in kept)
            stand = readings.standing(connection, [document]).get(document, ())
            if (nowhere := deciding.without_line(read, stand)) is not None:
                raise UsageError(f"{uri}: {nowhere}: there is no such line; say first how many there are")
            self._apply(connection, row, read, rules)
        return ids

    def history(self, job: Job, uri: str) -> list[Decided]:
        """All decisions on a document in the order they were made, also those that were taken back."""
        mine = select(documents.c.id).where(documents.c.job_id == job.id, named(uri))
        query = select(decisions).where(decisions.c.document_id.in_(mine)).order_by(decisions.c.id)
        with self._db.read() as connection:
            return [_decided(row) for row in connection.execute(query).mappings()]

    def undo(self, ids: Sequence[int], by: str, *, spec: SchemaSpec | None = None) -> int:
        """Takes decisions back: those documents are as if nobody had made them. Returns how many were
        standing.
        """
        return sum(
            self._undo(decisions.c.id.in_(ids[start : start + _BATCH]), by, spec)
            for start in range(0, len(ids), _BATCH)
        )

    def undo_batch(self, batch: str, by: str, *, spec: SchemaSpec | None = None) -> int:
        """Takes back all decisions of one import."""
        return self._undo(decisions.c.batch == batch, by, spec)

    def _undo(self, which: ColumnElement[bool], by: str, spec: SchemaSpec | None) -> int:
        """Document by document, each in a transaction of its own."""
        open_ = which, decisions.c.undone_at.is_(None)
        with self._db.read() as connection:
            query = (
                select(decisions.c.document_id, documents.c.job_id)
                .join_from(decisions, documents)
                .where(*open_)
                .distinct()
                .order_by(decisions.c.document_id)
            )
            meant = connection.execute(query).all()
        number = 0
        for document, job in meant:
            rules = self._jobs.rules(job, spec)
            with self._db.write(durable=True) as connection:
                found = _lock(self._db, connection, select(documents.c.id).where(documents.c.id == document))
                if not found:
                    continue
                read = _reading(connection, found[0])
                back = update(decisions).where(*open_, decisions.c.document_id == document)
                values = {"undone_at": self._db.now(), "undone_by": by}
                fields = (
                    connection.execute(back.values(**values).returning(decisions.c.field)).scalars().all()
                )
                for field in fields:
                    note(self._db, connection, by, "undo", document, field)
                if read is not None:
                    self._apply(connection, found[0], read, rules)
            number += len(fields)
        return number

    def _locked(self, connection: Connection, job: Job, uri: str) -> RowMapping:
        chosen = select(documents.c.id).where(documents.c.job_id == job.id, named(uri))
        found = _lock(self._db, connection, chosen)
        if not found:
            raise UsageError(f"job {job.name} has no document {uri}")
        return found[0]

    def _keep(self, connection: Connection, document: int, decision: Decision, batch: str | None) -> int:
        row = {**rows.decision(decision), "document_id": document, "batch": batch}
        made = insert(decisions).values(**row, decided_at=self._db.now()).returning(decisions.c.id)
        note(self._db, connection, decision.by, decision.ruling, document, decision.field, batch)
        return int(connection.execute(made).scalar_one())

    def _apply(self, connection: Connection, row: RowMapping, read: Extraction, rules: SchemaSpec) -> None:
        indexed = self._jobs.indexed(row["job_id"])
        try:
            put_decided(self._db, connection, row["id"], read, rules, indexed=indexed)
        except Permanent as error:
            raise UsageError(f"{row['uri']}: {error.message}") from None


def _lock(db: Database, connection: Connection, chosen: Select[tuple[int]]) -> Sequence[RowMapping]:
    ids = db.locked(connection, chosen, documents.c.id)
    return connection.execute(select(documents).where(documents.c.id.in_(ids))).mappings().all()


def _reading(connection: Connection, row: RowMapping) -> Extraction | None:
    """What was read of a document, without decisions; None where it has no result now."""
    kept = readings.before(connection, [row["id"]]).get(row["id"])
    return results_of(connection, [row]).get(row["id"]) if kept is None else kept


def _decided(row: RowMapping) -> Decided:
    return Decided(
        **rows.decision_parts(row),
        id=row["id"],
        at=row["decided_at"],
        batch=row["batch"],
        undone_at=row["undone_at"],
        undone_by=row["undone_by"],
    )
