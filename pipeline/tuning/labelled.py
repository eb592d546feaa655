"""Pages whose values are known: of a job's reviewed documents, or of a folder with its truth.

What is learnt must stand on the page as it is learnt. A page is therefore left out, with the reason, where it
is not known how a value is printed, or on which page of several it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import sources
from pipeline.deciding import rejected, standing
from pipeline.errors import Coded, UsageError
from pipeline.evaluation.truth import Truth
from pipeline.records import DocumentRef, Field, PageResult, Pixels
from pipeline.render import Renderer
from pipeline.settings import Settings
from pipeline.shown.page_image import PageImages
from schemas.shape import leaf_path
from schemas.spec import SchemaSpec

if TYPE_CHECKING:
    from pipeline.store import Job, Store, StoredExtraction


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was drawn, uint8 [height, width, 3], and what is printed on it, by path.

    `group` names what may not be torn apart between learning and evaluation: the document's bytes.
    `whole`: somebody has said of every value that it is right.
    """

    document: str
    group: str
    page: int
    pixels: Pixels
    values: Mapping[str, str]
    whole: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    document: str
    why: str


def of_folder(folder: Path, truth: Truth, settings: Settings) -> Iterator[Page | LeftOut]:
    """The pages of the documents below `folder` that have their truth.

    Raises UsageError where the truth says nothing of some fields of the schema: the model would learn that
    these are never there.
    """
    leaves = [path for path, _ in truth.spec.shape.of_pages.leaves()]
    unsaid = [path for path in leaves if path not in truth.labelled]
    if unsaid:
        raise UsageError(
            f"the truth never names {', '.join(unsaid[:5])}{' …' if unsaid[5:] else ''}: the model would "
            "learn that no page has it; take a schema with only the fields that are labelled"
        )
    matcher = truth.matcher()
    with Renderer(settings.render) as renderer:
        for ref in sources.list_documents([str(folder)], settings.source):
            true = matcher.find(ref.uri)
            if true is None:
                continue
            texts = {path: (value.text, value.page) for path, value in true.values.items()}
            yield from _drawn(ref, texts, renderer, settings)
    yield from (LeftOut(true.name, "its file is not there") for true in matcher.left())


def _drawn(
    ref: DocumentRef, texts: Mapping[str, tuple[str, int | None]], renderer: Renderer, settings: Settings
) -> Iterator[Page | LeftOut]:
    try:
        found = sources.fetch(ref.uri, settings.source, ref.etag)
        count = renderer.page_count(found)
        if count > 1 and any(page is None for _, page in texts.values()):
            yield LeftOut(
                ref.uri, f"it has {count} pages, and the truth does not say which value is on which"
            )
            return
        for number in range(1, count + 1):
            drawn = renderer.page(found, number, codes=False)
            if not hasattr(drawn, "pixels"):
                yield LeftOut(ref.uri, f"page {number} cannot be drawn: {drawn.message}")
                continue
            values = {path: text for path, (text, page) in texts.items() if page in (None, number)}
            yield Page(ref.uri, found.sha256, number, drawn.pixels, values, whole=True)
    except Coded as error:
        yield LeftOut(ref.uri, error.message)


def of_job(
    store: Store, job: Job, settings: Settings, spec: SchemaSpec, *, accepted: bool = False
) -> Iterator[Page | LeftOut]:
    """The pages of documents that people have reviewed: something was decided, and nothing is left to decide.

    `accepted`: only those of which somebody has said that every value is right.
    """
    with PageImages(store, settings) as images:
        for found in store.results.extractions(job):
            if not found.decisions or rejected(found.decisions):
                continue
            whole = None in standing(found.decisions)
            if found.extraction.state != "done":
                yield LeftOut(found.uri, "there is still something to decide")
            elif accepted and not whole:
                yield LeftOut(found.uri, "nobody has accepted it as a whole")
            else:
                yield from _reviewed(found, store.results.pages(job, found.uri), images, job, spec, whole)


def _reviewed(
    found: StoredExtraction,
    pages: Sequence[PageResult],
    images: PageImages,
    job: Job,
    spec: SchemaSpec,
    whole: bool,
) -> Iterator[Page | LeftOut]:
    leaves = {path for path, _ in spec.shape.of_pages.leaves()}
    placed: dict[int, dict[str, str]] = {page.page: {} for page in pages}
    read = {
        (page.page, field.path): field
        for page in pages
        if page.record is not None
        for field in page.record.fields
    }
    for field in found.decided.fields:
        if field.value is None or leaf_path(field.path) not in leaves:
            continue
        at = field.page or (pages[0].page if len(pages) == 1 else None)
        printed = None if at is None else _printed(field, read.get((at, field.path)), spec)
        if at is None or printed is None or at not in placed:
            what = "where it stands" if at is None or at not in placed else "how it is printed"
            yield LeftOut(found.uri, f"of {field.path} it is not known {what}")
            return
        placed[at][field.path] = printed
    group = "+".join(part.sha256 or part.uri for part in found.parts) or found.sha256 or found.uri
    for number, values in placed.items():
        try:
            yield Page(found.uri, group, number, images.pixels(job, found.uri, number), values, whole)
        except Coded as error:
            yield LeftOut(found.uri, error.message)


def _printed(field: Field, read: Field | None, spec: SchemaSpec) -> str | None:
    """How a value stands on the page; None where only its normal form is known."""
    if field.source in ("read", "review", "text") and field.raw is not None:  # a PDF's text is its print
        return field.raw
    if read is not None and read.raw is not None and read.value == field.value:
        return read.raw
    leaf = dict(spec.shape.of_pages.leaves())[leaf_path(field.path)]
    return str(field.value) if leaf.printed.sql == "text" and field.source == "review" else None
