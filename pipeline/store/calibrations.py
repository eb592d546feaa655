"""Calibrations and promises, with who made them and when. None is ever changed: the newest one holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from pipeline.errors import UsageError
from pipeline.store.database import Database
from pipeline.store.entities import Job
from pipeline.store.tables import calibrations, jobs, promises
from pipeline.trust import Calibration, InForce, Promise


@dataclass(frozen=True, slots=True)
class Made:
    """A calibration or, where `promise` is set, a promise by it: who made it and when."""

    calibration_id: int
    calibration: Calibration
    promise: Promise | None
    at: datetime
    by: str


class Calibrations:
    """What scores are made by, for each schema and checkpoint."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, made: Calibration, promise: Promise | None, by: str) -> InForce:
        """From now on it is the calibration of its schema and checkpoint, with this promise."""
        with self._db.write(durable=True) as connection:
            return self._add(connection, made, promise, by)

    def add_where_none(self, made: Calibration, promise: Promise | None, by: str) -> InForce:
        """The one in force, which is this one where the store has none for its schema and checkpoint."""
        with self._db.write(durable=True) as connection:
            self._db.lock(connection)
            found = self._in_force(connection, made.schema, made.checkpoint)
            return self._add(connection, made, promise, by) if found is None else found

    def promise(self, calibration_id: int, promise: Promise, by: str) -> None:
        """From now on the calibration has this promise."""
        with self._db.write(durable=True) as connection:
            self._promise(connection, calibration_id, promise, by)

    def in_force(self, job: Job) -> InForce | None:
        """The newest calibration of the job's schema and checkpoint with its newest promise; None: there is
        none, and scores are not calibrated.
        """
        with self._db.read() as connection:
            return self._in_force(connection, job.schema, job.checkpoint)

    def jobs(self, made: Calibration) -> list[str]:
        """The names of the jobs whose scores it makes, in the order in which they were begun."""
        query = (
            select(jobs.c.name)
            .where(jobs.c.schema == made.schema, jobs.c.checkpoint == made.checkpoint)
            .order_by(jobs.c.id)
        )
        with self._db.read() as connection:
            return list(connection.execute(query).scalars())

    def history(self, job: Job) -> Iterator[Made]:
        """All calibrations and promises of the job's schema and checkpoint, the oldest first."""
        with self._db.read() as connection:
            query = select(calibrations).where(_of(job.schema, job.checkpoint)).order_by(calibrations.c.id)
            rows = connection.execute(query).mappings().all()
            given = select(promises).where(promises.c.calibration_id.in_([row["id"] for row in rows]))
            promised = connection.execute(given.order_by(promises.c.id)).mappings().all()
        for row in rows:
            calibration = _calibration(row)
            yield Made(row["id"], calibration, None, row["made_at"], row["made_by"])
            for one in promised:
                if one["calibration_id"] == row["id"]:
                    promise = Promise.of_json(one["accept_at"], one["thresholds"])
                    yield Made(row["id"], calibration, promise, one["set_at"], one["set_by"])

    def _add(self, connection: Connection, made: Calibration, promise: Promise | None, by: str) -> InForce:
        values = {
            "schema": made.schema,
            "checkpoint": made.checkpoint,
            "numerics": made.numerics,
            "origin": made.origin,
            "documents": made.documents,
            "field_values": made.values,
            "model": made.as_json(),
            "figures": dict(made.figures),
            "made_at": self._db.now(),
            "made_by": by,
        }
        id = connection.execute(insert(calibrations).values(values).returning(calibrations.c.id)).scalar_one()
        if promise is not None:
            self._promise(connection, id, promise, by)
        return InForce(made, promise, id)

    def _promise(self, connection: Connection, calibration_id: int, promise: Promise, by: str) -> None:
        connection.execute(
            insert(promises).values(
                calibration_id=calibration_id,
                accept_at=promise.accept_at,
                thresholds=promise.as_json(),
                set_at=self._db.now(),
                set_by=by,
            )
        )

    def _in_force(self, connection: Connection, schema: str, checkpoint: str) -> InForce | None:
        newest = (
            select(calibrations).where(_of(schema, checkpoint)).order_by(calibrations.c.id.desc()).limit(1)
        )
        row = connection.execute(newest).mappings().one_or_none()
        if row is None:
            return None
        given = select(promises).where(promises.c.calibration_id == row["id"])
        last = connection.execute(given.order_by(promises.c.id.desc()).limit(1)).mappings().one_or_none()
        promise = None if last is None else Promise.of_json(last["accept_at"], last["thresholds"])
        return InForce(_calibration(row), promise, row["id"])


def _of(schema: str, checkpoint: str) -> Any:
    return (calibrations.c.schema == schema) & (calibrations.c.checkpoint == checkpoint)


def _calibration(row: Any) -> Calibration:
    try:
        return Calibration.of_json(row["model"], f"calibration {row['id']} of the store")
    except UsageError as error:
        raise UsageError(f"{error.message} (schema {row['schema']})") from None
