"""Which letters of a page are seen: where nothing changes when it is drawn without them, they are not.

So the renderer itself says what is clipped away, painted over, in a layer that is off, without a shape, or in
the colour of what is around it. Letters that stand over one another are taken away one sheet at a time, so
that those below are not taken for those above.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image, ImageChops

from pipeline.sandbox.drawer import Sides

_PART = 0.5  # of the drawn page's scale: letters that can be read there are seen in it
_MOST_PIXELS = 4_000_000
_FAINT = 16  # of 255: a difference in brightness that nobody reads by
_MOSTLY = 0.5  # of what is around a word: if so much has the colour of its letters, they are not seen
_MOST_SHEETS = 4
_CELLS = 64  # a side of the page, in which neighbours are looked for
_SAME_PLACE = 0.5  # of the smaller of two


@dataclass(frozen=True, slots=True)
class Mark:
    """What one text object draws of a word: 0..1 of the page, the whole and letter by letter.

    brightness  of the fill, 0..255; None where it is not one colour
    """

    drawn: pdfium.FPDF_PAGEOBJECT
    text: str
    box: Sides
    letters: Sequence[Sides]
    brightness: int | None


def seen(page: pypdfium2.PdfPage, marks: Sequence[Mark], size: tuple[int, int]) -> list[bool]:
    """Whether every letter of each mark is seen on `page`, which has been drawn in `size` pixels."""
    found = [False] * len(marks)
    if not marks:
        return found
    scale = _scale(page, size)
    whole = _drawn(page, scale)
    for sheet in _sheets(marks):
        with _without(marks[number].drawn for number in sheet):
            changed = ImageChops.difference(whole, _drawn(page, scale))
        for number in sheet:
            mark = marks[number]
            found[number] = _stands_out(whole, mark) and all(_changes(changed, box) for box in mark.letters)
    return found


def over(one: Sides, other: Sides) -> bool:
    """Whether two things stand in the same place."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across > 0 and down > 0 and across * down > _SAME_PLACE * min(_area(one), _area(other))


def address(drawn: pdfium.FPDF_PAGEOBJECT) -> int:
    return ctypes.addressof(drawn.contents)


def _area(box: Sides) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _sheets(marks: Sequence[Mark]) -> list[list[int]]:
    """The marks by sheets, on each of which none stands over another, but for the same word once more.

    What would need more sheets than `_MOST_SHEETS` is on none of them.
    """
    by_object: dict[int, list[int]] = {}
    for number, mark in enumerate(marks):
        by_object.setdefault(address(mark.drawn), []).append(number)
    sheets: list[list[int]] = []
    taken: list[dict[tuple[int, int], list[int]]] = []
    for own in by_object.values():
        free = (at for at, cells in enumerate(taken) if not any(_collides(marks, n, cells) for n in own))
        at = next(free, len(sheets))
        if at == _MOST_SHEETS:
            continue
        if at == len(sheets):
            sheets.append([])
            taken.append({})
        sheets[at] += own
        for number in own:
            for cell in _cells(marks[number].box):
                taken[at].setdefault(cell, []).append(number)
    return sheets


def _collides(marks: Sequence[Mark], number: int, cells: dict[tuple[int, int], list[int]]) -> bool:
    mark = marks[number]
    return any(
        marks[other].text != mark.text and over(marks[other].box, mark.box)
        for cell in _cells(mark.box)
        for other in cells.get(cell, ())
    )


def _cells(box: Sides) -> Iterator[tuple[int, int]]:
    left, top, right, bottom = (min(max(int(side * _CELLS), 0), _CELLS - 1) for side in box)
    for across in range(left, right + 1):
        for down in range(top, bottom + 1):
            yield across, down


@contextmanager
def _without(objects: Iterator[pdfium.FPDF_PAGEOBJECT]) -> Iterator[None]:
    gone = list(objects)
    for drawn in gone:
        pdfium.FPDFPageObj_SetIsActive(drawn, False)
    try:
        yield
    finally:
        for drawn in gone:
            pdfium.FPDFPageObj_SetIsActive(drawn, True)


def _scale(page: pypdfium2.PdfPage, size: tuple[int, int]) -> float:
    width, height = page.get_size()
    return float(min(_PART * size[1] / height, math.sqrt(_MOST_PIXELS / (width * height))))


def _drawn(page: pypdfium2.PdfPage, scale: float) -> Image.Image:
    bitmap = page.render(scale=scale, grayscale=True, no_smoothimage=True)  # twice as fast
    try:
        image: Image.Image = bitmap.to_pil()
        return image.convert("L").copy()
    finally:
        bitmap.close()


def _changes(changed: Image.Image, box: Sides) -> bool:
    there = _crop(changed, box)
    return there is not None and there.getextrema()[1] >= _FAINT  # type: ignore[operator]


def _stands_out(whole: Image.Image, mark: Mark) -> bool:
    """Whether what is around a word differs from its letters: white ones over a scan's hide these."""
    if mark.brightness is None:
        return True
    around = (mark.box[3] - mark.box[1]) / 3
    aside = around * whole.height / whole.width
    left, top, right, bottom = mark.box
    there = _crop(whole, (left - aside, top - around, right + aside, bottom + around))
    if there is None:
        return False
    near = there.histogram()[max(0, mark.brightness - _FAINT) : mark.brightness + _FAINT]
    return sum(near) < _MOSTLY * there.width * there.height


def _crop(image: Image.Image, box: Sides) -> Image.Image | None:
    """A part, and the pixels around it: a renderer moves small letters by one."""
    left, top = max(int(box[0] * image.width) - 1, 0), max(int(box[1] * image.height) - 1, 0)
    right = min(int(box[2] * image.width) + 2, image.width)
    bottom = min(int(box[3] * image.height) + 2, image.height)
    return image.crop((left, top, right, bottom)) if left < right and top < bottom else None
