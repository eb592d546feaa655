"""Commands that read documents: specimens, plan, run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import UsageError
from pipeline.printable import as_json as dumps
from workers import screen
from workers.cli import candidate, ending, options
from workers.cli.options import (
    AnySchema,
    Engine,
    Exclude,
    Group,
    Include,
    JsonToo,
    Priority,
    S3Endpoint,
    SecondReader,
    Sources,
    StoreUrl,
    TrustAnchors,
    TrustManifests,
    Weight,
)
from workers.cli.reporting import check_sandbox, ran

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from pipeline.store.export import Exported
    from workers.job_file import JobFile


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
    lines: Annotated[
        int | None, typer.Option(min=1, max=60, help="Of an invoice at most. [default: up to 60]")
    ] = None,
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
        most_lines=lines,
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
    engine: Engine = None,
    s3_endpoint: S3Endpoint = None,
    trust_manifests: TrustManifests = False,
    include: Include = None,
    exclude: Exclude = None,
    group: Group = None,
    as_json: JsonToo = False,
) -> None:
    """Count documents and pages, and name what would be skipped and why. No store.

    Of a model only config and tokenizer are read; it needs --schema.

    Leaves with 3 when a source or a document could not be looked at: refused, or out of reach.
    """
    from pipeline.remote.facts import ServedModel
    from workers import sizing
    from workers.dry_run import dry_run

    spec = options.schema(schema) if schema is not None else None
    settings = options.settings(
        s3_endpoint=s3_endpoint,
        trust_manifests=trust_manifests,
        include=include,
        exclude=exclude,
        group=group,
        engine=engine,
    )
    check_sandbox(settings)
    if model is not None and spec is None:
        raise UsageError("--model says how much room an answer has, and --schema what it needs: give both")
    cutter = None
    served = ServedModel.of(model, settings) if model is not None else None
    if model is not None and spec is not None and served is None:  # of a server's context nothing is known
        from workers.tightness import Cutter  # the tokenizer is not loaded for nothing

        cutter = Cutter.of(model, spec, settings)
    found = dry_run(sources, settings, screen.console(err=True), cutter)
    used = None if spec is None else f"{spec.name}@{spec.version}"
    lane = None if model is None else sizing.words(settings)
    if as_json:
        engine = "own" if served is None else f"openai:{served.url}"
        screen.say_lines(dumps({"schema": used, **found.record(), "engine": engine, "lane": lane}, indent=2))
    else:
        if spec is not None:
            screen.say(f"schema     {used}, {sum(1 for _ in spec.shape.leaves())} fields")
        for line in found.lines():
            screen.say(line)
        if served is not None:
            screen.say(f"engine     {served.leaving}; it is not asked now")
        if lane is not None:
            screen.say(f"a lane     {lane}")
    if found.unseen:
        raise typer.Exit(3)


def run(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE…]",
            help="s3://BUCKET/PREFIX, folder, glob, file, manifest (JSONL, CSV), zip or tar; or in --file.",
        ),
    ] = None,
    schema: Annotated[
        str | None, typer.Option(help="NAME@VERSION, NAME (the newest) or FILE.py:Model.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="demo, a Hugging Face hub id, or a directory.")] = None,
    engine: Engine = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="JOB.toml", help="Sources, schema, model, targets and settings; what is typed wins."
        ),
    ] = None,
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
        typer.Option(
            min=1,
            help="List only so many documents, and what lies within them; without it the same job goes on.",
        ),
    ] = None,
    weight: Weight = None,
    priority: Priority = None,
    any_schema: AnySchema = False,
    shadow: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A candidate model that reads a share of the documents too, into a job of its own.",
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(min=0.0001, max=1.0, help="For --shadow: of the documents, always the same [0.05]."),
    ] = None,
    second_reader: SecondReader = False,
    trust_anchors: TrustAnchors = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH", help="Write the rows there at the end, as export does; may be repeated."
        ),
    ] = None,
    on_finish: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND|URL", help="Gets the outcome as JSON: on standard input, or by a signed POST."
        ),
    ] = None,
    accept_failures: Annotated[
        bool,
        typer.Option(
            "--accept-failures",
            help="Leave with 0 where every document came to an end, though some failed; else with 3.",
        ),
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Say at the end where the time went, and what would save some.")
    ] = False,
    print_job: Annotated[
        bool, typer.Option("--print-job", help="Only say the job's name, for ray job submit --submission-id.")
    ] = False,
    as_json: JsonToo = False,
) -> None:
    """Read documents into rows. The same command again, here or elsewhere, goes on where it stopped."""
    from workers import job_file

    asked = (job_file.read(file) if file is not None else job_file.JobFile()).under(
        sources=sources,
        schema=schema,
        model=model,
        job=job,
        targets=target,
        replicas=replicas,
        gpus_per_replica=gpus_per_replica,
        address=address,
        limit=limit,
        any_schema=any_schema,
        accept_failures=accept_failures,
        on_finish=on_finish,
        shadow=shadow,
        share=share,
    )
    settings = options.settings(
        url,
        s3_endpoint,
        trust_manifests=trust_manifests,
        include=include,
        exclude=exclude,
        trust_anchors=trust_anchors,
        group=group,
        second_reader=second_reader,
        engine=engine,
        weight=weight,
        priority=priority,
        under=asked.settings,
    )
    _run(asked, settings, print_job=print_job, profile=profile, as_json=as_json)


def _run(asked: JobFile, settings: Settings, *, print_job: bool, profile: bool, as_json: bool) -> None:
    from workers.job import default_name
    from workers.on_finish import OnFinish
    from workers.profile import Profile
    from workers.shadow import requested

    request = asked.request(settings)
    name = request.name or default_name(request)
    if print_job:
        return screen.say(name)
    shadow = requested(request, asked.shadow, asked.share)  # what is wrong with it is said before all is read
    to = OnFinish(asked.on_finish) if asked.on_finish is not None else None
    with ending.told(to, name) as tell:
        outcome = ran(request)
        ending.refuse_empty(outcome)
        written = [] if outcome.interrupted else _written(asked.targets, name, settings)
        code = ending.exit_code(outcome, accept_failures=asked.accept_failures)
        record = ending.record(outcome, code, written)
        if profile:
            record["profile"] = Profile.of(outcome.last).record()
        tell(record)
    if not as_json:
        ending.say(outcome, written)
        if profile:
            ending.say_profile(Profile.of(outcome.last))
    if shadow is not None and not outcome.interrupted:
        beside = candidate.read(shadow, name, as_json=as_json)
        record["shadow"] = beside
        code = code or beside["exit_code"]
    if as_json:
        screen.say_lines(dumps(record, indent=2))
    if asked.limit is not None:
        screen.say(
            f"no more than {asked.limit} documents were listed (--limit); without it the same job goes on",
            err=as_json,
        )
    raise typer.Exit(code)


def _written(targets: Sequence[str], job: str, settings: Settings) -> list[Exported]:
    """The job's rows, at every one of these."""
    from pipeline import store as stores

    if not targets:
        return []
    with stores.open(settings.store, create=False) as store:
        found = store.jobs.find(job)
        return [store.export(found, one, settings=settings.source) for one in targets]


COMMANDS = (plan, run, specimens)
