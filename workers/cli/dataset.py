"""Commands about sets to learn from: dataset export, dataset check."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import UsageError
from pipeline.printable import as_json
from workers import screen
from workers.cli import options
from workers.cli.options import JsonToo, S3Endpoint, StoreUrl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.grammar import Form
    from pipeline.settings import Settings
    from pipeline.tuning.export import Exported
    from pipeline.tuning.labelled import LeftOut, Page
    from pipeline.tuning.prepare import Preparer
    from schemas.spec import SchemaSpec

_SOME_LEFT_OUT = 3
_MOST_SHOWN = 20


def export(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="New folder for the set.")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Documents, with truth.jsonl among them.")
    ] = None,
    job: Annotated[
        str | None, typer.Option(help="Take the documents of this job that people reviewed.")
    ] = None,
    url: StoreUrl = None,
    schema: Annotated[str | None, typer.Option(help="As in `run`; of a job, where it has moved.")] = None,
    truth: Annotated[
        Path | None, typer.Option(help="What stands on the papers, as in eval. [default: FOLDER's]")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Which is to learn from it: its form of answers. [default: the job's, else demo]"),
    ] = None,
    heldout: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of documents that is kept for evaluation.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="The same seed holds out the same documents.")] = 0,
    accepted: Annotated[
        bool, typer.Option("--accepted", help="Of a job: only documents that were accepted as a whole.")
    ] = False,
    pseudonymise: Annotated[
        bool,
        typer.Option(
            "--pseudonymise",
            help="Invented names, numbers and dates in the answers, and no pictures, which show the true "
            "ones: to pass on, not to learn from.",
        ),
    ] = False,
    s3_endpoint: S3Endpoint = None,
    json: JsonToo = False,
) -> None:
    """Write reviewed or labelled documents as a data set in InternVL's format, to learn from with `tune`.

    The set holds what stands on the documents: pictures and values. Its files are readable by you alone.
    """
    if (folder is None) == (job is None):
        raise UsageError("dataset export wants a FOLDER with its truth, or --job NAME")
    settings = options.settings(url, s3_endpoint)
    if folder is not None:
        made = _of_folder(out, folder, schema, truth, model, settings, heldout, seed, pseudonymise)
    else:
        assert job is not None
        made = _of_job(out, job, schema, model, settings, heldout, seed, pseudonymise, accepted)
    if json:
        left = [{"document": one.document, "why": one.why} for one in made.left_out]
        screen.say_lines(as_json({"out": str(out), "pages": dict(made.pages), "left_out": left}, indent=2))
    else:
        _told(out, made, pseudonymise)
    if made.left_out:
        raise typer.Exit(_SOME_LEFT_OUT)


def check(
    data: Annotated[
        Path,
        typer.Argument(metavar="SET", help="Folder of `dataset export`, meta .json, .jsonl or .parquet."),
    ],
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="SET", help="An evaluation set that may share no page with it; repeatable."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Which is to learn from it: its context, questions and answers are held against it."
        ),
    ] = None,
    max_tiles: Annotated[int, typer.Option(min=1, max=40, help="Of a page, as in tune.")] = 6,
    schema: Annotated[str | None, typer.Option(help="Where the schema file of the set is now.")] = None,
    json: JsonToo = False,
) -> None:
    """Say what is wrong with a set: missing pictures, wrong turns, pages too long or of an evaluation set.

    Leaves with 3 where anything is. A folder's own held-out part counts as an evaluation set.
    """
    from pipeline.tuning.check import check as problems

    settings = options.settings()
    preparer = None if model is None else _preparer(model, max_tiles, schema, settings)
    found = list(problems(data, against or (), preparer, settings.render))
    if json:
        rows = [{"kind": one.kind, "where": one.where, "why": one.why} for one in found]
        screen.say_lines(as_json({"problems": rows}, indent=2))
    else:
        for one in found[:_MOST_SHOWN]:
            screen.say(f"{one.kind}, {one.where}: {one.why}")
        if len(found) > _MOST_SHOWN:
            screen.say(f"and {len(found) - _MOST_SHOWN} more; --json lists all")
        counts = Counter(one.kind for one in found)
        screen.say(
            ", ".join(f"{count} × {kind}" for kind, count in counts.most_common()) or "nothing is wrong"
        )
    if found:
        raise typer.Exit(_SOME_LEFT_OUT)


def _preparer(model: str, max_tiles: int, schema: str | None, settings: Settings) -> Preparer:
    from pipeline.tuning.prepare import Preparer
    from pipeline.vintern import checkpoint
    from pipeline.vintern import config as configs
    from pipeline.vintern import tokenizer as tokenizers
    from pipeline.vintern.config import limited

    directory = checkpoint.locate(model, weights=False)
    config, tokenizer = configs.read(directory), tokenizers.load(directory)
    config = limited(config, max_tiles)
    return Preparer(config, tokenizer, config.context_length, 1.0, options.moved(schema), settings.render)


def _of_folder(
    out: Path,
    folder: Path,
    schema: str | None,
    truth: Path | None,
    model: str | None,
    settings: Settings,
    heldout: float,
    seed: int,
    pseudonymise: bool,
) -> Exported:
    if schema is None:
        raise UsageError("of a folder, dataset export wants --schema")
    spec = options.schema(schema)
    with options.extra("evaluation"):
        from pipeline import evaluation
        from pipeline.tuning import labelled

    pages = labelled.of_folder(folder, evaluation.load(truth or folder, spec), settings)
    return _written(out, pages, spec, model or "demo", heldout, seed, pseudonymise)


def _of_job(
    out: Path,
    job: str,
    schema: str | None,
    model: str | None,
    settings: Settings,
    heldout: float,
    seed: int,
    pseudonymise: bool,
    accepted: bool,
) -> Exported:
    from pipeline import store as stores
    from pipeline.tuning import labelled

    with stores.open(settings.store, create=False) as store:
        found = store.jobs.find(job)
        spec = options.schema(schema or found.schema_reference)
        pages = labelled.of_job(store, found, settings, spec, accepted=accepted)
        return _written(out, pages, spec, model or found.model, heldout, seed, pseudonymise)


def _written(
    out: Path,
    pages: Iterable[Page | LeftOut],
    spec: SchemaSpec,
    model: str,
    heldout: float,
    seed: int,
    pseudonymise: bool,
) -> Exported:
    from pipeline.tuning.export import export as write

    return write(out, pages, spec, _form(model), heldout=heldout, seed=seed, pseudonymise=pseudonymise)


def _form(model: str) -> Form:
    """In which form the model answers."""
    from pipeline.vintern import checkpoint
    from pipeline.vintern import config as configs

    return configs.read(checkpoint.locate(model, weights=False)).answer_form


def _told(out: Path, made: Exported, pseudonymise: bool) -> None:
    train, held = made.pages["train"], made.pages["heldout"]
    screen.say(f"{out}: {train} pages to learn from, {held} held out")
    if made.not_whole:
        screen.say(
            f"of {made.not_whole} pages people looked at some values only; --accepted leaves them out",
            err=True,
        )
    if not held:
        screen.say("nothing is held out: what is learned cannot be measured with this set", err=True)
    if pseudonymise:
        screen.say("no pictures: they would show the true values; this set cannot be learned from", err=True)
    for one in made.left_out[:_MOST_SHOWN]:
        screen.say(f"left out, {one.document}: {one.why}", err=True)
    if len(made.left_out) > _MOST_SHOWN:
        screen.say(f"and {len(made.left_out) - _MOST_SHOWN} more; --json lists all", err=True)


COMMANDS = (export, check)
