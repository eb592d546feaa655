"""The command that shows a document: its pages with what was read, and how sure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import UsageError
from pipeline.private import whole_file, write_text
from workers import screen
from workers.cli import options
from workers.cli.options import JobName, S3Endpoint, StoreUrl


def show(
    document: Annotated[
        str, typer.Argument(metavar="DOCUMENT", help="Its URI, or the end of it: invoice-7.pdf.")
    ],
    job: JobName,
    page: Annotated[
        int | None, typer.Option(min=1, help="This page alone. [default: all in HTML, the first as PNG]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="FILE.html or FILE.png, for its owner alone. [default: NAME.html here]"
        ),
    ] = None,
    url: StoreUrl = None,
    schema: Annotated[
        str | None, typer.Option(help="Where the job's schema file is now. [default: where it was]")
    ] = None,
    s3_endpoint: S3Endpoint = None,
) -> None:
    """Write one document as a page to look at: boxes by how sure each value is, checks, witnesses.

    One HTML file that holds everything, or a PNG of one page. The pages are drawn again from the document's
    own files, which must be the ones that were read.
    """
    from pipeline.onefile import document as documents

    settings = options.settings(url, s3_endpoint)
    kind = ".html" if out is None else out.suffix.lower()
    if kind not in (".html", ".png"):
        raise UsageError(f"--out: {out} is neither FILE.html nor FILE.png")
    if out is not None and not out.parent.is_dir():
        raise UsageError(f"--out: there is no folder {out.parent}")
    only = page if kind == ".html" else page or 1
    with options.opened(url) as store:
        found = store.jobs.find(job)
        spec = options.schema(schema or found.schema_reference)
        shown = documents.gather(store, found, document, spec, settings, only)
        to = out or Path(_file_name(shown.row.uri))
        if kind == ".png":
            from pipeline.onefile.picture import png

            with whole_file(to) as file:
                file.write(png(shown))
        else:
            from pipeline.onefile.html import html

            write_text(to, html(shown, store.calibrations.in_force(found)))
    screen.say(f"{to}: {shown.row.uri}, {len(shown.pages)} of {shown.row.pages or 0} pages")


def _file_name(uri: str) -> str:
    """A name in the working directory for what is shown of a document."""
    stem = Path(uri.rpartition("/")[2]).stem
    name = "".join(char if char.isalnum() or char in "-_." else "_" for char in stem)
    return f"{name[:80] or 'document'}.html"


COMMANDS = (show,)
