"""From a document to its verdict, page after page: `document`, the sequential driver of `pipeline.reading`.

    fetch → page count → page → prepare → request → generate → answered → verdict

`workers.document` drives the same state machine with many pages at once, so what holds here holds there.
`generate` is an argument: the engine, an engine elsewhere, or a test's own. Every page of the document gets
exactly one result, and one bad page never harms its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from PIL import Image

from pipeline import sources, tiles
from pipeline.einvoice import reading as einvoice
from pipeline.errors import Coded
from pipeline.filetype import sniff
from pipeline.reading import Commit, Reading, Verdict, failure, no_result
from pipeline.recipe import Recipe
from pipeline.records import (
    Document,
    Extraction,
    Failure,
    Generation,
    PageImage,
    PageRecord,
    PageResult,
    PreparedPage,
    Request,
)
from pipeline.render import Renderer

Generate = Callable[[Iterable[Request]], Iterator[Generation]]


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """How a document ended: the verdict on it, and its pages in order."""

    uri: str
    verdict: Verdict
    pages: tuple[PageResult, ...] = ()
    sha256: str | None = None
    etag: str | None = None

    @property
    def outcome(self) -> Extraction | Failure:
        """What was read, or why nothing was."""
        return self.verdict.extraction if isinstance(self.verdict, Commit) else self.verdict.why


def document(
    uri: str,
    recipe: Recipe,
    generate: Generate,
    etag: str | None = None,
    known: Mapping[str, PageResult] | None = None,
) -> DocumentResult:
    """Read one document. `known` holds finished pages by key: they are not read again.

    What goes wrong with the document or a page is in the result; only what is wrong with the program or the
    engine raises.
    """
    source: Document | None = None
    with Renderer(recipe.settings.render) as renderer:
        try:
            source = sources.fetch(uri, recipe.settings.source, etag)
            pages, kind = renderer.page_count(source), sniff(source.data)
            reading = Reading(recipe, source.sha256, pages, kind=kind)
        except Coded as error:
            sha256, etag = (source.sha256, source.etag) if source else (None, etag)
            return DocumentResult(uri, no_result(Failure.of(error)), (), sha256, etag)
        reading.known(known or {})
        for generation in generate(_requests(reading, renderer, source, recipe)):
            reading.answered(generation)
    return DocumentResult(uri, reading.verdict(), reading.finished, source.sha256, source.etag)


def _requests(reading: Reading, renderer: Renderer, source: Document, recipe: Recipe) -> Iterator[Request]:
    """One for each missing page that can be drawn and cut."""
    for number in reading.missing:
        page = reading.given_up(number) or drawn(renderer, source, number, recipe)
        if isinstance(page, Failure):
            reading.failed(number, page)
        elif isinstance(page, PageRecord):
            reading.read(number, page)
        else:
            reading.drawn(number, without_tiles(page))
            yield request(page, recipe, reading.request_id(number))


def drawn(
    renderer: Renderer, source: Document, number: int, recipe: Recipe
) -> PreparedPage | PageRecord | Failure:
    """Page `number` of a document: ready for the model, read where it needs none, or why it is neither."""
    if sniff(source.data) == "xml":
        return written(renderer, source, number, recipe)
    image = renderer.page(source, number)
    return prepare(image, recipe) if isinstance(image, PageImage) else image


def written(renderer: Renderer, source: Document, number: int, recipe: Recipe) -> PageRecord | Failure:
    """What a document that is XML says, or why that is nothing."""
    try:
        root, signature = renderer.read(source, recipe.anchors)
        return einvoice.page_record(root, recipe.spec, signature)
    except Exception as error:  # noqa: BLE001  it becomes the page's failure, with its traceback
        return failure(error, number)


def prepare(image: PageImage, recipe: Recipe) -> PreparedPage | Failure:
    """Tiles and codes of a page image; a Failure if this page cannot be cut."""
    height, width, _ = image.pixels.shape
    try:
        grid = recipe.tiling(image.pixels).grid
        cut = tiles.cut(Image.fromarray(image.pixels), grid)
    except Exception as error:  # noqa: BLE001  it becomes the page's failure, with its traceback
        return failure(error, image.page)
    return PreparedPage(
        image.page,
        cut,
        width,
        height,
        image.renderer,
        image.codes,
        image.flags,
        image.ended,
        grid,
        image.text,
    )


def request(page: PreparedPage, recipe: Recipe, id: str) -> Request:
    """What the engine is asked about one page, under the id that its answer will bear."""
    return Request(id, page.tiles, recipe.question, recipe.grammar, recipe.settings.engine.max_new_tokens)


def without_tiles(page: PreparedPage) -> PreparedPage:
    """The same page with its tiles counted but no longer held: enough for `page_result`."""
    return replace(page, tiles=page.tiles[:, :0, :0])
