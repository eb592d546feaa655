"""A page of a document in the store as a picture, drawn again from the very bytes that were read.

The store keeps no pictures. The source is fetched once more and held against the sha256 that it had then;
what has been replaced since is not shown in its place. As when it was read, untrusted bytes are decoded in
the renderer's confined child.
"""

from __future__ import annotations

import io
import threading
from types import TracebackType

from PIL import Image

from pipeline import sources
from pipeline.errors import Coded, Permanent, Reason, UsageError
from pipeline.records import Document, PageImage, Part, Pixels
from pipeline.render import Renderer
from pipeline.settings import Settings
from pipeline.store import DocumentRow, Job, Store


def page_png(
    store: Store, job: Job, uri: str, page: int, settings: Settings, longest: int | None = None
) -> bytes:
    """One page as PNG, see `PageImages.png`. Who wants many pages keeps a `PageImages`."""
    with PageImages(store, settings) as images:
        return images.png(job, uri, page, longest)


class PageImages:
    """Draws pages of documents in a store. Any number of threads may ask; they are served one by one.

    It keeps the child that draws, and the bytes of the last file, because its other pages come next. A
    context manager. Raises UsageError as `Renderer` does.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._renderer = Renderer(settings.render)
        self._lock = threading.Lock()
        self._last: Document | None = None

    def png(self, job: Job, uri: str, page: int, longest: int | None = None) -> bytes:
        """Page `page` (1-based, numbered through the document's files) as PNG.

        `longest`: pixels of its longer side at most. Raises UsageError where the document has no such page,
        Permanent or Transient where its file is gone, has changed (object_changed) or cannot be drawn; an
        e-invoice's XML is no picture (unsupported_type).
        """
        held = io.BytesIO()
        image = Image.fromarray(self.pixels(job, uri, page))
        if longest is not None:
            image.thumbnail((longest, longest))
        image.save(held, "PNG", compress_level=3)
        return held.getvalue()

    def pixels(self, job: Job, uri: str, page: int) -> Pixels:
        """The same as it is drawn: uint8 [height, width, 3]."""
        part, own = _place(self._store.document(job, uri), page)
        with self._lock:
            drawn = self._renderer.page(self._fetched(part), own, codes=False)
        if isinstance(drawn, PageImage):
            return drawn.pixels
        raise Permanent(drawn.reason, f"page {page} of {uri} cannot be drawn: {drawn.message}")

    def close(self) -> None:
        self._renderer.close()

    def __enter__(self) -> PageImages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetched(self, part: Part) -> Document:
        """The file's bytes, which are those that were read."""
        last = self._last
        if (
            last is not None
            and part.sha256 is not None
            and (last.uri, last.sha256) == (part.uri, part.sha256)
        ):
            return last
        self._last = None
        # By its bytes where they are known: a file that was only copied or touched is the same one.
        etag = part.etag if part.sha256 is None else None
        try:
            found = sources.fetch(part.uri, self._settings.source, etag)
        except Coded as error:
            raise type(error)(error.reason, f"no picture of the page: {error.message}") from error
        if part.sha256 is not None and found.sha256 != part.sha256:
            message = (
                f"no picture of the page: {part.uri} has other bytes than those that were read "
                f"(sha256 {part.sha256[:12]}… then, {found.sha256[:12]}… now); run the job again to read it"
            )
            raise Permanent(Reason.object_changed, message)
        self._last = found
        return found


def _place(row: DocumentRow, page: int) -> tuple[Part, int]:
    """The file in which a page of a document stands, and its number there."""
    known = row.parts or (Part(row.uri, row.sha256, row.etag, pages=row.pages or page),)
    before = 0
    for part in known:
        if 1 <= page - before <= part.pages:
            if part.failure is not None:
                raise Permanent(part.failure.reason, f"page {page}: {part.failure.message}")
            return part, page - before
        before += part.pages
    raise UsageError(f"{row.uri} has {before} pages; there is no page {page}")
