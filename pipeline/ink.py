"""Where the ink is on a page, kept small beside it until its answer comes.

A value's rough box is drawn around the print that it means when the page's pixels are gone (`pipeline.snap`).
What stays is one bit for each pixel of the page made smaller: about 100 KB.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageFilter

from pipeline.records import Ink, Pixels

Mask = npt.NDArray[np.bool_]

LONGEST = 1250  # pixels of the longer side that are kept, at most: A4 at 200 dpi is halved
_AROUND = 60  # the ground around a pixel reaches this part of the longer side
_LEAST = 14  # grey levels between ink and ground
_SHARE = 0.35  # of the contrast of the darkest print, from which on it is ink
_DARKEST = 0.005  # so much of a page is its darkest print
_DARK = 110  # a ground below it may bear light print
_RULE = 12  # a straight run of this part of the longer side is a rule of a table, not print


def find(pixels: Pixels) -> Ink:
    """The ink of a page, uint8 [height, width, 3]."""
    grey = Image.fromarray(pixels).convert("L")
    grey = grey.reduce(-(-max(grey.size) // LONGEST))
    longest = max(grey.size)
    ground = grey.filter(ImageFilter.BoxBlur(longest / _AROUND))
    mask = _contrasting(ImageChops.subtract(ground, grey))
    if ground.getextrema()[0] < _DARK:  # type: ignore[operator]  # of one band it is one pair
        mask = np.where(np.asarray(ground) < _DARK, _contrasting(ImageChops.subtract(grey, ground)), mask)
    _without_rules(mask, longest // _RULE)
    _without_rules(turned := mask.T.copy(), longest // _RULE)
    return Ink(mask.shape[1], np.packbits(mask & turned.T, axis=1))


def part(ink: Ink, left: int, top: int, right: int, bottom: int) -> Mask:
    """bool [bottom - top, right - left] of a part that lies on the page."""
    first, last = left // 8, -(-right // 8)
    rows = np.unpackbits(ink.bits[top:bottom, first:last], axis=1)
    return rows[:, left - 8 * first : right - 8 * first].view(bool)


def _contrasting(contrast: Image.Image) -> Mask:
    levels = np.cumsum(contrast.histogram())
    strongest = int(np.searchsorted(levels, (1 - _DARKEST) * levels[-1]))
    return np.asarray(contrast) > max(_LEAST, _SHARE * strongest)


def _without_rules(mask: Mask, long: int) -> None:
    """Takes out runs along rows that are longer than any stroke of a letter."""
    width = mask.shape[1] + 1
    turns = np.flatnonzero(np.diff(np.pad(mask, ((0, 0), (0, 1))).ravel(), prepend=False))
    starts, ends = turns[::2], turns[1::2]
    for start, end in zip(starts[(rules := ends - starts >= long)], ends[rules], strict=True):
        mask[start // width, start % width : start % width + end - start] = False
