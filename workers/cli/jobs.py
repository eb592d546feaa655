"""Commands that say how far jobs are, and end them: status, cancel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.printable import as_json as dumps
from pipeline.sandbox import confine
from workers import screen
from workers.cli import options
from workers.cli.options import Json, StoreUrl

if TYPE_CHECKING:
    from pipeline.store import Job, Run, Store


def status(
    job: Annotated[str | None, typer.Option("--job", help="[default: every job of the store]")] = None,
    url: StoreUrl = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Balance the books; exit 3 if they do not.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what can be worked out from what is there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """How far jobs are: running, ended, cancelled, or stale where a run vanished without a word."""
    with options.opened(url) as store:
        every = store.jobs.all()
        jobs = [store.jobs.find(job)] if job is not None else every
        for one in jobs if repair else ():
            _repair(store, one)
        runs = store.runs.newest(jobs)
        names = {one.id: one.name for one in every}
        rows = [_status(store, one, verify, runs[one.id], names) for one in jobs]
    if as_json:
        screen.say_lines(dumps(rows[0] if job is not None else rows, indent=2))
        return
    screen.table(
        (
            *("job", "state", "schema", "model", "documents", "done", "review", "partial", "quarantined"),
            *("unfinished", "weight", "priority", "lanes"),
        ),
        [
            (
                *(row[what] for what in ("job", "state", "schema")),
                row["model"] if row["engine"] == "own" else f"{row['model']} at {row['engine']}",
                *(row[state] for state in ("submitted", "done", "review", "partial", "quarantined")),
                row["pending"] + row["leased"],
                *(f"{row['weight']:g}", row["priority"], row["lanes"]),
            )
            for row in rows
        ],
    )
    for row in rows:
        screen.say(f"job {row['job']}: {row['scores']}")
    if verify:
        screen.say("the books balance")
    held = confine.possible()
    if not held.complete:
        screen.say(held.words, err=True)


def _repair(store: Store, job: Job) -> None:
    """Said on standard error, so that --json stays JSON."""
    done = [step.message for step in store.books.repair(job)]
    for line in done or ["there was nothing to put right"]:
        screen.say(f"job {job.name}: {line}", err=True)


def _status(
    store: Store, job: Job, verify: bool, runs: Sequence[Run], names: Mapping[int, str]
) -> dict[str, Any]:
    from pipeline.trust import words

    counts = store.books.counts(job)
    if verify:
        books = store.books.verify(job)
        counts = {state: getattr(books, state) for state in counts}
    return {
        "job": job.name,
        "state": _state(job, runs),
        "schema": job.schema,
        "model": job.model,
        "engine": "own" if job.server is None else f"openai:{job.server}",
        "shadow_of": None if job.shadow_of is None else names[job.shadow_of],
        "shadow_share": job.shadow_share,
        "sources": list(job.sources),
        "submitted": sum(counts.values()),
        **counts,
        "weight": job.weight,
        "priority": job.priority,
        "lanes": sum(run.lanes for run in runs if run.alive),
        "scores": words.line(store.calibrations.in_force(job), job.name, store.results.some_numerics(job)),
    }


def _state(job: Job, runs: Sequence[Run]) -> str:
    """Of the living runs of a job, or else the newest one."""
    if any(run.alive for run in runs):
        return "cancelling" if job.cancelled_at is not None else "running"
    if job.cancelled_at is not None:
        return "cancelled"
    return "stale" if any(run.ended_at is None for run in runs) else "ended"


def cancel(
    job: Annotated[str, typer.Argument(metavar="JOB")],
    url: StoreUrl = None,
) -> None:
    """End every run of a job within seconds. What is left stays as it is, until the job is run again.

    Lanes finish or give back what they hold; the runs leave with 130 (with --accept-failures: 0).
    """
    with options.opened(url) as store:
        found = store.jobs.find(job)
        counts = store.books.counts(found)
        left = counts["pending"] + counts["leased"]
        if not left and not any(run.alive for run in store.runs.newest([found])[found.id]):
            return screen.say(f"job {job} has nothing left to do: there is nothing to cancel")
        living = store.runs.cancel(found)
    ends = (
        f"{living} {'run ends' if living == 1 else 'runs end'} within seconds"
        if living
        else "no run was alive"
    )
    screen.say(f"job {job} is cancelled: {ends}; {left} documents are left")


COMMANDS = (status, cancel)
