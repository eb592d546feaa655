"""Commands that say how a job went, and what to look at next: report, todo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import UsageError
from pipeline.printable import as_json as dumps
from pipeline.printable import command
from pipeline.private import write_text
from workers import screen
from workers.cli import options
from workers.cli.options import Json, S3Endpoint, StoreUrl

if TYPE_CHECKING:
    from pipeline.report.scored import Scored
    from pipeline.settings import Settings
    from pipeline.store import Job, Store
    from pipeline.store.todo import Todo

OfJob = Annotated[str, typer.Argument(metavar="JOB", help="Name of the job.")]


def report(
    job: OfJob,
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="The page; for its owner alone.")],
    url: StoreUrl = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="What stands on the papers, as in eval: how right it is, and the worst."),
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(help="With --truth: where the job's schema file is now. [default: where it was]"),
    ] = None,
    s3_endpoint: S3Endpoint = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Show pages, drawn again from their files.")
    ] = True,
) -> None:
    """Write one HTML page about a job: what became of it, how sure it is, what stops it, what was spent.

    It holds everything that it shows, and fetches nothing. Charts and tables are of the whole job; its memory
    does not grow with it.
    """
    from pipeline import report as reports

    settings = options.settings(url, s3_endpoint)
    if not out.parent.is_dir():
        raise UsageError(f"--out: there is no folder {out.parent}")
    with options.opened(url) as store:
        found = store.jobs.find(job)
        scored = None
        if truth is not None:
            scored = _scored(store, found, truth, schema, settings, pictures)
        known = None if scored is None else scored.curves
        gathered = reports.gather(store, found, settings, pictures=pictures, known=known)
        page = reports.html(gathered, scored, _here(store, url))
    write_text(out, page)
    screen.say(f"{out}: job {job}, {gathered.submitted:,} documents")


def _scored(
    store: Store, job: Job, truth: Path, schema: str | None, settings: Settings, pictures: bool
) -> Scored:
    with options.extra("evaluation"):
        from pipeline import evaluation
        from pipeline.report import scored

    true = evaluation.load(truth, options.schema(schema or job.schema_reference))
    results = evaluation.decided(store.results.extractions(job))
    return scored.of_truth(results, true, truth.name, store, job, settings, pictures=pictures)


def todo(job: OfJob, url: StoreUrl = None, as_json: Json = False) -> None:
    """What to look at first and why, and the command to type next."""
    with options.opened(url) as store:
        found = store.todo(store.jobs.find(job))
        here = _here(store, url)
    if as_json:
        screen.say_lines(dumps([asdict(one) | {"next": _next(one, here)} for one in found], indent=2))
        return
    if not found:
        screen.say(f"nothing is left to do in job {job}")
    for number, one in enumerate(found, 1):
        if number > 1:
            screen.say()
        screen.say(f"{number}. {_many(one)}: {one.what}: {one.why}")
        for uri in one.examples:
            screen.say(f"   {uri}")
        screen.say(f"   next: {_next(one, here)}")


def _many(one: Todo) -> str:
    counts = (one.documents, "documents"), (one.pages, "pages of partial documents")
    return " and ".join(f"{number:,} {name}" for number, name in counts if number)


def _next(one: Todo, here: Sequence[str]) -> str:
    return command(("vinbatch", one.next[0], *here, *one.next[1:]))


def _here(store: Store, url: str | None) -> tuple[str, ...]:
    """The flag that names the store, where it was given and holds no password."""
    return ("--store", url) if url is not None and (url == store.url or "://" not in url) else ()


COMMANDS = (report, todo)
