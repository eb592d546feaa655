"""PDF pages drawn by PDFium, straight into the shared canvas, and what it leaves out of them."""

from __future__ import annotations

import ctypes
import functools
import io
import mmap
import os
import re
from collections.abc import Iterator
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from pipeline.errors import Permanent, Reason
from pipeline.filetype import Kind
from pipeline.flags import FlagCode
from pipeline.sandbox import letters, pictures, scan, words
from pipeline.sandbox.annotations import Told
from pipeline.sandbox.drawer import Drawn, Layer, PageLimits, mapped, scale_of, within_pages, within_pixels
from pipeline.sandbox.structure import (
    BROKEN,
    DYNAMIC_FORM,
    PageFacts,
    Structure,
    by_code,
    counted_anew,
    unlocked,
)

_LOCKED = (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY)
_EAST_ASIA = 0x2E80  # the first character of those scripts
_OWN_FACES = 100_000  # bytes: each of PDFium's own faces has fewer
_NAME_BYTES = 200  # of a font
_PLEASE_WAIT = re.compile(r"please wait|adobe reader|acrobat reader", re.I)


class PdfiumPdf:
    """An open PDF. Filled form fields and annotations are drawn; the crop box and rotation are obeyed."""

    def __init__(self, file: int, _kind: Kind, limits: PageLimits) -> None:
        self._limits = limits
        self._last: tuple[int, PageFacts] | None = None
        self._coded: pypdfium2.PdfDocument | None = None
        objects = os.fdopen(os.dup(file), "rb")
        try:
            self._open(mapped(file))
            within_pages(len(self._pdf), limits)
            self._structure = Structure(objects, len(self._pdf))
            if self._structure.more_pages:
                self._count_anew()
            self.pages = within_pages(len(self._pdf), limits)
            if self.pages < 1:
                raise Permanent(Reason.pdf_no_pages, "the PDF has no pages")
        except BaseException:
            objects.close()
            raise

    def draw(self, number: int, canvas: mmap.mmap, _unit: float = 1.0) -> Drawn:
        facts = self._facts(number)
        page = self._loaded(number)
        try:
            size = self._drawn(page, facts, canvas)
            lost = pictures.lost(page, facts.pictures, canvas, size)
            return Drawn(size, (*facts.flags, *lost, *self._left_out(page, facts, number)))
        finally:
            page.close()

    def look(self, number: int) -> tuple[float, tuple[Told, ...]]:
        """The page's unit, and what `draw` would say of it, as far as that needs no pixels."""
        facts = self._facts(number)
        flags = [*facts.flags, *pictures.told(facts.pictures)]
        if facts.absent or facts.fields or self._structure.has_xfa:
            page = self._loaded(number)
            flags += self._left_out(page, facts, number)
            page.close()
        return facts.unit, tuple(flags)

    def attachments(self) -> dict[str, Any]:
        found = self._structure.attachments()
        try:
            listed = [] if found is None else found.listed()
        except BROKEN:
            found, listed = None, []
        return {"attachments": listed, "portfolio": found is not None and found.portfolio}

    def attachment(self, number: int, canvas: mmap.mmap) -> int:
        try:
            found = self._structure.attachments()
            return 0 if found is None else found.onto(canvas, number)
        except BROKEN:
            return 0

    def words(self, number: int, size: tuple[int, int]) -> Layer:
        """The text of the page that has been drawn in `size` pixels."""
        facts = self._facts(number)
        page = self._loaded(number, self._by_code() if facts.legacy else self._pdf)
        try:
            return words.read(page, size, facts)
        finally:
            page.close()

    def drawable(self, page: pypdfium2.PdfPage) -> letters.Drawable:
        """Says whether a character of a font that is not embedded is drawn on `page`.

        Those of East Asia are, where PDFium has found a face of the system; its own have none of them.
        """
        found = functools.cache(lambda: _faces_of_the_system(page))

        def drawn(font: str, character: int) -> bool:
            if letters.in_builtin_faces(font, character):
                return True
            return character >= _EAST_ASIA and font in found()

        return drawn

    def close(self) -> None:
        self._structure.close()
        if self._coded is not None:
            self._coded.close()
        self._pdf.close()
        del self._bytes

    def _open(self, data: mmap.mmap | bytearray) -> None:
        self._bytes = (ctypes.c_ubyte * len(data)).from_buffer(data)
        # Opened by hand: pypdfium2 repeats an old error for a PDF without pages.
        opened = pdfium.FPDF_LoadMemDocument64(self._bytes, len(data), None)
        if not opened:
            if pdfium.FPDF_GetLastError() not in _LOCKED:
                raise Permanent(Reason.pdf_damaged, "PDFium cannot open it")
            if isinstance(data, bytearray):
                raise Permanent(Reason.pdf_damaged, "PDFium cannot open it, locked or not")
            return self._open(bytearray(unlocked(bytes(data))))
        self._pdf = pypdfium2.PdfDocument(opened)
        # By hand too: a page may have fields of a form that the document does not count, and without this
        # what was typed into them stays invisible.
        config = pdfium.FPDF_FORMFILLINFO(version=2)
        self._pdf.formenv = pypdfium2.PdfFormEnv(
            pdfium.FPDFDOC_InitFormFillEnvironment(self._pdf, config), config
        )

    def _count_anew(self) -> None:
        """Open a copy that says how many pages it has, where the file says fewer: PDFium believes it."""
        try:
            data = counted_anew(bytes(self._bytes))
        except BROKEN:
            return  # nothing is known of its pages then, and each one says so
        before = len(self._pdf)
        self._pdf.close()
        self._open(bytearray(data))
        if len(self._pdf) > before:
            self._structure.close()
            self._structure = Structure(io.BytesIO(data), len(self._pdf))

    def _facts(self, number: int) -> PageFacts:
        """Of a page, remembered until another one's are asked for."""
        if self._last is None or self._last[0] != number:
            self._last = (number, self._structure.page(number))
        return self._last[1]

    def _by_code(self) -> pypdfium2.PdfDocument:
        """The document with the codes of its fonts of before Unicode as they are; made when it is needed."""
        if self._coded is None:
            try:
                self._coded = pypdfium2.PdfDocument(by_code(bytes(self._bytes)))
            except (*BROKEN, pypdfium2.PdfiumError) as error:
                raise Permanent(Reason.pdf_damaged, "the codes of its old fonts cannot be told") from error
        return self._coded

    def _loaded(self, number: int, pdf: pypdfium2.PdfDocument | None = None) -> pypdfium2.PdfPage:
        try:
            return (pdf or self._pdf)[number - 1]
        except pypdfium2.PdfiumError as error:
            raise Permanent(Reason.pdf_damaged, f"PDFium cannot load the page: {error}") from error

    def _drawn(self, page: pypdfium2.PdfPage, facts: PageFacts, canvas: mmap.mmap) -> tuple[int, int]:
        width, height = (side * facts.unit for side in page.get_size())
        picture = scan.find(page, self._limits.max_pixels)
        if picture is not None:
            size = picture.size
            picture.draw(page, (ctypes.c_ubyte * (size[0] * size[1] * 3)).from_buffer(canvas))
            return size
        scale = scale_of(width, height, self._limits, scan.resolution(page) / facts.unit)
        size = within_pixels(width * scale, height * scale, self._limits)
        pixels = (ctypes.c_ubyte * (size[0] * size[1] * 3)).from_buffer(canvas)
        onto = functools.partial(pypdfium2.PdfBitmap.new_native, buffer=pixels)
        page.render(scale=scale * facts.unit, rev_byteorder=True, bitmap_maker=onto).close()
        return size

    def _left_out(self, page: pypdfium2.PdfPage, facts: PageFacts, number: int) -> Iterator[Told]:
        drawable = self.drawable(page)
        yield from letters.of_text(facts, drawable)
        yield from letters.of_fields(facts, self._structure.draws_fields_anew, drawable)
        if number == 1 and self._structure.has_xfa and DYNAMIC_FORM not in dict(facts.flags).values():
            text = page.get_textpage()
            if _PLEASE_WAIT.search(text.get_text_bounded()):
                yield FlagCode.placeholder, DYNAMIC_FORM
            text.close()


def _faces_of_the_system(page: pypdfium2.PdfPage) -> set[str]:
    """Names of the fonts on a page that are drawn with a face larger than any of PDFium's own."""
    names = set()
    for text in page.get_objects(filter=(pdfium.FPDF_PAGEOBJ_TEXT,)):
        font = pdfium.FPDFTextObj_GetFont(text)
        size, name = ctypes.c_size_t(), ctypes.create_string_buffer(_NAME_BYTES)
        if (
            font
            and pdfium.FPDFFont_GetFontData(font, None, 0, ctypes.byref(size))
            and size.value > _OWN_FACES
        ):
            pdfium.FPDFFont_GetBaseFontName(font, name, _NAME_BYTES)
            names.add(name.value.decode("utf-8", "replace"))
    return names
