"""The command that says how well documents were read, and by which of two models better: eval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import UsageError
from pipeline.printable import as_json as dumps
from pipeline.private import write_text
from workers import screen
from workers.cli import benching, options
from workers.cli.options import AnySchema, S3Endpoint, StoreUrl

if TYPE_CHECKING:
    from pipeline.evaluation.comparing import Comparison, Side
    from pipeline.records import Extraction
    from pipeline.settings import Settings
    from pipeline.store import Job, Store


def evaluate(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE…]", help="Documents to read first, with --schema and --model."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="truth.jsonl, metadata.jsonl, a CSV or a folder of JSON.")
    ] = None,
    job: Annotated[str | None, typer.Option(help="A job that is there, or a name for the new one.")] = None,
    url: StoreUrl = None,
    schema: Annotated[
        str | None,
        typer.Option(help="As in `run`; of a job that is there only where it is not built in."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="As in `run`.")] = None,
    s3_endpoint: S3Endpoint = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="PATH", help="All measures as JSON.")
    ] = None,
    show: Annotated[
        int, typer.Option(min=0, help="Documents to print value by value beside their truth.")
    ] = 0,
    any_schema: AnySchema = False,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B",
            help="Two jobs side by side, with paired tests; with SOURCE two models; with --bench two files "
            "of answers.",
        ),
    ] = None,
    export_stickler: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Write truth and readings as pairs for stickler-eval, and their schema.",
        ),
    ] = None,
    bench: Annotated[
        str | None,
        typer.Option(help="Score answers to questions instead: openvivqa, vitextvqa, mtvqa-vi or vlsp."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="For --bench: its folder with images, or the file of one split.")
    ] = None,
    split: Annotated[str, typer.Option(help="For --bench: train, dev or test.")] = "test",
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help='For --bench: answers, lines of {"id", "answer"}; with --model it gets those it lacks.',
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="For --bench: only the first so many questions.")
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="For --bench: a model that marks each answer, behind VINBATCH_JUDGE_URL (and _KEY); a "
            "second one may have VINBATCH_JUDGE_URL_2. Twice: how well both agree.",
        ),
    ] = None,
    marks: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="Where marks are kept [default: beside the predictions]."),
    ] = None,
    send_answers: Annotated[
        bool, typer.Option("--send-answers", help="Questions and answers may go to a judge elsewhere.")
    ] = False,
) -> None:
    """Score documents whose truth is known, or answers to a benchmark; or compare two models on either.

    Documents are those of a job, or of SOURCE, which are read first. As a page with charts and the worst
    documents: vinbatch report JOB --truth TRUTH --out PAGE.html
    """
    settings = options.settings(url, s3_endpoint)
    if bench is not None:
        if truth or sources or job or schema or show or export_stickler:
            raise UsageError(
                "eval --bench takes --data with --model or --predictions, not a job, SOURCE or --truth"
            )
        asked = benching.Asked(
            bench, data, split, limit, model, predictions, compare, tuple(judge or ()), marks, send_answers
        )
        return benching.run(asked, settings, json_path)
    if data or predictions or judge or marks or limit or send_answers:
        raise UsageError(
            "--data, --predictions, --limit, --judge, --marks and --send-answers are for --bench"
        )
    if truth is None:
        raise UsageError("eval wants --truth with what stands on the papers, or --bench with --data")
    if compare is not None:
        if job is not None or model is not None or show or export_stickler:
            raise UsageError(
                "--compare A B names both sides: leave out --job, --model, --show and --export-stickler"
            )
        jobs = _both_read(sources, schema, compare, truth, settings, any_schema)
        return _compare(jobs, compare, truth, schema, url, json_path)
    if sources:
        job = _read_first(sources, schema, model, truth, settings, job, any_schema)
    elif job is None or model is not None:
        raise UsageError("eval wants --job with a job that is there, or SOURCE with --schema and --model")
    _score(job, truth, schema, url, json_path, show, export_stickler)


def _score(
    job: str,
    truth: Path,
    schema: str | None,
    url: str | None,
    json_path: Path | None,
    show: int,
    export_stickler: Path | None,
) -> None:
    from itertools import islice

    with options.extra("evaluation"):
        from pipeline import evaluation
        from pipeline.evaluation import stickler, summary

    with options.opened(url) as store:
        found = store.jobs.find(job)
        spec = options.schema(schema or found.schema)
        true = evaluation.load(truth, spec)
        for name, pairs in islice(
            evaluation.beside(evaluation.decided(store.results.extractions(found)), true), show
        ):
            screen.table(("Field", "Read", "Printed", ""), map(summary.pair_row, pairs), name)
        report = evaluation.evaluate(evaluation.decided(store.results.extractions(found)), true)
        if export_stickler is not None:
            read = evaluation.decided(store.results.extractions(found))
            written = stickler.export(read, true, export_stickler)
            screen.say(f"{export_stickler}: {written.documents} documents; {written.schema}: what they are")
    screen.table(summary.BRIEF_HEADS, summary.brief_rows(report), found.schema)
    screen.say(summary.scope(report))
    for what, figure in summary.figures(report):
        screen.say(f"{what}: {figure}")
    screen.say(summary.headline(report))
    if json_path is not None:
        write_text(json_path, dumps(report.as_json(), indent=2) + "\n")


def _compare(
    jobs: tuple[str, str],
    names: tuple[str, str],
    truth: Path,
    schema: str | None,
    url: str | None,
    json_path: Path | None,
) -> None:
    with options.opened(url) as store:
        one, other = (store.jobs.find(job) for job in jobs)
        found = compared(store, (one, other), str(truth), schema)
    show_comparison(replace(found, a=names[0], b=names[1]), json_path)


def compared(store: Store, jobs: tuple[Job, Job], against: str, schema: str | None) -> Comparison:
    """Which of two jobs read better: by a truth's file, or by what people decided in the first ("decisions").

    Raises UsageError where they read other schemas, or nothing that is known is in both.
    """
    with options.extra("evaluation"):
        from pipeline import evaluation
        from pipeline.evaluation import comparing, reviewed

    one, other = jobs
    if one.schema_hash != other.schema_hash:
        raise UsageError(f"{one.name} read {one.schema} and {other.name} {other.schema}: not to be compared")
    spec = options.schema(schema or one.schema_reference)
    names, sides = (one.name, other.name), (_as_read(store, one), _as_read(store, other))
    if against != "decisions":
        truth = evaluation.load(against, spec)
        return comparing.compare(names, *sides, known=truth, truth=truth)
    known = reviewed.known(store.results.extractions(one), spec)
    if not known:
        raise UsageError(
            f"nobody has decided anything in job {one.name}: vinbatch review, or a file of truth"
        )
    return comparing.compare(names, *sides, known=known, truth=reviewed.fields(spec))


def _as_read(store: Store, job: Job) -> Side:
    """What a job read of each document that came to an end, before anybody decided anything."""
    side: dict[str, Extraction | None] = {
        row.uri: None for row in store.results.documents(job) if row.state not in ("pending", "leased")
    }
    return side | {item.uri: item.reading for item in store.results.extractions(job) if item.uri in side}


def show_comparison(found: Comparison, json_path: Path | None = None, *, as_json: bool = False) -> None:
    """As a table with sentences, or as JSON alone; at `json_path` as JSON too."""
    from pipeline.evaluation import side_by_side

    if as_json:
        return screen.say_lines(dumps(found.as_json(), indent=2))
    screen.table(side_by_side.HEADS, side_by_side.rows(found))
    for line in side_by_side.sentences(found):
        screen.say(line)
    if json_path is not None:
        write_text(json_path, dumps(found.as_json(), indent=2) + "\n")


def _both_read(
    sources: Sequence[str] | None,
    schema: str | None,
    models: tuple[str, str],
    truth: Path,
    settings: Settings,
    any_schema: bool,
) -> tuple[str, str]:
    """The names of the two jobs: those given, or of what both models read first."""
    if not sources:
        return models
    one, other = (_read_first(sources, schema, model, truth, settings, None, any_schema) for model in models)
    return one, other


def _read_first(
    sources: Sequence[str],
    schema: str | None,
    model: str | None,
    truth: Path,
    settings: Settings,
    job: str | None,
    any_schema: bool,
) -> str:
    """The name of the job that has read them."""
    if schema is None or model is None:
        raise UsageError("to read SOURCE first, eval wants --schema and --model, as run does")
    with options.extra("evaluation"):
        from pipeline import evaluation
    from workers.cli import ending
    from workers.cli.reporting import ran
    from workers.job import JobRequest

    evaluation.load(truth, options.schema(schema))  # what is wrong with it is said before all is read
    request = JobRequest(
        sources=tuple(sources),
        schema=schema,
        model=model,
        settings=settings,
        name=job,
        any_schema=any_schema,
    )
    outcome = ran(request)
    ending.refuse_empty(outcome)
    ending.say(outcome)
    if outcome.interrupted:
        raise typer.Exit(130)
    return outcome.job


evaluate.__name__ = "eval"  # the command's name; the built-in keeps its own in this file
COMMANDS = (evaluate,)
