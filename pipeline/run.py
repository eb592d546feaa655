"""The way of a document, in one function: `document`. The pieces it is made of are those that the workers run
side by side on many machines, so what holds here holds there.

    fetch → pages → prepare → request → generate → page_result → outcome

`generate` is an argument: the engine, an engine elsewhere, or a test's own. Every page of the document gets
exactly one result, and one bad page never harms its neighbours.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from pipeline import grammar, keys, merge, parse, prompt, render, sources, tiles
from pipeline.errors import Coded, Permanent, Reason, Transient
from pipeline.keys import ModelFacts
from pipeline.records import (
    Document,
    Extraction,
    Failure,
    Generation,
    PageImage,
    PageResult,
    PreparedPage,
    Request,
)
from pipeline.settings import Settings

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

Generate = Callable[[Iterable[Request]], Iterator[Generation]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a job fixes for its pages. `key` names everything in it that can change a result."""

    spec: SchemaSpec
    settings: Settings
    question: str
    grammar: str
    max_tiles: int
    key: str

    @classmethod
    def of(cls, spec: SchemaSpec, settings: Settings, model: ModelFacts) -> Recipe:
        """Raises UsageError for a schema that no grammar can hold to, naming the field."""
        question, rules = prompt.build(spec), grammar.compile(spec)
        paths = [path for path, _ in spec.shape.leaves()]
        key = keys.settings_key(settings, paths, question, rules, model, keys.installed())
        return cls(spec, settings, question, rules, settings.tiles.max_tiles or model.max_tiles, key)

    def page_key(self, sha256: str, page: int) -> str:
        return keys.page_key(sha256, page, self.key)


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """How a document ended: an extraction or the failure that quarantines it, and its pages in order."""

    uri: str
    outcome: Extraction | Failure
    pages: tuple[PageResult, ...] = ()
    sha256: str | None = None
    etag: str | None = None


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
    with render.Renderer(recipe.settings.render) as renderer:
        try:
            source = sources.fetch(uri, recipe.settings.source, etag)
        except Coded as error:
            return DocumentResult(uri, Failure.of(error), etag=etag)
        try:
            count = renderer.page_count(source)
        except Coded as error:
            return DocumentResult(uri, Failure.of(error), sha256=source.sha256, etag=source.etag)
        way = _Way(recipe, source, renderer, known or {})
        for generation in generate(way.requests(count)):
            way.answer(generation)
    pages = way.results(count)
    return DocumentResult(uri, outcome(pages, recipe), pages, source.sha256, source.etag)


@dataclass
class _Way:
    """Where each page of one document is: not drawn yet, waiting for its answer, or finished."""

    recipe: Recipe
    source: Document
    renderer: render.Renderer
    known: Mapping[str, PageResult]
    waiting: dict[str, PreparedPage] = field(default_factory=dict)  # by request id, which is the page's key
    finished: dict[int, PageResult] = field(default_factory=dict)

    def requests(self, count: int) -> Iterator[Request]:
        """One for each page that is not known already and can be drawn and cut."""
        key_of = {number: self.recipe.page_key(self.source.sha256, number) for number in range(1, count + 1)}
        self.finished |= {number: self.known[key] for number, key in key_of.items() if key in self.known}
        for image in self._drawn([number for number in key_of if number not in self.finished]):
            page = image if isinstance(image, Failure) else prepare(image, self.recipe.max_tiles)
            if isinstance(page, Failure):
                number = page.page or 0
                self.finished[number] = failed_page(page, key_of[number])
            else:
                asked = request(page, self.recipe, key_of[page.page])
                self.waiting[asked.id] = without_tiles(page)
                yield asked

    def _drawn(self, numbers: Sequence[int]) -> Iterator[PageImage | Failure]:
        try:
            yield from self.renderer.pages(self.source, numbers)
        except Coded as error:  # the renderer could not open again what it had opened before
            yield from (Failure.of(error, number) for number in numbers)

    def answer(self, generation: Generation) -> None:
        page = self.waiting.pop(generation.request_id, None)
        if page is None:
            raise RuntimeError(f"request {generation.request_id} was answered twice, or never asked")
        self.finished[page.page] = page_result(page, generation, self.recipe, generation.request_id)

    def results(self, count: int) -> tuple[PageResult, ...]:
        """All pages in order. Raises RuntimeError if one has no result."""
        missing = [number for number in range(1, count + 1) if number not in self.finished]
        if missing:
            raise RuntimeError(f"{self.source.uri}: no result for pages {missing} of {count}")
        return tuple(self.finished[number] for number in range(1, count + 1))


def prepare(image: PageImage, max_tiles: int) -> PreparedPage | Failure:
    """Tiles and codes of a page image; a Failure if this page cannot be cut."""
    height, width, _ = image.pixels.shape
    try:
        cut = tiles.split(Image.fromarray(image.pixels), max_tiles)
    except Exception as error:  # noqa: BLE001  it becomes the page's failure, with its traceback
        return failure(error, image.page)
    return PreparedPage(image.page, cut, width, height, image.renderer, image.codes)


def request(page: PreparedPage, recipe: Recipe, id: str) -> Request:
    """What the engine is asked about one page, under the id that its answer will bear."""
    return Request(id, page.tiles, recipe.question, recipe.grammar, recipe.settings.engine.max_new_tokens)


def without_tiles(page: PreparedPage) -> PreparedPage:
    """The same page with its tiles counted but no longer held: enough for `page_result`."""
    return PreparedPage(page.page, page.tiles[:, :0, :0], page.width, page.height, page.renderer, page.codes)


def page_result(page: PreparedPage, generation: Generation, recipe: Recipe, key: str) -> PageResult:
    """The row of a page that was answered, with its record or with why the answer is none."""
    record, why = None, None
    count = len(page.tiles)
    grid = tiles.grid(page.width, page.height, recipe.max_tiles)
    try:
        record = parse.page_record(generation, recipe.spec, page.page, page.codes, grid=grid, tiles=count)
    except Exception as error:  # noqa: BLE001  it becomes the page's failure, with its traceback
        why = failure(error, page.page)
    return PageResult(
        page=page.page,
        key=key,
        record=record,
        failure=why,
        renderer=page.renderer,
        width=page.width,
        height=page.height,
        tiles=count,
        prompt_tokens=generation.prompt_tokens,
        output_tokens=len(generation.spans),
        output=generation.text,
        attempts=generation.attempts,
    )


def failed_page(why: Failure, key: str) -> PageResult:
    """The row of a page that never reached the model."""
    if why.page is None:
        raise ValueError(f"a page's failure must name its page: {why.message}")
    return PageResult(page=why.page, key=key, record=None, failure=why)


def outcome(pages: Sequence[PageResult], recipe: Recipe) -> Extraction | Failure:
    """What the document comes to: an extraction if any page was read, else the failure to answer for it.

    A retryable failure comes before others, so that a document is not given up for the network's sake.
    """
    records = [page.record for page in pages if page.record is not None]
    failures = [page.failure for page in pages if page.failure is not None]
    if records:
        below = recipe.settings.review_below
        try:
            return merge.document(records, recipe.spec, failed=failures, review_below=below)
        except Coded as error:
            return Failure.of(error)
    if not failures:
        return Failure(Reason.pdf_no_pages, "the document has no pages")
    return min(failures, key=lambda why: not why.retryable)


def failure(error: Exception, page: int | None = None) -> Failure:
    """Any error as the failure of a page: one that nobody foresaw is an internal error with its traceback."""
    if isinstance(error, Coded):
        return Failure.of(error, page)
    kind = Transient if isinstance(error, MemoryError) else Permanent
    reason = Reason.out_of_memory if isinstance(error, MemoryError) else Reason.internal_error
    at = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" at {Path(frame.filename).name}:{frame.lineno}" for frame in at)
    # Not the error's own words, which may repeat what was read: those stand in the traceback.
    told = Failure.of(kind(reason, f"{type(error).__name__}{where}; failures --json has all of it"), page)
    return Failure(
        told.reason, told.message, page, told.retryable, "".join(traceback.format_exception(error))
    )
