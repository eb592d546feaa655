"""Commands that give out what was read: query, export."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.addresses import REVIEW_URL
from pipeline.errors import UsageError
from pipeline.printable import as_json
from workers import screen
from workers.cli import options
from workers.cli.options import JsonToo, S3Endpoint, StoreUrl

if TYPE_CHECKING:
    from pipeline.settings import Settings


Raw = Annotated[
    bool,
    typer.Option("--raw", help="CSV for machines: cells that a spreadsheet would compute stay as they are."),
]


def query(
    sql: Annotated[str | None, typer.Argument(metavar="SQL", help="One SELECT.")] = None,
    url: StoreUrl = None,
    format: Annotated[str, typer.Option("--format", help="table, csv, json or parquet.")] = "table",
    raw: Raw = False,
    named: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A question in place of SQL; `--named list` shows them."),
    ] = None,
    job: Annotated[
        str | None, typer.Option(help="For --named: of this job only. [default: all jobs of the store]")
    ] = None,
    suppliers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", help="For risky-suppliers: columns tax_code or MST, since, until, note."
        ),
    ] = None,
) -> None:
    """Run one SELECT, read-only, and print its rows.

    Or a named query: spend, VAT, duplicates, cards that expire, what to look at. Those about invoices first
    bring the index of invoices in the store up to date.
    """
    from pipeline.store import formats

    if (sql is None) == (named is None):
        raise UsageError("query wants one SELECT, or --named NAME (--named list shows the names)")
    if suppliers is not None and named is None:
        raise UsageError("--suppliers is for --named risky-suppliers")
    if job is not None and named is None:
        raise UsageError("--job is for --named; in SQL ask for WHERE job = '…'")
    if named == "list":
        return _names()
    if format == "parquet" and screen.is_terminal():
        raise UsageError("parquet is not text: send it to a file (vinbatch query … --format parquet > FILE)")

    settings = options.settings(url)
    listed = None
    if suppliers is not None:
        from pipeline.store import suppliers as lists

        listed = lists.read(suppliers)
    with options.opened(url) as store:
        if named is None:
            asked = store.query(str(sql), seconds=settings.query_seconds)
        else:
            asked = store.named(
                named,
                job=None if job is None else store.jobs.find(job).name,
                suppliers=listed,
                law=settings.law,
                seconds=settings.query_seconds,
            )
        with asked as rows:
            formats.write(rows, format, screen.data(), raw=raw, shown=screen.is_terminal())


def _names() -> None:
    from pipeline.store import named

    screen.table(("Name", "What it answers"), ((one.name, one.title) for one in named.every()))


def export(
    out: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="File or s3://BUCKET/KEY; lists of lines go into a second one beside it. "
            "A folder, or what ends in /, becomes a dataset with a partition for each job.",
        ),
    ],
    job: Annotated[str | None, typer.Option(help="Name of the job; not for 01-1.")] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="csv, jsonl, parquet or xlsx [default: as PATH ends; parquet in a folder]; label-studio, "
            "pages to review as tasks; or 01-1, the list of purchases with their input VAT, as a workbook, "
            "from all jobs of the store",
        ),
    ] = None,
    url: StoreUrl = None,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Values alone, without confidence, source, page, score and reasons."),
    ] = False,
    raw: Raw = False,
    no_bom: Annotated[
        bool,
        typer.Option("--no-bom", help="CSV without the mark by which Excel knows UTF-8; --raw has none."),
    ] = False,
    review_url: Annotated[
        str, typer.Option(metavar="URL", help="Where `vinbatch review` serves, for the links of a workbook.")
    ] = REVIEW_URL,
    image_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="For label-studio: pages go into a folder beside PATH, which is served there "
            "[default: they are inside the file].",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="For label-studio: also documents that are done.")
    ] = False,
    s3_endpoint: S3Endpoint = None,
    since: Annotated[
        str | None, typer.Option(metavar="DAY", help="For 01-1: the first day, 2026-10-01.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="For 01-1: the last day.")] = None,
    buyer: Annotated[str | None, typer.Option(metavar="MST", help="For 01-1: the buyer's tax code.")] = None,
    json: JsonToo = False,
) -> None:
    """Write a job's rows to files, or the purchase list of the store."""
    settings = options.settings(url, s3_endpoint)
    if format == "01-1":
        if job is not None:
            raise UsageError("01-1 lists the purchases of the whole store: leave --job out")
        return _purchases(out, settings, since, until, buyer, json)
    if job is None:
        raise UsageError("export wants --job NAME, or --format 01-1")
    if since or until or buyer:
        raise UsageError("--since, --until and --buyer are for --format 01-1")
    if format == "label-studio":
        return _tasks(out, job, settings, image_url, every=every)
    if image_url or every:
        raise UsageError("--image-url and --all are for --format label-studio")
    with options.opened(url) as store:
        written = store.export(
            store.jobs.find(job),
            out,
            format,
            plain=plain,
            raw=raw,
            bom=not (no_bom or raw),
            review_url=review_url,
            settings=settings.source,
        )
    if json:
        files = [{"path": path, "rows": rows} for path, rows in written.files]
        screen.say_lines(as_json({"job": job, "written": files, "left_out": written.left_out}, indent=2))
        return
    for path, rows in written.files:
        screen.say(f"{path}: {rows} rows")
    if written.left_out:
        screen.say(f"{written.left_out} documents have no result and are left out", err=True)


def _tasks(out: str, job: str, settings: Settings, image_url: str | None, *, every: bool) -> None:
    from pipeline import store as stores
    from pipeline.label_studio.export import export

    with stores.open(settings.store, create=False) as store:
        made = export(store, store.jobs.find(job), Path(out), settings, image_url=image_url, every=every)
    screen.say(f"{made.tasks} tasks: {', '.join(made.files)}")
    for uri, page, why in made.without:
        screen.say(f"no task for page {page} of {uri}: {why}", err=True)
    if made.without:
        raise typer.Exit(3)


def _purchases(
    out: str, settings: Settings, since: str | None, until: str | None, buyer: str | None, json: bool
) -> None:
    from pipeline import store as stores
    from schemas.fields import tax_code

    first, last = _day("--since", since), _day("--until", until)
    try:
        code = None if buyer is None else tax_code(buyer)
    except ValueError as error:
        raise UsageError(f"--buyer: {error}") from None
    with stores.open(settings.store, create=False) as store:
        listed = store.purchases(
            out,
            since=first,
            until=last,
            buyer=code,
            law=settings.law,
            seconds=settings.query_seconds,
            settings=settings.source,
        )
    if json:
        sums = {"net": str(listed.net), "vat": str(listed.vat)}  # exact, which a number of JSON is not
        files = [{"path": out, "rows": listed.rows}]
        screen.say_lines(as_json({"written": files, **sums, "left_out": listed.aside}, indent=2))
        return
    screen.say(f"{out}: {listed.rows} rows, net {listed.net:,f}, VAT {listed.vat:,f}")
    if listed.aside:
        screen.say(f"{listed.aside} documents are set aside, in a sheet that says why", err=True)


def _day(flag: str, text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{flag}: {text} is no day like 2026-10-01") from None


COMMANDS = (query, export)
