"""Documents become pictures that a teacher is shown, with what each page says by its own text.

The picture is kept as it is sent, so that the student is trained on what the teacher saw.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from pipeline import sources, textlayer
from pipeline.errors import Coded, Transient
from pipeline.filetype import sniff
from pipeline.private import whole_file
from pipeline.records import Document, DocumentRef, PageImage, TextLayer
from pipeline.render import Renderer
from pipeline.settings import Settings
from pipeline.store.teaching import TaughtPage, Teaching

LONGEST_SIDE = 2_000  # pixels: of A4 at 170 dpi, on which nine points are still read
_QUALITY = 92  # of JPEG


def picture(page: PageImage) -> tuple[bytes, int, int]:
    """The page as JPEG, with its width and height: no side is longer than `LONGEST_SIDE`."""
    image = Image.fromarray(page.pixels)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY, subsampling=0)
    return out.getvalue(), image.width, image.height


def image_path(folder: Path, image: str) -> Path:
    """Where the picture with this sha256 is kept."""
    return folder / "images" / image[:2] / f"{image}.jpg"


class Pages:
    """The pages of documents, each drawn once: of what is known, the ledger tells."""

    def __init__(self, folder: Path, ledger: Teaching, settings: Settings) -> None:
        self._folder, self._ledger, self._settings = folder, ledger, settings

    def of(self, places: Sequence[str]) -> Iterator[TaughtPage]:
        """Every page of every document there; files that cannot be read are in the ledger, with why.

        Raises UsageError for a source that does not exist.
        """
        with Renderer(self._settings.render, self._settings.second_reader) as renderer:
            for some in sources.together(places):
                for ref in sources.list_documents(some, self._settings.source):
                    for part in ref.parts or (ref,):
                        yield from self._of_file(part, renderer)

    def _of_file(self, ref: DocumentRef, renderer: Renderer) -> list[TaughtPage]:
        if not self._ledger.known_file(ref.uri, ref.etag):
            try:
                if ref.failure is not None:
                    raise ValueError(f"{ref.failure.reason}: {ref.failure.message}")
                source = sources.fetch(ref.uri, self._settings.source, ref.etag)
                found, failed = self._drawn(source, renderer)
                why = f"pages that cannot be drawn: {', '.join(map(str, failed))}" if failed else None
                self._ledger.keep_file(ref.uri, ref.etag, found, why)
            except Coded as error:
                later = None if isinstance(error, Transient) else ref.etag  # what passes is tried again
                self._ledger.keep_file(ref.uri, later, (), f"{error.reason}: {error.message}")
            except ValueError as error:
                self._ledger.keep_file(ref.uri, ref.etag, (), str(error))
        return self._ledger.pages_of(ref.uri)

    def _drawn(self, document: Document, renderer: Renderer) -> tuple[list[TaughtPage], list[int]]:
        """Its pages, and the numbers of those that cannot be drawn."""
        if sniff(document.data) == "xml":
            raise ValueError("it is XML, and has no picture")
        found, failed = [], []
        count = renderer.page_count(document)
        for number in range(1, count + 1):
            page = renderer.page(document, number)
            if isinstance(page, PageImage):
                found.append(self._kept(document, page, count))
            else:
                failed.append(number)
        if not found:
            raise ValueError("none of its pages can be drawn")
        return found, failed

    def _kept(self, document: Document, page: PageImage, count: int) -> TaughtPage:
        data, width, height = picture(page)
        name = hashlib.sha256(data).hexdigest()
        path = image_path(self._folder, name)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as file:
                file.write(data)
        return TaughtPage(
            name,
            document.uri,
            document.sha256,
            page.page,
            count,
            width,
            height,
            text=_words(page.text),
            exact=page.text is not None and page.text.trusted,
            reader=_words(page.reader),
        )


def _words(layer: TextLayer | None) -> str | None:
    """The words of a layer that can be trusted, line by line."""
    if layer is None or not layer.trusted or not layer.words:
        return None
    return "\n".join(" ".join(word.text for word in line) for line in textlayer.lines(layer.words))
