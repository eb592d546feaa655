"""Pictures of a drawn page that are not there: how much of the page they take up, and what that means."""

from __future__ import annotations

import itertools
import math
import mmap
from collections.abc import Iterator, Sequence

import pypdfium2
import pypdfium2.raw as pdfium

from pipeline.errors import Permanent, Reason
from pipeline.flags import FlagCode
from pipeline.sandbox.annotations import Told
from pipeline.sandbox.losses import Loss

_MUCH = 0.25  # of the page: with so much of it lost, the page cannot be taken for what was written on it
_DEPTH = 8  # forms within forms
_MOST = 2_000  # pictures of a page that are looked at
_IDENTITY = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)

Matrix = tuple[float, float, float, float, float, float]
Box = tuple[float, float, float, float]  # left, bottom, right, top, in points


def lost(
    page: pypdfium2.PdfPage, losses: Sequence[Loss], canvas: mmap.mmap, size: tuple[int, int]
) -> Iterator[Told]:
    """What of the page's pictures is not seen on `canvas`, where the page has been drawn in `size` pixels.

    `losses` are known from the pictures' data. Others are found by looking where nothing was drawn. Raises
    Permanent(image_damaged) where much of the page is lost, or all that it has.
    """
    found = _pictures(page)
    known = [*_known(found, losses)]
    sizes = {loss.size for loss in losses}
    others = [each for each in found if each[1] not in sizes]
    gone = [*known, *_unseen(page, others, canvas, size)]
    if not gone:
        return
    whole = page.get_width() * page.get_height()
    shares = [min(1.0, part * _area(box) / whole) if whole else 1.0 for box, part, _ in gone]
    worst = max(range(len(gone)), key=shares.__getitem__)
    if sum(shares) >= _MUCH or _is_blank(canvas, size):
        message = f"a picture that is {_percent(shares[worst])} of the page is not drawn: {gone[worst][2]}"
        # What PDFium alone cannot decode, another renderer may.
        lost = {"lost": math.ceil(100 * min(1.0, sum(shares)))} if known else {}
        raise Permanent(Reason.image_damaged, message, **lost)
    for (_, part, why), share in zip(gone, shares, strict=True):
        if part == 0:
            yield FlagCode.picture_damaged, f"a part of a picture may be wrong: {why}"
            continue
        what = "a picture" if part == 1 else f"{_percent(part)} of a picture"
        yield FlagCode.picture_damaged, f"{what} is not drawn, {_percent(share)} of the page: {why}"


def told(losses: Sequence[Loss]) -> Iterator[Told]:
    """What is known of pictures from their data alone."""
    for loss in losses:
        part = f"{_percent(loss.lost)} of a picture cannot be decoded"
        yield (
            FlagCode.picture_damaged,
            f"{part if loss.lost else 'a part of a picture may be wrong'}: {loss.why}",
        )


def _known(
    found: Sequence[tuple[pdfium.FPDF_PAGEOBJECT, tuple[int, int], Box]], losses: Sequence[Loss]
) -> Iterator[tuple[Box, float, str]]:
    for loss in losses:
        boxes = [box for _, size, box in found if size == loss.size]
        yield max(boxes, key=_area, default=(0.0, 0.0, 0.0, 0.0)), loss.lost, loss.why


def _unseen(
    page: pypdfium2.PdfPage,
    found: Sequence[tuple[pdfium.FPDF_PAGEOBJECT, tuple[int, int], Box]],
    canvas: mmap.mmap,
    size: tuple[int, int],
) -> Iterator[tuple[Box, float, str]]:
    """Pictures where the page has one colour, and that PDFium cannot decode when it is asked for them."""
    for picture, _, box in found:
        if _is_blank(canvas, size, _on_canvas(page, box, size)):
            bitmap = pdfium.FPDFImageObj_GetBitmap(picture)
            if bitmap:
                pdfium.FPDFBitmap_Destroy(bitmap)
            else:
                yield box, 1.0, "it cannot be decoded"


def drawn(page: pypdfium2.PdfPage) -> Iterator[tuple[int, pdfium.FPDF_PAGEOBJECT, Matrix]]:
    """(kind, object, from the object's form to the page) of all that is drawn, in the order of drawing."""
    count = pdfium.FPDFPage_CountObjects(page)
    return _within((pdfium.FPDFPage_GetObject(page, i) for i in range(count)), _IDENTITY, 0)


def place(picture: pdfium.FPDF_PAGEOBJECT, outer: Matrix) -> Box:
    return _box(_times(_matrix(picture), outer))


def _pictures(page: pypdfium2.PdfPage) -> list[tuple[pdfium.FPDF_PAGEOBJECT, tuple[int, int], Box]]:
    """(picture, its pixels, where it is) of the page's pictures, those within forms too."""
    found = (
        (each, _pixels(each), place(each, outer))
        for kind, each, outer in drawn(page)
        if kind == pdfium.FPDF_PAGEOBJ_IMAGE
    )
    return list(itertools.islice(found, _MOST))


def _within(
    objects: Iterator[pdfium.FPDF_PAGEOBJECT], outer: Matrix, depth: int
) -> Iterator[tuple[int, pdfium.FPDF_PAGEOBJECT, Matrix]]:
    for found in objects:
        kind = pdfium.FPDFPageObj_GetType(found)
        if kind != pdfium.FPDF_PAGEOBJ_FORM:
            yield kind, found, outer
        elif depth < _DEPTH:
            count = pdfium.FPDFFormObj_CountObjects(found)
            inner = (pdfium.FPDFFormObj_GetObject(found, i) for i in range(count))
            yield from _within(inner, _times(_matrix(found), outer), depth + 1)


def _pixels(picture: pdfium.FPDF_PAGEOBJECT) -> tuple[int, int]:
    width, height = pdfium.c_uint(), pdfium.c_uint()
    pdfium.FPDFImageObj_GetImagePixelSize(picture, width, height)
    return width.value, height.value


def _matrix(found: pdfium.FPDF_PAGEOBJECT) -> Matrix:
    matrix = pdfium.FS_MATRIX()
    pdfium.FPDFPageObj_GetMatrix(found, matrix)
    return matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f


def _times(inner: Matrix, outer: Matrix) -> Matrix:
    a, b, c, d, e, f = inner
    p, q, r, s, t, u = outer
    return (a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u)


def _box(matrix: Matrix) -> Box:
    """What the unit square becomes, on which a picture is drawn."""
    a, b, c, d, e, f = matrix
    across, up = (e, e + a, e + c, e + a + c), (f, f + b, f + d, f + b + d)
    return min(across), min(up), max(across), max(up)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _on_canvas(page: pypdfium2.PdfPage, box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box in pixels from the upper left corner: left, top, right, bottom, within the page."""
    x, y = pdfium.c_int(), pdfium.c_int()
    corners = []
    for across, up in ((box[0], box[1]), (box[2], box[3])):
        pdfium.FPDF_PageToDevice(page, 0, 0, *size, 0, across, up, x, y)
        corners.append((min(max(x.value, 0), size[0]), min(max(y.value, 0), size[1])))
    (one, two), (three, four) = corners
    return min(one, three), min(two, four), max(one, three), max(two, four)


def _is_blank(canvas: mmap.mmap, size: tuple[int, int], box: tuple[int, int, int, int] | None = None) -> bool:
    """Whether a part of what was drawn has one colour; one that is no pixel large has none."""
    left, top, right, bottom = box or (0, 0, *size)
    if left >= right or top >= bottom:
        return False
    first = 3 * (top * size[0] + left)
    row = canvas[first : first + 3] * (right - left)
    return all(
        canvas[start : start + len(row)] == row
        for start in range(first, first + 3 * size[0] * (bottom - top), 3 * size[0])
    )


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "less than 1%"
