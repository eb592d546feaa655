"""PDF pages drawn by PDFium, straight into the shared canvas."""

from __future__ import annotations

import ctypes
import functools
import mmap

import pypdfium2
import pypdfium2.raw

from pipeline.errors import Permanent, Reason
from pipeline.filetype import Kind
from pipeline.sandbox import scan
from pipeline.sandbox.drawer import PageLimits, mapped, within_pages, within_pixels

_HAIR_LESS = 1 - 1e-6  # PDFium's sizes are single-precision: 1654.00001 pixels must not become 1655
_LOCKED = (pypdfium2.raw.FPDF_ERR_PASSWORD, pypdfium2.raw.FPDF_ERR_SECURITY)


class PdfiumPdf:
    """An open PDF. Filled form fields and annotations are drawn; the crop box and rotation are obeyed."""

    def __init__(self, file: int, _kind: Kind, limits: PageLimits) -> None:
        self._limits = limits
        data = mapped(file)
        self._bytes = (ctypes.c_ubyte * len(data)).from_buffer(data)
        # Opened by hand: pypdfium2 repeats an old error for a PDF without pages.
        opened = pypdfium2.raw.FPDF_LoadMemDocument64(self._bytes, len(data), None)
        if not opened:
            if pypdfium2.raw.FPDF_GetLastError() in _LOCKED:
                raise Permanent(Reason.pdf_encrypted, "the PDF asks for a password")
            raise Permanent(Reason.pdf_damaged, "PDFium cannot open it")
        self._pdf = pypdfium2.PdfDocument(opened)
        self.pages = within_pages(len(self._pdf), limits)
        if self.pages < 1:
            raise Permanent(Reason.pdf_no_pages, "the PDF has no pages")
        if self._pdf.get_formtype() != pypdfium2.raw.FORMTYPE_NONE:
            self._pdf.init_forms()  # without this, what was typed into a form stays invisible

    def draw(self, number: int, canvas: mmap.mmap) -> tuple[int, int]:
        scale = self._limits.dpi / 72 * _HAIR_LESS
        try:
            page = self._pdf[number - 1]
        except pypdfium2.PdfiumError as error:
            raise Permanent(Reason.pdf_damaged, f"PDFium cannot load the page: {error}") from error
        try:
            width, height = page.get_size()
            size = within_pixels(width * scale, height * scale, self._limits)
            picture = scan.find(page, size)
            if picture is not None:
                size = picture.size
            pixels = (ctypes.c_ubyte * (size[0] * size[1] * 3)).from_buffer(canvas)
            if picture is not None:
                picture.draw(page, pixels)
            else:
                onto = functools.partial(pypdfium2.PdfBitmap.new_native, buffer=pixels)
                page.render(scale=scale, rev_byteorder=True, bitmap_maker=onto).close()
        finally:
            page.close()
        return size

    def close(self) -> None:
        self._pdf.close()
        del self._bytes
