"""Commands that ask pages in free words: read, which gives their text, and ask, which puts a question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import UsageError
from pipeline.printable import as_json, command
from workers import screen
from workers.cli import ending, options
from workers.cli.options import AnySchema, Exclude, Group, Include, S3Endpoint, Sources, StoreUrl
from workers.cli.reporting import check_sandbox, ran

if TYPE_CHECKING:
    from pipeline.records import Failure
    from pipeline.settings import Settings
    from pipeline.store import Job, Store
    from pipeline.texts import Answered
    from workers.job import Outcome

_SHOWN = 50  # documents whose answers are printed; a query shows all
Model = Annotated[
    str, typer.Option(help="A Hugging Face hub id, or a directory: a model that knows the task.")
]


def read(
    sources: Sources,
    model: Model,
    task: Annotated[str, typer.Option(help="ocr, handwriting or describe.")] = "ocr",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A .txt for each document there. [default: to the terminal]"),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="URL",
            help="As a job with lanes, ledger and rows, which goes on where it stopped: for many documents. "
            "[default: one after the other in this process, and nothing is kept]",
        ),
    ] = None,
    job: Annotated[str | None, typer.Option(help="With --store. [default: derived, as in run]")] = None,
    s3_endpoint: S3Endpoint = None,
    include: Include = None,
    exclude: Exclude = None,
    group: Group = None,
    any_schema: AnySchema = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, a line for each document.")] = False,
) -> None:
    """Give the text of documents: what is printed, what is handwritten, or what is to be seen.

    What is doubtful about a text is told on standard error. Leaves with 3 where a document or a page could
    not be read.
    """
    from schemas import tasks

    name = task.partition("@")[0]
    if name not in tasks.BUILT_IN:
        raise UsageError(f"--task is {task}: it can be {', '.join(tasks.BUILT_IN)}; questions are for ask")
    if job is not None and url is None:
        raise UsageError("--job names a job in a store: give --store too, or leave both out")
    settings = options.settings(url, s3_endpoint, include=include, exclude=exclude, group=group)
    task = f"{name}@1"
    writer = _Writer(sources, out, as_json=as_json)
    if url is None:
        check_sandbox(settings)
        for one in _read_here(sources, task, model, settings, any_schema=any_schema):
            writer.take(one)
        raise typer.Exit(writer.code)
    outcome = _run_job(sources, task, model, settings, job, any_schema=any_schema)
    with options.opened(url) as store:
        for answer in _of_job(store, store.jobs.find(outcome.job)):
            writer.take(answer)
    ending.say(outcome, err=True)
    raise typer.Exit(ending.exit_code(outcome) or writer.code)


def ask(
    sources: Sources,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In Vietnamese, about each document.")],
    model: Model,
    form: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="FORM",
            help="The one answer of a document is a text, number, money, date or yes_no, held to its form, "
            "or none. [default: free words, for each page]",
        ),
    ] = None,
    url: StoreUrl = None,
    job: Annotated[
        str | None, typer.Option(help="[default: derived from sources, question and model]")
    ] = None,
    s3_endpoint: S3Endpoint = None,
    include: Include = None,
    exclude: Exclude = None,
    group: Group = None,
    any_schema: AnySchema = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, a line for each document.")] = False,
) -> None:
    """Put a question to every document; answers become rows, as in run, and are printed.

    The same command again goes on where it stopped; another question is another job.
    """
    from schemas import tasks

    form = None if form is None else form.replace("-", "_")
    if form is not None and f"ask_{form}" not in tasks.FORMS:
        known = ", ".join(name.removeprefix("ask_") for name in tasks.FORMS)
        raise UsageError(f"--as is {form}: it can be {known}")
    settings = options.settings(url, s3_endpoint, include=include, exclude=exclude, group=group)
    task = tasks.asking(form, question)
    outcome = _run_job(sources, task, model, settings, job, any_schema=any_schema)
    with options.opened(url) as store:
        found = store.jobs.find(outcome.job)
        if as_json:
            for row in _rows(store, found):
                screen.say_lines(_line(row))
        else:
            _print_answers(store, found, outcome.balance.submitted)
    ending.say(outcome, err=as_json)
    raise typer.Exit(ending.exit_code(outcome))


def _run_job(
    sources: Sequence[str], task: str, model: str, settings: Settings, job: str | None, *, any_schema: bool
) -> Outcome:
    from workers.job import JobRequest

    options.schema(task)  # what is wrong with the question is said before anything is begun
    request = JobRequest(tuple(sources), task, model, settings, job, any_schema=any_schema)
    outcome = ran(request)
    ending.refuse_empty(outcome)
    return outcome


def _read_here(
    sources: Sequence[str], task: str, model: str, settings: Settings, *, any_schema: bool
) -> Iterator[Answered | tuple[str, Failure]]:
    """One document after the other, by a model in this process."""
    from pipeline import sources as places
    from pipeline.api import Reader
    from pipeline.records import Failure
    from pipeline.texts import answered

    listed = [places.list_documents(some, settings.source) for some in places.together(sources)]
    with Reader(task, model, settings=settings, any_schema=any_schema) as reader:
        for ref in (ref for some in listed for ref in some):
            if ref.failure is not None and not ref.parts:
                yield ref.uri, ref.failure
                continue
            result = reader.result(ref)
            if isinstance(result.outcome, Failure):
                yield ref.uri, result.outcome
            else:
                failures = (page.failure for page in result.pages if page.failure is not None)
                yield answered(ref.uri, result.outcome, failures)


def _of_job(store: Store, job: Job) -> Iterator[Answered]:
    from pipeline.texts import answered

    for stored in store.results.extractions(job):
        failures: Iterable[Failure] = ()
        if stored.extraction.state == "partial":
            pages = store.results.pages(job, stored.uri)
            failures = [page.failure for page in pages if page.failure is not None]
        yield answered(stored.uri, stored.decided, failures)


class _Writer:
    """Gives out texts as they come, and remembers whether anything could not be read."""

    def __init__(self, sources: Sequence[str], out: Path | None, *, as_json: bool) -> None:
        from pipeline import sources as places
        from pipeline.texts import common_folder

        self._out, self._json = out, as_json
        uris = [places.uri(source) for source in sources]
        self._below = common_folder([f"{uri}/" if Path(uri).is_dir() else uri for uri in uris])
        self._alone = len(uris) == 1 and _is_one_file(sources[0])
        self._given = 0
        self._failed = 0

    def take(self, one: Answered | tuple[str, Failure]) -> None:
        self._given += 1
        if isinstance(one, tuple):
            uri, why = one
            self._failed += 1
            screen.say(f"{uri}: {why.reason}: {why.message}", err=True)
            if self._json:
                failed = {"uri": uri, "state": "failed", "reason": str(why.reason), "message": why.message}
                screen.say_lines(_line(failed))
            return
        self._failed += one.state == "partial"
        for doubt in one.doubts:
            screen.say(f"{one.uri}: {doubt}", err=True)
        if self._json:
            screen.say_lines(_line(_record(one)))
        if self._out is not None:
            self._write(self._out, one)
        elif not self._json:
            self._show(one)

    @property
    def code(self) -> int:
        """3 where something could not be read or written. Raises UsageError where there was no document."""
        if not self._given:
            raise UsageError("there is no document in the sources: vinbatch plan tells what was left out")
        return 3 if self._failed else 0

    def _write(self, out: Path, one: Answered) -> None:
        from pipeline.private import write_text
        from pipeline.texts import file_for

        path = file_for(out, one.uri, self._below)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, one.text)
        except OSError as error:
            self._failed += 1
            screen.say(f"{one.uri}: its text cannot be written to {path}: {error.strerror}", err=True)
            return
        if not self._json:
            screen.say(path)

    def _show(self, one: Answered) -> None:
        from pipeline.texts import PAGE_BREAK

        if not self._alone:
            screen.say(f"==> {one.uri} <==")
        text = one.text.removesuffix("\n")
        screen.say_lines(text.replace(PAGE_BREAK, "\n\n") if screen.is_terminal() else text)


def _is_one_file(source: str) -> bool:
    """Whether a person typed the name of one file that is a document by itself."""
    from pipeline import filetype

    return Path(source).is_file() and not filetype.is_archive(source)


def _record(one: Answered) -> dict[str, Any]:
    pages = [{"page": it.page, "text": it.text, "confidence": it.confidence} for it in one.pages]
    return {"uri": one.uri, "state": one.state, "pages": pages, "doubts": list(one.doubts)}


def _line(record: dict[str, Any]) -> str:
    return as_json(record)


def _rows(store: Store, job: Job) -> Iterator[dict[str, Any]]:
    """The answers of a job, document by document."""
    if job.schema.partition("@")[0] == "ask":
        yield from (_record(one) for one in _of_job(store, job))
        return
    for stored in store.results.extractions(job):
        [field] = [field for field in stored.decided.fields if field.path == "answer"]
        yield {
            "uri": stored.uri,
            "state": stored.extraction.state,
            "answer": field.value,
            "printed": field.raw,
            "page": field.page,
            "confidence": field.confidence,
            "doubts": [
                check.message
                for check in stored.extraction.checks
                if not check.passed and check.severity != "info"
            ],
        }


def _print_answers(store: Store, job: Job, documents: int) -> None:
    cells: list[tuple[object, ...]] = []
    for row in islice(_rows(store, job), _SHOWN):
        answers = row.get("pages") or [
            {"page": row.get("page"), "text": row.get("answer"), "confidence": row.get("confidence")}
        ]
        for one in answers:
            sure = "–" if one["confidence"] is None else f"{one['confidence']:.2f}"
            said = "–" if one["text"] is None else one["text"]
            cells.append((row["uri"], one["page"] or "–", said, sure, row["state"]))
    screen.table(("Document", "Page", "Answer", "Sure", "State"), cells)
    if documents > _SHOWN:
        view = f"{job.schema.replace('@', '_v')}{'_pages' if job.schema.startswith('ask@') else ''}"
        sql = f"SELECT * FROM {view} WHERE job = '{job.name}'"
        screen.say(f"the first {_SHOWN} of {documents} documents; all: {command(('vinbatch', 'query', sql))}")


COMMANDS = (read, ask)
