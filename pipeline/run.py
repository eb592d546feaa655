"""From a document to its verdict, page after page: `document`, the sequential driver of `pipeline.reading`.

    fetch → page count → page → prepare → request → generate → answered → verdict

`workers.document` drives the same state machine with many pages at once, so what holds here holds there.
`generate` is an argument: the engine, an engine elsewhere, or a test's own. Every page of the document gets
exactly one result, and one bad page never harms its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from PIL import Image

from pipeline import blank, ink, sources, tiles
from pipeline.einvoice import reading as einvoice
from pipeline.errors import Coded, ModelNeeded
from pipeline.filetype import sniff
from pipeline.quality.measuring import measure
from pipeline.reading import Commit, Reading, Verdict, failure, record_numbered
from pipeline.recipe import Recipe, needs_model
from pipeline.records import (
    Document,
    DocumentRef,
    Extraction,
    Failure,
    Generation,
    PageImage,
    PageRecord,
    PageResult,
    Part,
    PreparedPage,
    Request,
)
from pipeline.render import Renderer
from pipeline.sources import SizeLimits
from schemas import reading_day

Generate = Callable[[Iterable[Request]], Iterator[Generation]]
Known = Callable[
    [Sequence[str]], Mapping[str, PageResult]
]  # finished pages by those of the keys that have one


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """How a document ended: the verdict on it, and its pages in order."""

    uri: str
    verdict: Verdict
    pages: tuple[PageResult, ...] = ()
    parts: tuple[Part, ...] = ()  # its files as they were found; one, where the document is one file

    @property
    def sha256(self) -> str | None:
        """Of its first file."""
        return self.parts[0].sha256 if self.parts else None

    @property
    def etag(self) -> str | None:
        """Of its first file."""
        return self.parts[0].etag if self.parts else None

    @property
    def outcome(self) -> Extraction | Failure:
        """What was read, or why nothing was."""
        return self.verdict.extraction if isinstance(self.verdict, Commit) else self.verdict.why


def document(
    uri: str,
    recipe: Recipe,
    generate: Generate | None,
    etag: str | None = None,
    known: Known | None = None,
    parts: Sequence[DocumentRef] = (),
    *,
    renderer: Renderer | None = None,
    last_try: bool = True,
    today: date | None = None,
) -> DocumentResult:
    """Read one document, of one file or of several `parts`. Pages that are `known` are not read again. Where
    there is no model, `generate` is None.

    `renderer` is the caller's own, for one document after the other. Before the `last_try` no page is given
    up that another try may read.

    `today` is the day that pages keep as that of their reading; None: as the clock has it.

    What goes wrong with the document, a part or a page is in the result; only what is wrong with the program
    or the engine raises, and ModelNeeded where there is no model and this cannot be read without it.
    """
    own = renderer_for(recipe) if renderer is None else nullcontext(renderer)
    with own as renderer:
        files: list[_File] = []
        for ref in parts or (DocumentRef(uri, etag=etag),):
            held = sum(len(source.data) for source, _ in files if source is not None)
            files.append(_fetched(ref, renderer, recipe, held))
        reading = _read(files, recipe, generate, renderer, known, today)
    finished = reading.finished if parts or reading.parts[0].failure is None else ()
    return DocumentResult(uri, reading.verdict(last_try=last_try), finished, reading.parts)


def renderer_for(recipe: Recipe, *, members: bool = False) -> Renderer:
    """What draws the pages of documents of this recipe. Raises UsageError.

    With `members` the documents within a portfolio are to be read by themselves, unless a whole archive is
    one document: for a caller that puts `Part.members` into the ledger.
    """
    members = members and "archive" not in recipe.settings.source.group
    return Renderer(
        recipe.settings.render,
        recipe.settings.second_reader,
        recipe.xml_root,
        members=members,
        anchors=recipe.anchors,
    )


def members(source: Document, renderer: Renderer, recipe: Recipe) -> tuple[DocumentRef, ...]:
    """The documents within a portfolio that are to be read by themselves. Raises as `Renderer.page_count`."""
    return sources.members(source, renderer.members(source), recipe.settings.source, recipe.sources)


def document_at_hand(
    source: Document, recipe: Recipe, generate: Generate, renderer: Renderer
) -> DocumentResult:
    """As `document`, of one file whose bytes the caller has."""
    reading = _read([_opened(source, 0, renderer, recipe)], recipe, generate, renderer, None)
    finished = reading.finished if reading.parts[0].failure is None else ()
    return DocumentResult(source.uri, reading.verdict(last_try=True), finished, reading.parts)


_File = tuple[Document | None, Part]  # with its bytes where they could be had, and what is known of it


def _read(
    files: Sequence[_File],
    recipe: Recipe,
    generate: Generate | None,
    renderer: Renderer,
    known: Known | None,
    today: date | None = None,
) -> Reading:
    """Every page of the files has its result."""
    today = today or reading_day.of(datetime.now(UTC))
    reading = Reading(recipe, [part for _, part in files], today=today)
    if known is not None:
        reading.known(known(list(reading.keys.values())))
    requests = _requests(reading, renderer, [source for source, _ in files], recipe)
    for generation in _no_answers(reading, requests) if generate is None else generate(requests):
        reading.answered(generation)
    return reading


def _no_answers(reading: Reading, requests: Iterable[Request]) -> Iterator[Generation]:
    """None is needed. Raises ModelNeeded, before a page is drawn for nothing, where one is."""
    for number in reading.missing:
        part, own = reading.place(number)
        kind = reading.parts[part].kind_of(own)
        if needs_model(kind):
            raise ModelNeeded(f"page {number} of a file of the kind {kind} needs the model")
    for request in requests:
        raise RuntimeError(f"request {request.id} was made of a page that needs no model")
    return iter(())


def _fetched(ref: DocumentRef, renderer: Renderer, recipe: Recipe, held: int) -> _File:
    """One file of a document whose files before it have `held` bytes."""
    known = Part(ref.uri, None, ref.etag, ref.size, failure=ref.failure)
    if ref.failure is not None:
        return None, known
    try:
        source = sources.fetch(ref.uri, recipe.settings.source, ref.etag)
    except Coded as error:
        return None, replace(known, failure=Failure.of(error))
    return _opened(source, held, renderer, recipe)


def _opened(source: Document, held: int, renderer: Renderer, recipe: Recipe) -> _File:
    """The same of its bytes."""
    known = Part(source.uri, source.sha256, source.etag, len(source.data), kind=sniff(source.data))
    try:
        within(recipe, source.uri, held, len(source.data))
        if known.kind is not None:
            recipe.page_key(source.sha256, 1, known.kind)  # raises ModelNeeded before it is opened
        pages = renderer.page_count(source)
        attached, apart = renderer.attached_kinds(source), members(source, renderer, recipe)
        return source, replace(known, pages=pages, attached=attached, members=apart)
    except Coded as error:
        return source, replace(known, failure=Failure.of(error))


def within(recipe: Recipe, uri: str, held: int, size: int) -> None:
    """Raises Permanent where a document's files have too many bytes together, `held` before this one."""
    if held:
        SizeLimits(recipe.settings.source.max_bytes).judge(f"{uri} with the files before it", held + size)


def _requests(
    reading: Reading, renderer: Renderer, files: Sequence[Document | None], recipe: Recipe
) -> Iterator[Request]:
    """One for each missing page that can be drawn and cut."""
    for number in reading.missing:
        part, own = reading.place(number)
        source = files[part]
        if source is None:
            raise RuntimeError(f"page {number} is missing, and its file was never fetched")
        page = reading.given_up(number) or drawn(renderer, source, own, recipe)
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
    try:
        kind = renderer.kind(source, number)
    except Coded as error:
        return Failure.of(error, number)
    if kind == "xml":
        return written(renderer, source, number, recipe)
    image = renderer.page(source, number)
    return prepare(image, recipe) if isinstance(image, PageImage) else image


def written(renderer: Renderer, source: Document, number: int, recipe: Recipe) -> PageRecord | Failure:
    """What a document that is XML says, or why that is nothing."""
    try:
        root, signature = renderer.read(source, number)
        return record_numbered(einvoice.page_record(root, recipe.spec, signature), number)
    except Exception as error:  # noqa: BLE001  it becomes the page's failure, with its traceback
        return failure(error, number)


def prepare(image: PageImage, recipe: Recipe) -> PreparedPage | Failure:
    """Tiles, codes and quality of a page image; a Failure if this page cannot be cut."""
    height, width, _ = image.pixels.shape
    try:
        measured = measure(image.pixels, recipe.spec.paper)
        grid = recipe.tiling(image.pixels).grid
        cut = tiles.cut(Image.fromarray(image.pixels), grid)
        marks = ink.find(image.pixels) if recipe.settings.engine.place else None
    except Exception as error:  # noqa: BLE001  it becomes the page's failure, with its traceback
        return failure(error, image.page)
    return PreparedPage(
        page=image.page,
        tiles=cut,
        width=width,
        height=height,
        renderer=image.renderer,
        codes=image.codes,
        flags=(*image.flags, *blank.told(cut)),
        ended=image.ended,
        grid=grid,
        text=image.text,
        reader=image.reader,
        quality=measured,
        ink=marks,
    )


def request(page: PreparedPage, recipe: Recipe, id: str) -> Request:
    """What the engine is asked about one page, under the id that its answer will bear."""
    longest = recipe.settings.engine.max_new_tokens
    # Of free text every word is the model's own: no value in it stands out as doubtful.
    again = None if recipe.grammar is None else recipe.settings.second_look or None
    return Request(id, page.tiles, recipe.question, recipe.grammar, longest, again, page.grid)


def without_tiles(page: PreparedPage) -> PreparedPage:
    """The same page with its tiles counted but no longer held: enough for `page_result`."""
    return replace(page, tiles=page.tiles[:, :0, :0])
