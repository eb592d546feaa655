"""A specimen as a file: PDF with text, scanned PDF, JPEG, PNG or TIFF; the same one gives the same bytes.

The form "pdf-fonts-absent" is the PDF with text without the fonts that it is written in.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas as PdfCanvas

from pipeline.records import Pixels
from pipeline.specimens.specimen import Page, Specimen
from pipeline.specimens.unembedded import without_fonts

DPI = {"id_card@1": 300, "receipt@1": 200, "invoice@1": 200}
JPEG_QUALITY = 88


def encode(specimen: Specimen, form: str) -> bytes:
    """The file's bytes; `form` is a key of FORMS. JPEG and PNG hold one page: ValueError for more."""
    return _WRITERS[form](specimen.pages, DPI[specimen.schema])


def _text_pdf(pages: Sequence[Page], dpi: int) -> bytes:
    """Real text in embedded fonts over the page's backdrop. Wear is not in it."""
    data = io.BytesIO()
    pdf = PdfCanvas(data, invariant=1, pageCompression=1)
    unit = 72 / dpi
    for page in pages:
        height, width = page.backdrop.shape[:2]
        pdf.setPageSize((width * unit, height * unit))
        pdf.drawImage(_picture(page.backdrop), 0, 0, width * unit, height * unit)
        for run in page.runs:
            name = _font(run.font)
            natural = pdfmetrics.stringWidth(run.text, name, run.size)
            text = pdf.beginText(run.x * unit, (height - run.baseline) * unit)
            text.setFont(name, run.size * unit)
            text.setHorizScale(100 * run.width / natural if natural else 100)
            text.setFillColorRGB(*(part / 255 for part in run.colour))
            text.textOut(run.text)
            pdf.drawText(text)
        pdf.showPage()
    pdf.save()
    return data.getvalue()


def _font(path: str) -> str:
    """Registers a font file once, under its file name."""
    name = Path(path).stem
    if name not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(name, path))
    return name


def _picture(pixels: Pixels) -> ImageReader:
    return ImageReader(Image.fromarray(pixels))


def _scanned_pdf(pages: Sequence[Page], dpi: int) -> bytes:
    """One JPEG a page, as a scanner makes it."""
    data = io.BytesIO()
    pdf = PdfCanvas(data, invariant=1)
    unit = 72 / dpi
    for page in pages:
        height, width = page.pixels.shape[:2]
        pdf.setPageSize((width * unit, height * unit))
        jpeg = io.BytesIO(_jpeg([page], dpi))
        pdf.drawImage(ImageReader(jpeg), 0, 0, width * unit, height * unit)
        pdf.showPage()
    pdf.save()
    return data.getvalue()


def _jpeg(pages: Sequence[Page], dpi: int) -> bytes:
    return _image(pages, "JPEG", dpi, quality=JPEG_QUALITY)


def _png(pages: Sequence[Page], dpi: int) -> bytes:
    return _image(pages, "PNG", dpi, compress_level=4)


def _tiff(pages: Sequence[Page], dpi: int) -> bytes:
    first, *rest = [Image.fromarray(page.pixels) for page in pages]
    data = io.BytesIO()
    first.save(data, "TIFF", compression="tiff_lzw", dpi=(dpi, dpi), save_all=bool(rest), append_images=rest)
    return data.getvalue()


def _image(pages: Sequence[Page], codec: str, dpi: int, **options: int) -> bytes:
    if len(pages) != 1:
        raise ValueError(f"{codec} holds one page, this specimen has {len(pages)}")
    data = io.BytesIO()
    Image.fromarray(pages[0].pixels).save(data, codec, dpi=(dpi, dpi), **options)
    return data.getvalue()


def _text_pdf_without_fonts(pages: Sequence[Page], dpi: int) -> bytes:
    return without_fonts(_text_pdf(pages, dpi))


_WRITERS: dict[str, Callable[[Sequence[Page], int], bytes]] = {
    "pdf": _text_pdf,
    "pdf-fonts-absent": _text_pdf_without_fonts,
    "scanned-pdf": _scanned_pdf,
    "jpeg": _jpeg,
    "png": _png,
    "tiff": _tiff,
}
FORMS = tuple(_WRITERS)
ONE_PAGE = ("jpeg", "png")
TEXT = ("pdf", "pdf-fonts-absent")  # the wear is not in these
SUFFIX = {
    "pdf": ".pdf",
    "pdf-fonts-absent": ".pdf",
    "scanned-pdf": ".pdf",
    "jpeg": ".jpg",
    "png": ".png",
    "tiff": ".tiff",
}
