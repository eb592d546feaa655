"""The CPU actor beside a replica: fetches documents, draws their pages and makes them ready for the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import ray

from pipeline import run, sources
from pipeline.errors import UsageError
from pipeline.keys import ModelFacts
from pipeline.records import Document, Failure, PageImage, PreparedPage, Request
from pipeline.render import Renderer
from schemas import registry
from workers import notice
from workers.lane import LaneJob, peak_bytes

FETCHES = 4  # downloads that go on at once in one reader, beside the drawing


@dataclass(frozen=True, slots=True)
class Fetched:
    """What is known of a document's bytes without holding them."""

    sha256: str
    etag: str | None
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class DrawnPage:
    """A page as it was drawn, without its tiles; those travel beside it in the request."""

    page: PreparedPage
    size: int  # bytes of the tiles


class Reader:
    """Untrusted bytes are decoded in the child process of its `Renderer`, never here.

    One document is open at a time; downloads go on in threads of their own. A page and its request are two
    objects, so that the lane can pass the tiles on to the replica without looking at them.
    """

    def __init__(self, job: LaneJob) -> None:
        self._job = job
        self._settings = job.settings
        self._renderer = Renderer(job.settings.render)
        self._document: Document | None = None
        self._pages: Iterator[PageImage | Failure] = iter(())

    def outlive_notice(self) -> None:
        """Stay when SIGTERM comes, for the pages that the lane wants to finish."""
        notice.outlived()

    def load(self, model: ModelFacts) -> None:
        """Make ready for the job's schema and model. Raises UsageError when this machine cannot."""
        self._recipe = recipe(self._job, model)

    @ray.method(concurrency_group="fetch", num_returns=2)
    def fetch(self, uri: str, etag: str | None, room: int) -> tuple[Fetched, Document]:
        """A document's bytes, `room` of them at most. Raises Transient, Permanent or NoRoom."""
        document = sources.fetch(uri, self._settings.source, etag, room)
        return Fetched(document.sha256, document.etag, len(document.data)), document

    @ray.method(concurrency_group="draw")
    def open(self, document: Document) -> int:
        """Open a document in place of the one before; its number of pages. Raises Transient or Permanent."""
        self._pages = iter(())
        self._document = document
        return self._renderer.page_count(document)

    @ray.method(concurrency_group="draw")
    def choose(self, numbers: Sequence[int]) -> None:
        """The pages of the open document that `draw` will draw, in this order."""
        if self._document is None:
            raise RuntimeError("no document is open")
        self._pages = self._renderer.pages(self._document, numbers)

    @ray.method(concurrency_group="draw", num_returns=2)
    def draw(self, request_id: str) -> tuple[DrawnPage | Failure, Request | None]:
        """The next of the chosen pages, ready for the model, or why it is not."""
        image = next(self._pages)
        page = run.prepare(image, self._recipe.max_tiles) if isinstance(image, PageImage) else image
        if isinstance(page, Failure):
            return page, None
        request = run.request(page, self._recipe, request_id)
        return DrawnPage(run.without_tiles(page), page.tiles.nbytes), request

    @ray.method(concurrency_group="draw")
    def close(self) -> None:
        """Let go of the open document."""
        self._document = None
        self._pages = iter(())

    def peak_bytes(self) -> int:
        return peak_bytes()

    def end(self) -> None:
        """End the child process; the actor's own death ends it too."""
        self._renderer.close()


def recipe(job: LaneJob, model: ModelFacts) -> run.Recipe:
    """The job's recipe, made anew in each process. Raises UsageError."""
    try:
        spec = registry.resolve(job.schema)
    except registry.SchemaError as error:
        raise UsageError(str(error)) from error
    return run.Recipe.of(spec, job.settings, model)
