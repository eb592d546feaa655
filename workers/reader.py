"""The CPU actor beside a replica: fetches documents, draws their pages and makes them ready for the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import ray

from pipeline import run, sources
from pipeline.errors import NoRoom
from pipeline.filetype import Kind, sniff
from pipeline.keys import ModelFacts
from pipeline.recipe import Recipe
from pipeline.records import Document, DocumentRef, Failure, PageRecord, PreparedPage, Request
from workers.lane import LaneJob, peak_bytes, schema_of
from workers.sigterm import ignore_sigterm

FETCHES = 4  # downloads that go on at once in one reader, beside the drawing


@dataclass(frozen=True, slots=True)
class Fetched:
    """One version of a document without its bytes; every call about the document names it by this."""

    uri: str
    sha256: str
    etag: str | None
    size: int  # bytes
    kind: Kind | None = None  # by its first bytes
    document: Any = None  # a Ray reference to the bytes, which outlive the reader that fetched them


@dataclass(frozen=True, slots=True)
class TooLarge:
    """Nothing was fetched: the document has more bytes than were allowed."""

    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Counted:
    """The pages of a file, the kinds of the last of them and its members, as `Part` has them."""

    pages: int
    attached: tuple[Kind, ...] = ()
    members: tuple[DocumentRef, ...] = ()


@dataclass(frozen=True, slots=True)
class DrawnPage:
    """A page as it was drawn, without its tiles; those travel beside it in the request."""

    page: PreparedPage
    size: int  # bytes of the tiles


class Reader:
    """Untrusted bytes are decoded in the child process of its `Renderer`, never here.

    No call depends on one before it; the last document is kept, because its other pages come next. Downloads
    go on in threads of their own. A page and its request are two objects, so that the lane can pass the tiles
    on to the replica without looking at them.
    """

    def __init__(self, job: LaneJob) -> None:
        self._job = job
        self._settings = job.settings
        self._kept: Document | None = None

    def ignore_sigterm(self) -> None:
        """Stay when SIGTERM comes, for the pages that the lane wants to finish."""
        ignore_sigterm()

    def load(self, model: ModelFacts) -> None:
        """Make ready for the job's schema and model. Raises UsageError when this machine cannot."""
        # Not in __init__: what it raises there reaches the lane as a dead actor, without the reason.
        self._recipe = recipe(self._job, model)
        self._renderer = run.renderer_for(self._recipe, members=True)

    @ray.method(concurrency_group="fetch", num_returns=2)
    def fetch(self, uri: str, etag: str | None, most: int) -> tuple[Fetched | TooLarge, Document | None]:
        """A document's bytes, if they are at most `most`. Raises Transient or Permanent."""
        try:
            document = sources.fetch(uri, self._settings.source, etag, most)
        except NoRoom as error:
            return TooLarge(error.details["size"]), None
        kind = sniff(document.data)
        return Fetched(uri, document.sha256, document.etag, len(document.data), kind), document

    @ray.method(concurrency_group="draw")
    def count(self, fetched: Fetched) -> Counted:
        """The pages of a document. Raises Transient or Permanent."""
        document = self._document(fetched)
        pages, attached = self._renderer.page_count(document), self._renderer.attached_kinds(document)
        return Counted(pages, attached, run.members(document, self._renderer, self._recipe))

    @ray.method(concurrency_group="draw", num_returns=2)
    def draw(
        self, fetched: Fetched, page: int, request_id: str
    ) -> tuple[DrawnPage | PageRecord | Failure, Request | None]:
        """Page `page` of a document: ready for the model, read where it needs none, or why it is neither."""
        drawn = run.drawn(self._renderer, self._document(fetched), page, self._recipe)
        if isinstance(drawn, PageRecord | Failure):
            return drawn, None
        request = run.request(drawn, self._recipe, request_id)
        return DrawnPage(run.without_tiles(drawn), drawn.tiles.nbytes), request

    def peak_bytes(self) -> int:
        return peak_bytes()

    def end(self) -> None:
        """End the child process; the actor's own death ends it too."""
        self._renderer.close()

    def _document(self, fetched: Fetched) -> Document:
        """Brought here once, not with every page: copying a large one takes longer than drawing a page."""
        kept = self._kept
        if kept is None or (kept.uri, kept.sha256) != (fetched.uri, fetched.sha256):
            self._kept = None  # two large ones need not be here at once
            self._kept = kept = self._get(fetched.document)
        return kept

    def _get(self, reference: Any) -> Document:
        document: Document = ray.get(reference)
        return document


def recipe(job: LaneJob, model: ModelFacts) -> Recipe:
    """The job's recipe, made anew in each process. Raises UsageError."""
    found = Recipe.of(schema_of(job.schema, job.settings.law), job.settings, model)
    return replace(found, sources=job.sources)
