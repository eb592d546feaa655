"""Commands that read documents: specimens, plan, run."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import UsageError
from pipeline.printable import command
from pipeline.sandbox import confine
from workers import screen
from workers.cli import options
from workers.cli.options import (
    AnySchema,
    Exclude,
    Group,
    Include,
    S3Endpoint,
    SecondReader,
    Sources,
    StoreUrl,
    TrustAnchors,
    TrustManifests,
)

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from workers.job import JobRequest, Outcome
    from workers.progress import Reporter


def specimens(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    count: Annotated[int, typer.Option(min=1, help="How many documents.")] = 12,
    kind: Annotated[
        str, typer.Option(help="Kinds by turns, comma-separated: invoice, id_card, receipt, …")
    ] = "id_card",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")] = 1,
    worn: Annotated[
        bool | None, typer.Option("--worn/--clean", help="Turned, blurred, shaded … [default: some are]")
    ] = None,
    tier: Annotated[
        str, typer.Option(help="How the papers came in, instead of --worn: clean, scan, noisy, photo")
    ] = "",
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="pdf, pdf-fonts-absent, scanned-pdf, jpeg, png, tiff [default: the usual ones]",
        ),
    ] = "",
    fonts: Annotated[
        str, typer.Option(help="standard, or held-out from the demo model's training.")
    ] = "standard",
    layouts: Annotated[str | None, typer.Option(help="The same of layouts [default: as the fonts]")] = None,
    blank: Annotated[float, typer.Option(min=0, max=1, help="Chance that a value is left out.")] = 0.0,
    xml: Annotated[bool, typer.Option("--xml", help="Signed e-invoice XML beside each invoice.")] = False,
) -> None:
    """Write synthetic documents whose truth is known, and truth.jsonl beside them."""
    with options.extra("specimens"):
        from pipeline import specimens as making

    written = making.write(
        out,
        count,
        _names(kind),
        seed,
        worn=worn,
        tiers=_names(tier),
        formats=_names(format),
        font_set=fonts,
        layouts=layouts,
        blank=blank,
        xml=xml,
    )
    screen.say(f"{len(written)} specimens and their truth are in {out}")
    if xml:
        screen.say(f"their signatures are trusted with --trust-anchors {out / making.ANCHORS}")


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]


def plan(
    sources: Sources,
    schema: Annotated[
        str | None, typer.Option(help="See whether it can be used: NAME@VERSION, NAME or FILE.py:Model.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Draw every page, and see how many leave too little room for an answer."),
    ] = None,
    s3_endpoint: S3Endpoint = None,
    trust_manifests: TrustManifests = False,
    include: Include = None,
    exclude: Exclude = None,
    group: Group = None,
) -> None:
    """Count documents and pages, and name what would be skipped and why. No store.

    Of a model only config and tokenizer are read; it needs --schema.

    Leaves with 3 when a source or a document could not be looked at: refused, or out of reach.
    """
    from workers.dry_run import dry_run

    spec = options.schema(schema) if schema is not None else None
    settings = options.settings(
        s3_endpoint=s3_endpoint,
        trust_manifests=trust_manifests,
        include=include,
        exclude=exclude,
        group=group,
    )
    _check_sandbox(settings)
    if model is not None and spec is None:
        raise UsageError("--model says how much room an answer has, and --schema what it needs: give both")
    cutter = None
    if model is not None and spec is not None:
        from workers.tightness import Cutter  # the tokenizer is not loaded for nothing

        cutter = Cutter.of(model, spec, settings)
    found = dry_run(sources, settings, screen.console(err=True), cutter)
    if spec is not None:
        screen.say(f"schema     {spec.name}@{spec.version}, {sum(1 for _ in spec.shape.leaves())} fields")
    for line in found.lines():
        screen.say(line)
    if model is not None:
        from workers import sizing

        screen.say(f"a lane     {sizing.words(settings)}")
    if found.unseen:
        raise typer.Exit(3)


def run(
    sources: Sources,
    schema: Annotated[str, typer.Option(help="NAME@VERSION, NAME (the newest) or FILE.py:Model.")],
    model: Annotated[str, typer.Option(help="demo, a Hugging Face hub id, or a directory.")],
    url: StoreUrl = None,
    job: Annotated[str | None, typer.Option(help="[default: derived from sources, schema and model]")] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="Copies of the model [default: one a GPU; else one a machine]")
    ] = None,
    gpus_per_replica: Annotated[
        float | None, typer.Option(min=0, help="May be a fraction; 0 keeps the model on the CPU.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join [default: a Ray of its own on this machine]")
    ] = None,
    s3_endpoint: S3Endpoint = None,
    trust_manifests: TrustManifests = False,
    include: Include = None,
    exclude: Exclude = None,
    group: Group = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Only the first so many documents; without it the same job goes on."),
    ] = None,
    any_schema: AnySchema = False,
    second_reader: SecondReader = False,
    trust_anchors: TrustAnchors = None,
) -> None:
    """Read documents into rows. The same command again, here or elsewhere, goes on where it stopped."""
    from workers.job import JobRequest, run_job

    request = JobRequest(
        sources=tuple(sources),
        schema=schema,
        model=model,
        settings=options.settings(
            url,
            s3_endpoint,
            trust_manifests=trust_manifests,
            include=include,
            exclude=exclude,
            trust_anchors=trust_anchors,
            group=group,
            second_reader=second_reader,
        ),
        name=job,
        replicas=replicas,
        gpus_per_replica=gpus_per_replica,
        address=address,
        limit=limit,
        any_schema=any_schema,
    )
    with reported(request) as reporter:
        outcome = asyncio.run(run_job(request, reporter, stop_on_signal()))
    print_outcome(outcome)
    if limit is not None:
        screen.say(f"no more than {limit} documents were listed (--limit); without it the same job goes on")
    raise typer.Exit(130 if outcome.interrupted else 0 if outcome.all_done else 3)


@contextmanager
def reported(request: JobRequest) -> Iterator[Reporter]:
    """Shows the progress of a run on standard error, and what it logs."""
    from workers import logs
    from workers.progress import Reporter

    _check_sandbox(request.settings, elsewhere=request.address is not None)
    settings = request.settings.log
    json = settings.format == "json"
    with Reporter(screen.console(err=True), as_records=json) as reporter:
        write = partial(screen.say, err=True) if json else reporter.print_line
        with logs.handled(logs.LineHandler(write, settings.format), settings):
            yield reporter


def _check_sandbox(settings: Settings, *, elsewhere: bool = False) -> None:
    """Say once where files would be decoded less confined than they could be, or refuse if the settings do.

    With documents read `elsewhere`, each machine refuses for itself.
    """
    held = confine.possible()
    if held.complete:
        return
    if settings.render.require_sandbox and not elsewhere:
        raise UsageError(held.words)
    screen.say(held.words, err=True)


def stop_on_signal() -> threading.Event:
    """Set by the first Ctrl-C or SIGTERM; a second one ends the process at once."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        screen.say(
            "stopping: what is being read is finished or given back; once more to stop at once", err=True
        )

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    return stop


def print_outcome(outcome: Outcome) -> None:
    """The balance of the whole job, and what to type next."""
    left_out = f"{outcome.left_out} files were left out by their names: vinbatch plan tells which and why"
    if not outcome.balance.submitted:
        why = f"; {left_out}" if outcome.left_out else ""
        raise UsageError(f"job {outcome.job}: there is no document in its sources{why}")
    books = outcome.balance
    ended = ("done", books.done), ("review", books.review), ("partial", books.partial)
    left = ("quarantined", books.quarantined), ("pending", books.pending), ("leased", books.leased)
    sums = " + ".join(f"{number} {name}" for name, number in (*ended, *left))
    lines = [f"job {outcome.job}: {books.submitted} documents = {sums}"]
    last = outcome.last
    calls = "" if last.calls_a_page is None else f", {last.calls_a_page:.3f} model calls a page"
    lines.append(f"{last.pages} pages read, {last.pages_known} known before, {last.tokens} tokens{calls}")
    lines.append(outcome.trust)
    if outcome.left_out:
        lines.append(left_out)
    if outcome.listing_failed is not None:
        lines.append(outcome.listing_failed)
    if outcome.refused is not None:
        lines.append(outcome.refused)
    if books.quarantined or books.partial:
        lines.append(f"what failed and why: {command(('vinbatch', 'failures', '--job', outcome.job))}")
    if books.unfinished:
        lines.append("the same command goes on where this one stopped")
    for line in lines:
        screen.say(line)


COMMANDS = (plan, run, specimens)
