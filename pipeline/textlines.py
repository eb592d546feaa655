"""How many lines of a table a page seems to hold, and how high its letters are, from its pixels alone.

It is a quick look, not a reading: it serves scans and photos as well as drawn pages, and what it finds
decides only how many tiles a page gets (`pipeline.room`). A line of a table is a line of print that reaches
over the page in several pieces, as the second line of a long name, a heading or an address does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from pipeline.records import Pixels

Mask = npt.NDArray[np.bool_]
Profile = npt.NDArray[np.int32]

_LONGEST = 1600  # pixels of the longer side that are looked at: letters of 9 points stay 8 pixels high
_NEIGHBOURHOOD = 12  # pixels around one that say how bright its paper is
_DARKER = 8  # ink is darker than its paper by so many parts of 64
_STRIPS = 24  # upright strips that the print is cut into: a tilted page is nearly level in each
_STEEPEST = 0.06  # of the tilts that are tried, as rise over width: 3.4 degrees
_TILTS = 25
_LETTERS = (3, 60)  # heights of a line of print, pixels


@dataclass(frozen=True, slots=True)
class TextLines:
    """rows    lines of print that look like those of a table, its heading among them
    height  of a usual line of print, from its highest to its lowest ink, pixels of the page; 0: no print
    """

    rows: int
    height: float


def look(pixels: Pixels) -> TextLines:
    """What is printed on a page, uint8 [height, width, 3]."""
    grey = Image.fromarray(pixels).convert("L")
    shrunk = max(1, -(-max(grey.size) // _LONGEST))
    found = _strips(_print(grey.reduce(shrunk) if shrunk > 1 else grey))
    if found is None:
        return TextLines(0, 0.0)
    strips, width = found
    bands = [_bands(strip >= 2) for strip in strips.T]
    heights = np.sort(np.concatenate([ends - starts for starts, ends in bands]))
    letters = heights[(heights >= _LETTERS[0]) & (heights <= _LETTERS[1])]
    if not len(letters):
        return TextLines(0, 0.0)
    usual = letters[len(letters) // 4 : max(1, len(letters) * 3 // 4)]
    return TextLines(_table_rows(_level(strips, width)), shrunk * float(np.mean(usual)))


def _print(grey: Image.Image) -> Mask:
    """Where letters are: darker than the paper around, and no part of a rule or an edge."""
    values = np.asarray(grey).astype(np.int16)
    paper = np.asarray(grey.filter(ImageFilter.BoxBlur(_NEIGHBOURHOOD))).astype(np.int16)
    dark = 64 * (paper - values) > _DARKER * paper
    height, width = dark.shape
    return dark & ~_long(dark, max(40, width // 25), 1) & ~_long(dark, max(30, height // 40), 0)


def _long(dark: Mask, length: int, axis: int) -> Mask:
    """What belongs to an unbroken line of at least `length` pixels along `axis`."""
    lines = np.moveaxis(dark, axis, 0)
    if len(lines) < length:
        return np.zeros_like(dark)
    starts = _windows(lines, length, np.logical_and)
    none = np.zeros((length - 1, lines.shape[1]), np.bool_)
    return np.moveaxis(_windows(np.concatenate([none, starts, none]), length, np.logical_or), 0, axis)


def _windows(lines: Mask, length: int, both: Callable[[Mask, Mask], Mask]) -> Mask:
    """`both` over each `length` neighbours along the first axis."""
    reach = 1
    while reach < length:
        step = min(reach, length - reach)
        lines = both(lines[:-step], lines[step:])
        reach += step
    return lines


def _strips(ink: Mask) -> tuple[Profile, float] | None:
    """Ink in each row of pixels of each upright strip, [height, strips], and a strip's width in pixels.

    The strips cover what is printed. None where hardly anything is.
    """
    columns = np.flatnonzero(ink.sum(axis=0) >= 2)
    if len(columns) < _STRIPS:
        return None
    left, right = columns[len(columns) // 100], columns[-1 - len(columns) // 100]
    edges = np.linspace(left, right, _STRIPS, endpoint=False, dtype=np.intp)
    sums = np.add.reduceat(ink[:, : right + 1], edges, axis=1, dtype=np.int32)
    return sums, (right - left) / _STRIPS


def _level(strips: Profile, width: float) -> Profile:
    """The strips moved against each other so that lines of print lie level: then rows are full or empty."""
    height, count = strips.shape
    across = (np.arange(count) - count // 2) * width
    down, strip = np.arange(height)[:, None], np.arange(count)

    def moved(tilt: float) -> Profile:
        found: Profile = strips[(down + np.rint(tilt * across).astype(np.intp)) % height, strip]
        return found

    def contrast(tilt: float) -> int:
        return int(np.sum(np.diff(moved(tilt).sum(axis=1)) ** 2))

    return moved(max(sorted(np.linspace(-_STEEPEST, _STEEPEST, _TILTS), key=abs), key=contrast))


def _table_rows(level: Profile) -> int:
    """Lines of print with ink on the left, in the middle and on the right, in three pieces or more."""
    ink = level.sum(axis=1)
    if not ink.any():
        return 0
    found = 0
    for start, end in zip(*_bands(ink >= max(3, np.median(ink[ink > 0]) / 4)), strict=True):
        if end - start < _LETTERS[0]:
            continue
        inked = level[start:end].sum(axis=0) >= 2
        pieces = len(_bands(inked)[0])
        found += pieces >= 3 and all(third.any() for third in np.split(inked, 3))
    return found


def _bands(inked: Mask) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Starts and ends of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inked, [False]]).astype(np.int8)))
    return edges[::2], edges[1::2]
