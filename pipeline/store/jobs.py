"""Jobs: made once, resumed by name, never under other settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from pipeline.errors import UsageError
from pipeline.store import shadows, views
from pipeline.store.database import Database
from pipeline.store.entities import Job, View
from pipeline.store.shadows import Shadow
from pipeline.store.tables import jobs

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

_JUDGING = ("review_below", "sources_of_authority")  # settings that `vinbatch judge` applies


class Jobs:
    """What was asked for, by name."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._views: dict[int, tuple[View, ...]] = {}  # by job id
        self._specs: dict[int, SchemaSpec] = {}
        self._indexed: dict[int, bool] = {}

    def ensure(
        self,
        name: str,
        spec: SchemaSpec,
        *,
        sources: Sequence[str],
        settings: Mapping[str, Any],
        model: str,
        checkpoint: str,
        shadow: Shadow | None = None,
    ) -> Job:
        """The job of that name, made now or resumed. Makes the typed views of its schema.

        `settings` is JSON-ready and holds whatever, besides schema and checkpoint, can change a result.
        `shadow`: of which job it is one.
        Raises UsageError naming the difference when the name belongs to a job with another schema,
        checkpoint or settings. Further sources are added to the job's list.
        """
        with self._db.write(durable=True) as connection:
            self._db.lock(connection)
            mine = select(jobs).where(jobs.c.name == name)
            found = connection.execute(mine).mappings().one_or_none()
            if found is None:
                _make(self._db, connection, name, spec, sources, settings, model, checkpoint, shadow)
            else:
                _check_shadow(found, shadow)
                if differences := list(_differences(found, spec, settings, checkpoint)):
                    judge = (
                        f" `vinbatch judge --job {name}` applies another {' or '.join(_JUDGING)}"
                        " to what was read."
                        if any(difference.startswith(_JUDGING) for difference in differences)
                        else ""
                    )
                    raise UsageError(
                        f"job {name} was begun otherwise: {'; '.join(differences)}. "
                        f"Give this run another --job name, or the settings of the first.{judge}"
                    )
                more = [source for source in sources if source not in found["sources"]]
                if more:
                    longer = update(jobs).where(jobs.c.name == name)
                    connection.execute(longer.values(sources=[*found["sources"], *more]))
            return _job(connection.execute(mine).mappings().one())

    def set_judgement(self, job: Job, review_below: float, authority: Sequence[str] | None) -> None:
        """Later runs of the job are to have this threshold and these sources of authority."""
        named = None if authority is None else list(authority)
        with self._db.write() as connection:
            settings = {**job.settings, "review_below": review_below, "sources_of_authority": named}
            connection.execute(update(jobs).where(jobs.c.id == job.id).values(settings=settings))

    def find(self, name: str) -> Job:
        """The job of that name; UsageError names those that exist."""
        with self._db.read() as connection:
            found = connection.execute(select(jobs).where(jobs.c.name == name)).mappings().one_or_none()
            if found is not None:
                return _job(found)
            names = select(jobs.c.name).order_by(jobs.c.id.desc()).limit(10)
            newest = connection.execute(names).scalars().all()
        there = f"the newest are {', '.join(newest)}" if newest else "there is none yet"
        raise UsageError(f"no job {name} in {self._db.shown}; {there}")

    def all(self) -> list[Job]:
        """All jobs, the newest first."""
        with self._db.read() as connection:
            found = connection.execute(select(jobs).order_by(jobs.c.id.desc()))
            return [_job(row) for row in found.mappings()]

    def views_of(self, job_id: int) -> tuple[View, ...]:
        """The views of a job. A job's never change, so they are read once."""
        if job_id not in self._views:
            with self._db.read() as connection:
                stored = connection.execute(select(jobs.c.views).where(jobs.c.id == job_id)).scalar_one()
            self._views[job_id] = View.all_of(stored)
        return self._views[job_id]

    def indexed(self, job_id: int) -> bool:
        """Whether what a job reads stands in the index of invoices. A job's schema never changes."""
        if job_id not in self._indexed:
            from pipeline.store import invoices  # with every schema, which few who use the store need

            with self._db.read() as connection:
                found = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one()
            self._indexed[job_id] = invoices.indexed(_job(found))
        return self._indexed[job_id]

    def rules(self, job_id: int, spec: SchemaSpec | None = None) -> SchemaSpec:
        """The schema by which a job reads: `spec`, or found by the name that the job has for it.

        Raises UsageError where it is not to be found, or is not as it was when the job began: by other rules
        nothing of this job is judged.
        """
        known = self._specs.get(job_id)
        if known is not None and (spec is None or spec.hash == known.hash):
            return known
        with self._db.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one()
        if spec is None:
            from schemas import registry  # with every schema, which few who use the store need

            try:
                spec = registry.resolve(row["schema_reference"] or row["schema"])
            except registry.SchemaError as error:
                raise UsageError(str(error)) from error
        if spec.hash != row["schema_hash"]:
            raise UsageError(
                f"schema {row['schema']} has been changed since job {row['name']} began; run the same "
                "sources under another --job name: where only rules have changed, no page is read again"
            )
        self._specs[job_id] = spec
        return spec


def _make(
    db: Database,
    connection: Connection,
    name: str,
    spec: SchemaSpec,
    sources: Sequence[str],
    settings: Mapping[str, Any],
    model: str,
    checkpoint: str,
    shadow: Shadow | None,
) -> None:
    wanted = views.of(spec) if shadow is None else shadows.views_of(views.of(spec))
    same = select(jobs.c.views).where(jobs.c.result_view == wanted[0].name).order_by(jobs.c.id.desc())
    older = [View.all_of(stored) for stored in connection.execute(same).scalars()]
    views.ensure(db, connection, wanted, older)
    connection.execute(
        insert(jobs).values(
            name=name,
            schema=f"{spec.name}@{spec.version}",
            schema_hash=spec.hash,
            schema_reference=spec.reference or None,
            model=model,
            checkpoint=checkpoint,
            settings=dict(settings),
            sources=list(dict.fromkeys(sources)),
            views=[_stored(view) for view in wanted],
            result_view=wanted[0].name,
            submitted=0,
            created_at=db.now(),
            shadow_of=None if shadow is None else shadow.of,
            shadow_share=None if shadow is None else shadow.share,
        )
    )


def _check_shadow(found: RowMapping, shadow: Shadow | None) -> None:
    """Raises UsageError where a shadow is taken for a job, or for that of another job or share."""
    name, given = found["name"], found["shadow_of"]
    if (None if shadow is None else shadow.of) != given:
        what = (
            "no shadow" if given is None else "the shadow of a job: the command of that one goes on with it"
        )
        raise UsageError(f"job {name} is {what}; give this run another --job name")
    if shadow is not None and shadow.share != found["shadow_share"]:
        raise UsageError(f"job {name} was begun with --share {found['shadow_share']:g}, not {shadow.share:g}")


def renew_views(db: Database, connection: Connection) -> None:
    """Makes the views of all jobs anew, in the words of this Vinbatch."""
    query = select(jobs.c.result_view, jobs.c.views).order_by(jobs.c.id.desc())
    by_name: dict[str, list[tuple[View, ...]]] = {}
    for name, stored in connection.execute(query):
        by_name.setdefault(name, []).append(View.all_of(stored))
    for newest, *older in by_name.values():
        views.ensure(db, connection, newest, older, anew=True)


def _differences(
    found: RowMapping, spec: SchemaSpec, settings: Mapping[str, Any], checkpoint: str
) -> Iterator[str]:
    schema = f"{spec.name}@{spec.version}"
    if found["schema"] != schema:
        yield f"schema was {found['schema']} and is {schema}"
    elif found["schema_hash"] != spec.hash:
        yield f"schema {schema} has been changed since"
    if found["checkpoint"] != checkpoint:
        yield f"checkpoint was {found['checkpoint'][:12]} ({found['model']}) and is {checkpoint[:12]}"
    before, now = dict(_flat(found["settings"])), dict(_flat(settings))
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            yield f"{key} was {before.get(key)!r} and is {now.get(key)!r}"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, list(value) if isinstance(value, tuple) else value  # as JSON gives it back


def _job(row: RowMapping) -> Job:
    return Job(
        row["id"],
        row["name"],
        row["schema"],
        row["schema_hash"],
        row["schema_reference"] or row["schema"],
        row["model"],
        row["checkpoint"],
        row["settings"],
        tuple(row["sources"]),
        View.all_of(row["views"]),
        row["created_at"],
        row["shadow_of"],
        row["shadow_share"],
        row["weight"],
        row["priority"],
        row["cancelled_at"],
    )


def _stored(view: View) -> dict[str, Any]:
    columns = [[column.name, column.path, column.kind, column.label] for column in view.columns]
    return {"name": view.name, "columns": columns, "list": view.list_path, "label": view.label}
