"""The command that takes corrections in from files."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import UsageError
from pipeline.printable import command
from workers import screen
from workers.cli import options
from workers.cli.options import JobName, StoreUrl

if TYPE_CHECKING:
    from pipeline.corrections import Change, Plan, Refusal
    from pipeline.store import Job, Store
    from schemas.registry import SchemaSpec

_SOME_REFUSED = 3


def corrections(
    job: JobName,
    file: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="A workbook or CSV of an export, or Label Studio's JSON."
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who decided [default: who runs this command].")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without this it is only shown.")] = False,
    undo: Annotated[
        str | None, typer.Option(metavar="BATCH", help="Take back all that was applied under this name.")
    ] = None,
    schema: Annotated[str | None, typer.Option(help="As in `run`, where the job's has moved.")] = None,
    url: StoreUrl = None,
) -> None:
    """Take in what people corrected in an exported sheet; show the difference, and apply it with --apply.

    What the model read stays beside it. Rows whose document has changed since the export are refused.
    """
    if (file is None) == (undo is None):
        raise UsageError("corrections wants --from FILE, or --undo BATCH")
    who = (by if by is not None else getpass.getuser()).strip()
    if not who:
        raise UsageError("--by: say who decided")
    with options.opened(url) as store:
        found = store.jobs.find(job)
        spec = options.schema(schema or found.schema_reference)
        if undo is not None:
            return _undo(store, undo, who, spec)
        assert file is not None
        _take_in(store, found, spec, file, who, apply=apply)


def _undo(store: Store, batch: str, who: str, spec: SchemaSpec) -> None:
    number = store.decisions.undo_batch(batch, who, spec=spec)
    if not number:
        raise UsageError(f"nothing of a batch {batch} stands")
    screen.say(f"{number} decisions of {batch} are taken back")


def _take_in(store: Store, job: Job, spec: SchemaSpec, file: Path, who: str, *, apply: bool) -> None:
    from pipeline import corrections as files

    read = files.read(file, store, job)
    planned = files.plan(store, job, spec, read.entries, who)
    _show(planned)
    refused = list(planned.refusals)
    taken = planned.documents()
    if apply:
        for told in files.apply(store, job, spec, planned, read.batch):
            if isinstance(told, files.Refusal):
                refused.append(told)
                del taken[told.uri]
    for refusal in refused:
        screen.say(_line(refusal), err=True)
    screen.say(_summary(planned, taken, len(refused), read.batch, job, apply=apply))
    if refused:
        raise typer.Exit(_SOME_REFUSED)


def _show(planned: Plan) -> None:
    for uri, changes in planned.documents().items():
        screen.say(uri)
        for change in changes:
            screen.say(f"  {_difference(change)}")


def _difference(change: Change) -> str:
    decision = change.decision
    what = "document" if decision.field is None else f"{decision.field} ({change.label})"
    match decision.ruling:
        case "correct":
            return f"{what}: {_shown(change.before)} → {_shown(change.after)}"
        case "accept" if decision.field is not None:
            return f"{what}: {_shown(change.before)} is right"
        case "not_on_page" if isinstance(change.before, dict):
            values = [f"{name} {value}" for name, value in sorted(change.before.items()) if value is not None]
            return f"{what}: the line is taken out: {'; '.join(values)}"
        case "not_on_page" | "illegible":
            return f"{what}: {_shown(change.before)} → nothing, {decision.ruling.replace('_', ' ')}"
    return f"{what}: {decision.ruling}"


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)


def _line(refusal: Refusal) -> str:
    field = "" if refusal.field is None else f" {refusal.field}"
    return f"refused, {refusal.where}: {refusal.uri}{field}: {refusal.why}"


def _summary(
    planned: Plan, taken: Mapping[str, Sequence[Change]], refused: int, batch: str, job: Job, *, apply: bool
) -> str:
    """`taken`: the changes by document, but for those that were refused when they were to be applied."""
    known = f", {planned.known} decided so already" if planned.known else ""
    number = sum(map(len, taken.values()))
    counts = f"{number} decisions on {len(taken)} documents, {refused} refused{known}"
    if not number:
        return counts
    if not apply:
        return f"{counts}; nothing is changed yet: add --apply"
    back = command(("vinbatch", "corrections", "--job", job.name, "--undo", batch))
    return f"{counts}; applied as {batch}; to take it back: {back}"


COMMANDS = (corrections,)
