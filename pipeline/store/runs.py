"""Who works on jobs: each run says that it lives, sees the others, and learns that it is to end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from pipeline.store.database import Database
from pipeline.store.entities import Job, Run
from pipeline.store.tables import jobs, runs

STALE_SECONDS = 30.0  # without a sign of life


class Runs:
    """A run is alive while it says so; one that vanished counts no more after STALE_SECONDS."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def begin(self, job: Job, driver: str, weight: float, priority: int) -> Run:
        """A run of this job that begins now. The job has this weight and priority from now on, and is not
        cancelled any more.
        """
        with self._db.write(durable=True) as connection:
            shares = update(jobs).where(jobs.c.id == job.id)
            connection.execute(shares.values(weight=weight, priority=priority, cancelled_at=None))
            row = insert(runs).values(
                job_id=job.id,
                driver=driver,
                lanes=0,
                cancelled=False,
                started_at=self._db.now(),
                beat_at=self._db.now(),
            )
            made = connection.execute(row.returning(runs.c.id)).scalar_one()
            return self._found(connection, runs.c.id == made)[0]

    def beat(
        self, run: int, *, pool: str | None = None, room: int = 0, wanted: int = 0, lanes: int = 0
    ) -> tuple[Run, ...]:
        """The run lives and has so many lanes. All living runs of its pool, itself among them, by number."""
        with self._db.write() as connection:
            sign = update(runs).where(runs.c.id == run)
            connection.execute(
                sign.values(beat_at=self._db.now(), pool=pool, room=room, wanted=wanted, lanes=lanes)
            )
            mine = self._found(connection, runs.c.id == run)
            if pool is None:
                return mine
            return self._found(connection, and_(runs.c.pool == pool, self._alive()))

    def end(self, run: int) -> None:
        with self._db.write() as connection:
            ended = update(runs).where(runs.c.id == run, runs.c.ended_at.is_(None))
            connection.execute(ended.values(ended_at=self._db.now(), lanes=0))

    def cancel(self, job: Job) -> int:
        """Have every run of the job end; how many live. Documents stay as they are."""
        with self._db.write(durable=True) as connection:
            mark = update(jobs).where(jobs.c.id == job.id)
            connection.execute(mark.values(cancelled_at=self._db.now()))
            theirs = update(runs).where(runs.c.job_id == job.id, runs.c.ended_at.is_(None))
            connection.execute(theirs.values(cancelled=True))
            return len(self._found(connection, and_(runs.c.job_id == job.id, self._alive())))

    def newest(self, chosen: Iterable[Job]) -> dict[int, list[Run]]:
        """Of each of these jobs, by id: its living runs, and else the newest one, if there was any."""
        found: dict[int, list[Run]] = {}
        with self._db.read() as connection:
            for job in chosen:
                mine = runs.c.job_id == job.id
                living = self._found(connection, and_(mine, self._alive()))
                newest = select(runs.c.id).where(mine).order_by(runs.c.id.desc()).limit(1)
                found[job.id] = list(living or self._found(connection, runs.c.id.in_(newest)))
        return found

    def _alive(self) -> Any:
        return and_(runs.c.ended_at.is_(None), runs.c.beat_at > self._db.later(-STALE_SECONDS))

    def _found(self, connection: Connection, condition: Any) -> tuple[Run, ...]:
        chosen = (
            select(runs, jobs.c.name, jobs.c.weight, jobs.c.priority, self._alive().label("alive"))
            .join(jobs, jobs.c.id == runs.c.job_id)
            .where(condition)
            .order_by(runs.c.id)
        )
        return tuple(
            Run(
                row["id"],
                row["job_id"],
                row["name"],
                row["weight"],
                row["priority"],
                row["driver"],
                row["pool"],
                row["room"] or 0,
                row["wanted"] or 0,
                row["lanes"],
                row["started_at"],
                row["ended_at"],
                row["cancelled"],
                bool(row["alive"]),
            )
            for row in connection.execute(chosen).mappings()
        )
