"""The report as one HTML file: figures, the reliability picture, and the worst pages beside their truth."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from html import escape as escaped
from importlib.resources import files
from pathlib import Path
from string import Template

from PIL import Image

from pipeline import render, sources
from pipeline.errors import Coded
from pipeline.evaluation import reliability, summary
from pipeline.evaluation.pairs import Pair
from pipeline.evaluation.report import DocumentScore, Report
from pipeline.evaluation.summary import percent
from pipeline.printable import printable
from pipeline.private import write_text
from pipeline.records import PageImage, Pixels
from pipeline.settings import Settings

_SIDE = 900  # pixels of a page's longer edge in the report
_SHOWN = 3  # pages of a document in the report
_SAID = {"wrong": "wrong", "missing": "missing", "hallucinated": "invented"}

Pictures = Callable[[str], Sequence[Pixels]]  # a document's first pages, by URI; empty if it cannot be drawn


def write(report: Report, out: Path, settings: Settings) -> None:
    """Write the page, with pictures drawn from the documents themselves where they can still be fetched."""
    write_text(out, html(report, lambda uri: draw(uri, settings)))


def html(report: Report, pictures: Pictures) -> str:
    """The whole page as text; every value in it is escaped."""
    template = Template((files(__package__) / "report.html").read_text(encoding="utf-8"))
    return template.substitute(
        schema=escape(report.schema),
        scope=escape(summary.scope(report)),
        cards="".join(_cards(report)),
        headline=escape(summary.headline(report)),
        heads=_cells("th", summary.HEADS),
        rows="".join(f"<tr>{_cells('td', row)}</tr>" for row in summary.rows(report)),
        reliability=reliability.svg(report.bins),
        calibration=escape(f"{percent(report.ece)} over {sum(b.count for b in report.bins)} readings"),
        worst="".join(_worst(document, pictures) for document in report.worst) or "<p>Not one fault.</p>",
    )


def escape(text: str) -> str:
    """For HTML; what is hidden in it, such as a bidirectional override, is shown."""
    return escaped(printable(text))


def draw(uri: str, settings: Settings) -> list[Pixels]:
    """A document's first pages; none where it can no longer be fetched or drawn."""
    try:
        document = sources.fetch(uri, settings.source)
        with render.Renderer(settings.render) as renderer:
            count = renderer.page_count(document)
            images = list(renderer.pages(document, range(1, min(count, _SHOWN) + 1), codes=False))
    except Coded:
        return []
    return [image.pixels for image in images if isinstance(image, PageImage)]


def _cards(report: Report) -> Iterable[str]:
    for what, figure in summary.figures(report):
        yield f'<div class="card"><b>{escape(figure)}</b>{escape(what)}</div>'


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)


def _worst(document: DocumentScore, pictures: Pictures) -> str:
    title = f"{document.name}: {document.right} of {document.fields} fields right, state “{document.state}”"
    shown = "".join(map(_picture, pictures(document.uri))) or "<p>No picture: it cannot be drawn.</p>"
    heads = _cells("th", ("Field", "Printed", "Read", "", "Sure"))
    return (
        f'<h3>{escape(title)}</h3><div class="side"><div>{shown}</div><div class="scroll">'
        f'<table class="faults"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(map(_fault, document.faults))}</tbody></table></div></div>"
    )


def _fault(fault: Pair) -> str:
    printed = fault.truth.text if fault.truth else "—"
    read = (fault.read.raw if fault.read else None) or "—"
    sure = percent(fault.read.confidence if fault.read else None)
    return f"<tr>{_cells('td', (fault.path, printed, read, _SAID[fault.verdict], sure))}</tr>"


def _picture(pixels: Pixels) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE))
    held = io.BytesIO()
    image.save(held, "JPEG", quality=70)
    data = base64.b64encode(held.getvalue()).decode()
    return f'<img alt="page" src="data:image/jpeg;base64,{data}">'
