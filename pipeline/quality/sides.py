"""Where the paper ends in the picture: the straight edges along which it lies on something else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.quality.sight import closing
from pipeline.records import Pixels

LENGTH = 144  # the longer side of the copy in which edges are looked for, pixels
_FINE = 2  # pixels in one of the copy's, before
MARGIN = 0.031  # of the picture's side; narrower margins may be a scanner's lid beside a crooked sheet
_DEPTH = 0.46  # how far from the picture's side an edge may be, of its width or height
_SLOPES = np.linspace(-0.18, 0.18, 13)  # a little over 10 degrees
_REACH = 3  # pixels on either side of an edge that are compared
_WIDE = 7  # pixels on either side that are compared to tell an edge from a shadow,
_SLOPE = 1.6  # in which the difference grows by so much
_STEP = 7.0  # grey levels at least, between the paper and what it lies on
_ALONG = 0.72  # share of the edge along which they must differ

_SUDDEN = 9.0  # grey levels between neighbours of a copy of half the size
_KEPT = 0.2  # of a row or column, so that things on the table do not count
_LEAST = 0.3  # of the picture's side: the box
_PAD = 0.05  # of the box: table about it
_NEARLY = 0.9  # of the picture

Levels = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]  # left, top, right, bottom, pixels


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
    return closing(np.asarray(image), 2).astype(np.float32)


def sides(levels: Levels) -> Sides:
    """The edges in a `closed` page.

    They must run along most of the picture, or along most of a box in it that the table does not reach into.
    """
    box = _box(levels)
    if box is not None:
        left, top, right, bottom = box
        inner = _sides(levels[top:bottom, left:right])
        height, width = levels.shape
        touched = (left == 0, top == 0, right == width, bottom == height)
        if all(side is not None or at for side, at in zip(inner.all, touched, strict=True)):
            return _moved(inner, box, width, height)
    return _sides(levels)


def _sides(levels: Levels) -> Sides:
    return Sides(*map(_side, (levels, levels.T, levels[:, ::-1], levels.T[:, ::-1])))


def _moved(found: Sides, box: Box, width: int, height: int) -> Sides:
    """Edges of the box as those of the whole picture: its own ends are further out."""
    left, top, right, bottom = box
    return Sides(
        _longer(found.left, (left, right, width), (top, bottom, height)),
        _longer(found.top, (top, bottom, height), (left, right, width)),
        _longer(found.right, (width - right, width - left, width), (top, bottom, height)),
        _longer(found.bottom, (height - bottom, height - top, height), (left, right, width)),
    )


def _longer(side: Side | None, across: tuple[int, int, int], along: tuple[int, int, int]) -> Side | None:
    """`across`, `along`: where the box begins and ends, and how long the picture is, pixels."""
    if side is None:
        return None
    begin, end = ((across[0] + at * (across[1] - across[0])) / across[2] for at in (side.begin, side.end))
    slope = (end - begin) / (along[1] - along[0])
    return Side(begin - slope * along[0], end + slope * (along[2] - along[1]), side.step)


def _box(levels: Levels) -> Box | None:
    """The part of the picture that cannot be reached from its sides without a sudden change of brightness.

    None where that is nearly all of it, as without a table, or too little of it to be a page.
    """
    coarse = levels[::2, ::2]
    reached = np.zeros(coarse.shape, bool)
    reached[0] = reached[-1] = True
    reached[:, 0] = reached[:, -1] = True
    down = np.abs(np.diff(coarse, axis=0)) < _SUDDEN
    across = np.abs(np.diff(coarse, axis=1)) < _SUDDEN
    count = 0
    while count != (count := int(np.count_nonzero(reached))):
        for _ in range(6):
            reached[1:] |= reached[:-1] & down
            reached[:-1] |= reached[1:] & down
            reached[:, 1:] |= reached[:, :-1] & across
            reached[:, :-1] |= reached[:, 1:] & across
    ends = []
    for axis in (1, 0):
        kept = np.nonzero((~reached).mean(axis=axis) > _KEPT)[0]
        if len(kept) < _LEAST * len(coarse.T if axis == 0 else coarse):
            return None
        pad = max(2, round(_PAD * len(kept)))
        ends.append(
            (
                max(0, 2 * (int(kept[0]) - pad)),
                min(levels.shape[0 if axis else 1], 2 * (int(kept[-1]) + 1 + pad)),
            )
        )
    (top, bottom), (left, right) = ends
    if (right - left) * (bottom - top) > _NEARLY * levels.size:
        return None
    return left, top, right, bottom


def _side(levels: Levels) -> Side | None:
    """The clearest edge that runs from top to bottom near the left side of `levels`."""
    length, columns = levels.shape
    levels = levels[::2]  # along the edge half of them are enough
    rows = len(levels)
    depth = int(columns * _DEPTH)
    if depth < 2 * _REACH:
        return None  # a strip
    total = np.pad(np.cumsum(levels[:, :depth], axis=1), ((0, 0), (1, 0)))
    means = (total[:, _REACH:] - total[:, :-_REACH]) / _REACH
    steps = means[:, _REACH:] - means[:, :-_REACH]  # at i, of an edge before pixel i + _REACH
    width = steps.shape[1]
    shift = np.rint(np.linspace(-length / 2, length / 2, rows) * _SLOPES[:, None]).astype(int)
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
    middle, lean = (place + _REACH) / columns, float(_SLOPES[slope]) * length / columns / 2
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
