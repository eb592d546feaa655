"""A PDF's page that is nothing but a scan: drawn pixel for pixel, at the scan's own size."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass

import pypdfium2
import pypdfium2.raw as pdfium

from pipeline.sandbox.drawer import FEWEST_PIXELS

_SQUARE = 0.01  # the page's sides are rounded, to points now and then
_INSIDE = 0.01  # of a pixel: PDFium rounds a picture's edges outwards, and would stretch it by a pixel


@dataclass(frozen=True, slots=True)
class Scan:
    """`matrix`: from the page as it is shown, in points from its upper left corner, to the scan's pixels."""

    size: tuple[int, int]
    matrix: tuple[float, float, float, float, float, float]

    def draw(self, page: pypdfium2.PdfPage, pixels: ctypes.Array[ctypes.c_ubyte]) -> None:
        """The page, with whatever mask or blend the picture has, as RGB rows without gaps.

        By PDFium's own drawing: it is exact here, and a picture that is taken out would lack its mask.
        """
        bitmap = pypdfium2.PdfBitmap.new_native(
            *self.size, pdfium.FPDFBitmap_BGR, rev_byteorder=True, buffer=pixels
        )
        bitmap.fill_rect((255, 255, 255, 255), 0, 0, *self.size)
        whole = pdfium.FS_RECTF(0, 0, *self.size)
        pdfium.FPDF_RenderPageBitmapWithMatrix(
            bitmap, page, pdfium.FS_MATRIX(*self.matrix), whole, pdfium.FPDF_REVERSE_BYTE_ORDER
        )
        bitmap.close()


def find(page: pypdfium2.PdfPage, most: int) -> Scan | None:
    """The scan that is all there is to see on `page`, if it has no more pixels than `most`.

    One upright picture of square pixels covers the page to within a pixel, and there are no annotations and
    no other objects but the invisible text of an OCR layer. Lines and letters would lose by being drawn at
    the picture's size.
    """
    turned = page.get_rotation()
    if turned not in (0, 180) or pdfium.FPDFPage_GetAnnotCount(page):
        return None
    try:
        picture = _only_picture(page)
        if picture is None:
            return None
        columns, rows = picture.get_px_size()
        width, skew, lean, height, x, y = picture.get_matrix().get()
        left, bottom, right, top = page.get_bbox()
    except pypdfium2.PdfiumError:  # drawing shows what there is
        return None
    if not (
        min(columns, rows) >= FEWEST_PIXELS
        and columns * rows <= most
        and width > 0
        and height > 0
        and skew == lean == 0
    ):
        return None
    across, down = (columns - 2 * _INSIDE) / width, (rows - 2 * _INSIDE) / height  # pixels a point
    sides = [(x - left) * across, (right - x - width) * across]
    ends = [(top - y - height) * down, (y - bottom) * down]
    if not (abs(across / down - 1) <= _SQUARE and all(abs(margin) <= 1 for margin in sides + ends)):
        return None
    if turned:
        sides.reverse()
        ends.reverse()
    return Scan((columns, rows), (across, 0, 0, down, _INSIDE - sides[0], _INSIDE - ends[0]))


def resolution(page: pypdfium2.PdfPage) -> float:
    """Pixels a point of the picture that is all there is to see on `page`; infinite where there is more."""
    try:
        picture = None if pdfium.FPDFPage_GetAnnotCount(page) else _only_picture(page)
        if picture is None:
            return math.inf
        columns, rows = picture.get_px_size()
        a, b, c, d, _, _ = picture.get_matrix().get()
    except pypdfium2.PdfiumError:
        return math.inf
    across, down = math.hypot(a, b), math.hypot(c, d)
    return max(columns / across, rows / down) if across and down else math.inf


def _only_picture(page: pypdfium2.PdfPage) -> pypdfium2.PdfImage | None:
    picture = None
    for found in page.get_objects(max_depth=1):
        if isinstance(found, pypdfium2.PdfImage) and picture is None:
            picture = found
        elif not _invisible(found):
            return None
    return picture


def _invisible(found: pypdfium2.PdfObject) -> bool:
    if found.type != pdfium.FPDF_PAGEOBJ_TEXT:
        return False
    return bool(pdfium.FPDFTextObj_GetTextRenderMode(found) == pdfium.FPDF_TEXTRENDERMODE_INVISIBLE)
