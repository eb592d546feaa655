"""Commands that make confidence a number one can act on: calibrate, accept."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import UsageError
from workers import screen
from workers.cli import options
from workers.cli.options import JobName, StoreUrl

if TYPE_CHECKING:
    from pipeline.store import Job, Store
    from pipeline.trust import Calibration, InForce, Promise
    from pipeline.trust.examples import Example
    from schemas.registry import SchemaSpec

By = Annotated[str | None, typer.Option(metavar="NAME", help="Who says so. [default: this user]")]
At = Annotated[
    float | None,
    typer.Option(
        "--at",
        min=0.5,
        max=0.9999,
        help="Share of right values that is promised. [default: the setting accept_at]",
    ),
]
Schema = Annotated[
    str | None, typer.Option(help="Where the job's schema file is now. [default: where it was]")
]


def calibrate(
    job: JobName,
    truth: Annotated[
        Path | None,
        typer.Option(help="What stands on the papers, as in eval. [default: what people decided in review]"),
    ] = None,
    url: StoreUrl = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it there (calibration.json), and leave the store alone."),
    ] = None,
    at: At = None,
    by: By = None,
    schema: Schema = None,
) -> None:
    """Make scores of confidences from a job's documents whose truth is known, and apply them at once.

    What is measured is measured on documents held out. The calibration holds for all jobs of the store with
    the same schema and model; which documents pass without a person follows from the share of right values
    that is promised.
    """
    from pipeline import calibrating
    from pipeline.trust import Promise, packaged

    settings = options.settings(url)
    with options.opened(url) as store:
        found = store.jobs.find(job)
        spec = options.schema(schema or found.schema_reference)
        if truth is None:
            examples, origin = calibrating.decided(store, found), "documents that people reviewed"
        else:
            examples, origin = _of_truth(store, found, spec, truth), f"truth in {truth.name}"
        made = calibrating.calibration(store, found, examples, origin)
        promise = Promise.of(made, settings.accept_at if at is None else at)
        _show(made, promise)
        if out is not None:
            packaged.write(out, made)
            screen.say(f"{out}: the calibration of {found.schema}; the store is as it was")
            return
        _check_idle(store, made)
        trust = store.calibrations.add(made, promise, _name(by))
        _apply(store, trust, spec)


def _of_truth(store: Store, job: Job, spec: SchemaSpec, truth: Path) -> Iterator[Example]:
    from pipeline import calibrating

    with options.extra("evaluation"):
        from pipeline import evaluation
        from pipeline.evaluation import known

    return known.of_truth(calibrating.read(store, job), evaluation.load(truth, spec))


def accept(
    job: JobName,
    at: At = None,
    url: StoreUrl = None,
    by: By = None,
    schema: Schema = None,
) -> None:
    """Promise another share of right values for documents that pass without a person, and apply it at once.

    Without --at, say what is promised, by whom and since when.
    """
    from pipeline.trust import Promise

    with options.opened(url) as store:
        found = store.jobs.find(job)
        trust = store.calibrations.in_force(found)
        if trust is None or trust.id is None:
            raise UsageError(
                f"job {job} is uncalibrated, so nothing can be promised: vinbatch calibrate makes scores "
                "from documents of known truth"
            )
        if at is None:
            return _history(store, job)
        promise = Promise.of(trust.calibration, at)
        spec = options.schema(schema or found.schema_reference)
        _check_idle(store, trust.calibration)
        _show_promise(promise)
        store.calibrations.promise(trust.id, promise, _name(by))
        _apply(store, trust, spec)


def _name(by: str | None) -> str:
    return by or getpass.getuser()


def _show(made: Calibration, promise: Promise) -> None:
    from pipeline.trust import words

    figures = made.figures
    screen.table(("Field", "Values", "ECE"), words.figure_rows(made), "Calibration error, documents held out")
    screen.say(
        f"{made.documents} documents, {figures['values']} values, {figures['right']} of them right; "
        f"AUROC {figures['auroc']:.3f}; {figures['pass_at_99']:.1%} of the values pass at 99%"
    )
    _show_promise(promise)


def _show_promise(promise: Promise) -> None:
    from pipeline.trust import words

    title = f"Promised: {promise.accept_at:.1%} right values (95% intervals)"
    screen.table(words.PROMISE_HEADS, words.promise_rows(promise), title)


def _check_idle(store: Store, made: Calibration) -> None:
    """Raises UsageError where a run works on a job that is to be judged again."""
    for name in store.calibrations.jobs(made):
        if store.books.counts(store.jobs.find(name))["leased"]:
            raise UsageError(f"job {name} is being worked on; its scores can change when its run has ended")


def _apply(store: Store, trust: InForce, spec: SchemaSpec) -> None:
    """To all jobs of the same schema and model."""
    from pipeline import calibrating

    for name in store.calibrations.jobs(trust.calibration):
        job = store.jobs.find(name)
        if job.schema_hash != spec.hash:
            screen.say(f"job {name}: left as it is; its schema is not the one of today", err=True)
            continue
        moves = calibrating.apply(store, job, spec)
        for (before, after), count in sorted(moves.items()):
            screen.say(f"job {name}: {count} {before}" + (f" → {after}" if after != before else " as before"))


def _history(store: Store, job: str) -> None:
    from pipeline.trust import words

    found = store.jobs.find(job)
    for made in store.calibrations.history(found):
        of = made.calibration
        what = f"calibration {made.calibration_id}, on {of.documents} documents ({of.origin})"
        if made.promise is not None:
            what = f"{made.promise.accept_at:.2%} right values promised by calibration {made.calibration_id}"
        screen.say(f"{made.at:%Y-%m-%d %H:%M} {made.by}: {what}")
    trust = store.calibrations.in_force(found)
    screen.say(f"in force: {words.line(trust, job)}")
    if trust is not None and trust.promise is not None:
        _show_promise(trust.promise)


COMMANDS = (calibrate, accept)
