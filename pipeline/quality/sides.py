"""Where the paper ends in the picture: the straight edges along which it lies on something else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from pipeline.records import Pixels

LENGTH = 144  # the longer side of the copy in which edges are looked for, pixels
_FINE = 3  # pixels in one of the copy's, before
_DEPTH = 0.46  # how far from the picture's side an edge may be, of its width or height
_SLOPES = np.linspace(-0.14, 0.14, 15)  # a little over 8 degrees
_REACH = 3  # pixels on either side of an edge that are compared
_WIDE = 7  # pixels on either side that are compared to tell an edge from a shadow,
_SLOPE = 1.6  # in which the difference grows by so much
_STEP = 7.0  # grey levels at least, between the paper and what it lies on
_ALONG = 0.72  # share of the edge along which they must differ

Levels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Side:
    """An edge of the paper: how far it is from the picture's side at its two ends, as shares of the
    picture's width or height, and how much brighter the paper is, grey levels.
    """

    begin: float
    end: float
    step: float

    @property
    def depth(self) -> float:
        return (self.begin + self.end) / 2


@dataclass(frozen=True, slots=True)
class Sides:
    """None: no edge there, the paper reaches the picture's side or beyond."""

    left: Side | None
    top: Side | None
    right: Side | None
    bottom: Side | None

    @property
    def corners(self) -> Levels:
        """Of the paper, [4, 2]: x and y as shares of the picture, from the top left, clockwise.

        Where an edge is not seen, the picture's own side stands for it.
        """
        left, top, right, bottom = (
            (0.0, 0.0) if side is None else (side.begin, side.end) for side in self.all
        )
        right, bottom = (1 - right[0], 1 - right[1]), (1 - bottom[0], 1 - bottom[1])
        upright, level = (left, right), (top, bottom)
        found = []
        for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)):
            (a, b), (c, d) = upright[x], level[y]  # x = a + (b - a) y and y = c + (d - c) x
            at = (a + (b - a) * c) / (1 - (b - a) * (d - c))
            found.append((at, c + (d - c) * at))
        return np.array(found, np.float32)

    @property
    def all(self) -> tuple[Side | None, ...]:
        return self.left, self.top, self.right, self.bottom

    @property
    def seen(self) -> tuple[Side, ...]:
        return tuple(side for side in self.all if side is not None)


def closed(pixels: Pixels) -> Levels:
    """A page, uint8 [height, width, 3], without its print: float32, LENGTH or so on the longer side.

    The least of the three colours, which tells white from pale.
    """
    step = max(1, max(pixels.shape[:2]) // (_FINE * LENGTH))
    some = pixels[::step, ::step]
    image = Image.fromarray(np.minimum(np.minimum(some[..., 0], some[..., 1]), some[..., 2]))
    image = image.reduce(max(1, round(max(image.size) / LENGTH)))
    return np.asarray(image.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.MinFilter(5)), np.float32)


def sides(levels: Levels) -> Sides:
    """The edges in a `closed` page."""
    return Sides(*map(_side, (levels, levels.T, levels[:, ::-1], levels.T[:, ::-1])))


def _side(levels: Levels) -> Side | None:
    """The clearest edge that runs from top to bottom near the left side of `levels`."""
    rows, columns = levels.shape
    depth = int(columns * _DEPTH)
    total = np.pad(np.cumsum(levels[:, :depth], axis=1), ((0, 0), (1, 0)))
    means = (total[:, _REACH:] - total[:, :-_REACH]) / _REACH
    steps = means[:, _REACH:] - means[:, :-_REACH]  # at i, of an edge before pixel i + _REACH
    width = steps.shape[1]
    shift = np.rint(np.linspace(-rows / 2, rows / 2, rows) * _SLOPES[:, None]).astype(int)
    at = np.arange(width) + shift[..., None]  # [slope, row, place]
    inside = (at >= 0) & (at < width)
    found = np.where(inside, steps[np.arange(rows)[:, None], np.clip(at, 0, width - 1)], 0)
    mean = found.mean(axis=1)
    agree = (found * np.sign(mean)[:, None] > _STEP / 2).mean(axis=1)
    strength = np.abs(mean) * (agree > _ALONG)
    slope, place = np.unravel_index(np.argmax(strength), strength.shape)
    if strength[slope, place] < _STEP:
        return None
    if _is_slope(levels, place + _REACH + shift[slope], float(mean[slope, place])):
        return None
    middle, lean = (place + _REACH) / columns, float(_SLOPES[slope]) * rows / columns / 2
    return Side(float(middle - lean), float(middle + lean), float(mean[slope, place]))


def _is_slope(levels: Levels, at: npt.NDArray[np.int_], step: float) -> bool:
    """Whether the brightness goes on to change on both sides of an edge, as in a shadow.

    `at` [row]: the first pixel inside of the edge.
    """
    rows, columns = np.arange(len(levels))[:, None], levels.shape[1]
    reach = np.arange(_WIDE)
    inside = levels[rows, np.clip(at[:, None] + reach, 0, columns - 1)]
    outside = levels[rows, np.clip(at[:, None] - 1 - reach, 0, columns - 1)]
    return abs(float((inside - outside).mean())) > _SLOPE * abs(step)
