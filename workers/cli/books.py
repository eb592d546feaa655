"""Commands that look into the ledger and put it right: failures, retry, judge, diff, purge."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import UsageError
from pipeline.printable import as_json as dumps
from pipeline.printable import command
from workers import screen
from workers.cli import evaluating, options
from workers.cli.options import JobName, Json, JsonToo, StoreUrl

if TYPE_CHECKING:
    from pipeline.store import FailedItem, Job, Purged

_SHOWN = 20  # failed documents in the table; --json has them all
_AGE = re.compile(r"(\d+)([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def failures(job: JobName, url: StoreUrl = None, as_json: Json = False) -> None:
    """What failed, by reason, and the command that repeats each document alone."""
    with options.opened(url) as store:
        found = store.jobs.find(job)
        groups = store.failures.groups(found)
        if as_json:
            _stream(found, groups, store.failures.each(found))
            return
        if not groups:
            screen.say(f"nothing failed in job {job}")
            return
        screen.table(
            ("reason", "documents", "pages", "example"),
            [(group.reason, group.documents, group.pages, group.example) for group in groups],
        )
        for number, item in enumerate(store.failures.each(found)):
            if number == _SHOWN:
                screen.say("… and more: --json has them all")
                break
            page = f", page {item.failure.page}" if item.failure.page is not None else ""
            screen.say()
            screen.say(f"{item.uri}{page}: {item.failure.reason}: {item.failure.message}")
            screen.say(
                f"  tried {item.attempts} times, last by {item.worker or 'nobody'}; to repeat it alone:"
            )
            screen.say(f"  {_repeat(found, item)}")


def _stream(job: Job, groups: Any, items: Iterator[FailedItem]) -> None:
    """One JSON document, written item by item: there may be a million."""
    head = {"job": job.name, "reasons": [asdict(group) for group in groups]}
    screen.say_lines(dumps(head)[:-1] + ', "items": [')
    for number, item in enumerate(items):
        one = {
            "uri": item.uri,
            "page": item.failure.page,
            "reason": str(item.failure.reason),
            "message": item.failure.message,
            "attempts": item.attempts,
            "losses": item.losses,
            "worker": item.worker,
            "at": item.at.isoformat(),
            "traceback": item.failure.traceback,
            "repeat": _repeat(job, item),
        }
        screen.say_lines(("," if number else "") + dumps(one))
    screen.say_lines("]}")


def _repeat(job: Job, item: FailedItem) -> str:
    """The command that reads this one document again, into a store of its own."""
    return command(
        ("vinbatch", "run", *job.flags, "--store=sqlite:///alone.db", "--job=alone", "--", *item.files)
    )


def retry(
    job: JobName,
    url: StoreUrl = None,
    reason: Annotated[str | None, typer.Option(help="All documents that failed for this reason.")] = None,
    document: Annotated[
        str | None,
        typer.Option(metavar="URI", help="The document with this file, as `run` is given it."),
    ] = None,
) -> None:
    """Put failed documents back, to be read by the next run."""
    _one_of(reason=reason, document=document)
    with options.opened(url) as store:
        count = store.failures.retry(store.jobs.find(job), reason=reason, document=_uri(document))
    screen.say(f"{count} documents of job {job} are pending again; the run's own command reads them")


def judge(
    job: JobName,
    url: StoreUrl = None,
    review_below: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Threshold of confidence. [default: the setting review_below]"),
    ] = None,
    authority: Annotated[
        list[str] | None,
        typer.Option(
            help="Source whose values are chosen before what was read: xml, qr, mrz. May be given more than "
            "once, in order. [default: the setting sources_of_authority, else the schema's own]"
        ),
    ] = None,
    schema: Annotated[
        str | None, typer.Option(help="Where the job's schema file is now. [default: where it was]")
    ] = None,
) -> None:
    """Apply another review_below, or other sources of authority, to what a job has read.

    Nothing is read again, no model is needed. Values, checks and states become what a run with these settings
    would have made; later runs of the job keep them. The settings themselves are for new jobs.
    """
    from pipeline import judging

    settings = options.settings(url)
    below = settings.review_below if review_below is None else review_below
    sources = settings.sources_of_authority if authority is None else tuple(authority)
    with options.opened(url) as store:
        found = store.jobs.find(job)
        moves = judging.judge(store, found, options.schema(schema or found.schema_reference), below, sources)
    screen.say(f"job {job}: {sum(moves.values())} documents judged with review_below {below:g}")
    for (before, after), count in sorted(moves.items()):
        screen.say(f"{count} {before}" + (f" → {after}" if after != before else " as before"))


def diff(
    before: Annotated[str, typer.Argument(metavar="JOB_A")],
    after: Annotated[str, typer.Argument(metavar="JOB_B")],
    url: StoreUrl = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="decisions|TRUTH",
            help="Say which of both is better, with paired tests: by what people decided in JOB_A, or by a "
            "file of truth as in eval.",
        ),
    ] = None,
    schema: Annotated[
        str | None, typer.Option(help="Where the jobs' schema file is now. [default: where it was]")
    ] = None,
    as_json: Json = False,
) -> None:
    """What differs between two jobs over the same documents, field by field; or which of them is better.

    Beside a shadow only the documents that it reads count.
    """
    with options.opened(url) as store:
        one, other = store.jobs.find(before), store.jobs.find(after)
        if against is not None:
            found = evaluating.compared(store, (one, other), against, schema)
            return evaluating.show_comparison(found, as_json=as_json)
        count = 0
        for change in store.diff(one, other):
            if change.path is None and change.after is None and other.shadow_of == one.id:
                continue
            count += 1
            if as_json:
                screen.say_lines(dumps(asdict(change)))
            else:
                what = change.path or "(the document)"
                screen.say(f"{change.uri} {what}: {_said(change.before)} → {_said(change.after)}")
        if not as_json:
            screen.say(f"{count} differences")


def _said(value: Any) -> str:
    return "nothing" if value is None else str(value)


def purge(
    url: StoreUrl = None,
    job: Annotated[
        str | None,
        typer.Option(help="In this job only; alone: all of its documents. [default: in every job]"),
    ] = None,
    document: Annotated[
        str | None,
        typer.Option(metavar="URI", help="The document with this file, as `run` is given it."),
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="All finished so long ago: 90d, 12h, 8w.")
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(metavar="VALUE", help="All that mention this name or number; - reads it from stdin."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed where nobody can be asked.")] = False,
    as_json: JsonToo = False,
) -> None:
    """Remove documents with everything that was read from them, for good.

    Leaves with 2 when there is no such document: then nothing was removed.
    """
    if job is None or (document, older_than, subject) != (None, None, None):
        _one_of(document=document, older_than=older_than, subject=subject)
    age = _age(older_than) if older_than is not None else None
    if subject == "-":
        subject = sys.stdin.readline().rstrip("\n")
    if as_json and not (dry_run or yes):
        raise UsageError("purge --json asks nobody: say --yes too (or --dry-run)")
    if not (dry_run or yes or screen.can_ask()):
        raise UsageError("purge removes for good: nobody can be asked here, so say --yes (or --dry-run)")
    with options.opened(url) as store:
        purge = partial(
            store.purge,
            job=store.jobs.find(job) if job is not None else None,
            document=_uri(document),
            older_than=age,
            subject=subject,
        )
        purged = purge(dry_run=not yes)
        if not purged.documents:
            raise UsageError("there is no such document: nothing was removed")
        if not (dry_run or yes):
            screen.say(f"this would remove {_purged(purged)}")
            if not screen.confirm("remove them for good?"):
                raise UsageError("nothing was removed")
            purged = purge()
    if as_json:
        screen.say_lines(dumps({"removed": not dry_run, **asdict(purged)}, indent=2))
        return
    screen.say(f"{'would remove' if dry_run else 'removed'} {_purged(purged)}")
    for copy in purged.copies:
        screen.say(f"the same bytes are still there as {copy}")


def _purged(purged: Purged) -> str:
    names = ("documents", "pages", "extractions", "fields", "checks", "witnesses")
    several = [name for name in ("parts", "decisions") if getattr(purged, name)]
    return ", ".join(f"{getattr(purged, what)} {what}" for what in (*names, *several))


def _uri(document: str | None) -> str | None:
    """As `run` would store what was typed, so that a relative path is found."""
    if document is None:
        return None
    from pipeline import sources

    return sources.uri(document)


def _age(text: str) -> timedelta:
    match = _AGE.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no age: write 90d, 12h or 8w", param_hint="--older-than")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _one_of(**flags: str | None) -> None:
    if sum(value is not None for value in flags.values()) != 1:
        names = " and ".join("--" + name.replace("_", "-") for name in flags)
        raise typer.BadParameter(f"give exactly one of {names}")


COMMANDS = (failures, retry, judge, diff, purge)
