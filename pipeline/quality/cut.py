"""Whether all of a card is in its picture, and nothing lies on a corner of it.

A card has one shape by its standard (ISO/IEC 7810 ID-1). What is seen of it must have that shape, print must
not run out of the picture, and no corner may look like something else.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.quality.sides import MARGIN, Levels, Side, Sides
from pipeline.quality.sight import Sight

RATIO = 85.60 / 53.98  # of a card, width to height
_ALLOWED = 0.056  # by how much of itself the ratio may be off, by perspective and careless trimming
_OTHER_PAPER = 0.45  # a ratio further off than this is no card's
_TABLE = 15.0  # grey levels between a card and what it lies on, where that is sure
_CLEAR = 30.0  # and where all edges would be seen
_PLAIN = 50.0  # and where no shadow hides one
_LIKE_CARD = 0.5  # from 0, as bright as the table, to 1, as the card
_SURELY = 20.0  # and where it cannot be a shadow on the card
_NEAR = 0.05  # print is this near to some side of a card, as share of the card's side
_CUT_STROKES = (1, 2, 1, 2)  # of print along a line just inside of the left, top, right, bottom of a picture
_GRAINY = 3.2  # grey levels of grain, with which specks come that look like strokes
_DARK = 28.0  # grey levels below the paper there
_CORNER = 6  # pixels of the reduced copy; what is dark there may be the table beside a crooked card
_REACH = 48  # pixels of the reduced copy in which there is some paper,
_STROKE = 40  # of a stroke of print at most,
_SHARP = 3  # and in which paper turns to ink
_RAYS, _STEPS = 25, 60
_WINDOW = 3  # steps on either side of an edge that are compared,
_NEXT = np.arange(4)  # and in which it is looked for
_FROM, _TO = 0.12, 0.62  # of the card's height: how far from a corner what lies on it ends
_EDGE = 11.0  # grey levels there


def is_cut(sight: Sight, levels: Levels, found: Sides) -> bool:
    """`levels`: the `closed` page, `found`: the sides in it."""
    if _print_runs_out(sight, found) or any(_covered(levels, found, at) for at in _corners(sight, found)):
        return True
    # Where the table is as bright as the card some edges are not seen, and nothing follows from that.
    steps = [abs(side.step) for side in found.seen if _sure(side)]
    if steps and np.median(steps) < _CLEAR:
        return False
    return _runs_out(levels, found) or _wrong_shape(sight, found)


def _corners(sight: Sight, found: Sides) -> list[int]:
    """Those corners of the card whose place is known, from the top left, clockwise."""
    left, top, right, bottom = (side is not None for side in found.all)
    if not any(map(_sure, found.all)):  # the card fills the picture, or it lies on something that is like it
        return [0, 1, 2, 3] if _nearest(sight) < _NEAR else []
    return [
        at for at, both in enumerate((left and top, right and top, right and bottom, left and bottom)) if both
    ]


def _sure(side: Side | None) -> bool:
    return side is not None and abs(side.step) >= _TABLE and side.depth > MARGIN


def _runs_out(levels: Levels, found: Sides) -> bool:
    """The card lies on a table, and on some side it goes on to the end of the picture.

    There it looks like the card rather than the table; a table as bright as the card has no edge either.
    """
    steps = [side.step for side in found.seen if _sure(side)]
    if len(steps) < 2 or None not in found.all:
        return False
    step = float(np.median(steps))
    if abs(step) > _PLAIN:
        return True  # it would be seen, unless something lies on it
    card = float(np.median(levels))
    ends = (levels[:, 0], levels[0], levels[:, -1], levels[-1])
    return any(
        side is None and (float(np.percentile(end, 60)) - card + step) / step > _LIKE_CARD
        for side, end in zip(found.all, ends, strict=True)
    )


def _wrong_shape(sight: Sight, found: Sides) -> bool:
    """What is seen has not the ratio of a card, although it goes up to the sides of the picture."""
    if all(map(_sure, found.all)):
        return False  # all of it is seen, and perspective may do much
    left, top, right, bottom = (
        side.depth if side is not None and abs(side.step) >= _SURELY else 0.0 for side in found.all
    )
    height, width = sight.grey.shape
    ratio = (1 - left - right) * width / ((1 - top - bottom) * height)
    off = max(ratio / RATIO, RATIO / ratio) - 1
    return _ALLOWED < off < _OTHER_PAPER and _nearest(sight) < _NEAR


def _nearest(sight: Sight) -> float:
    """How near print comes to a side of the picture, as share of its width or height."""
    share = sight.ink_share > 0.06
    rows, columns = np.nonzero(share.sum(axis=1) > 1)[0], np.nonzero(share.sum(axis=0) > 1)[0]
    if not len(rows) or not len(columns):
        return 1.0
    height, width = share.shape
    return float(
        min(
            rows[0] / height,
            1 - (rows[-1] + 1) / height,
            columns[0] / width,
            1 - (columns[-1] + 1) / width,
        )
    )


def _print_runs_out(sight: Sight, found: Sides) -> bool:
    """Strokes of print that the side of the picture cuts through."""
    small = sight.small
    # Where there is grain there are specks as well: a stroke is wider then, and one alone is none.
    grainy = sight.noise > _GRAINY
    depth, width = (4, 4) if grainy else (2, 2)
    lines = (
        small[:, 1 : 1 + depth],
        small[1 : 1 + depth].T,
        small[:, -1 - depth : -1],
        small[-1 - depth : -1].T,
    )
    for line, side, least in zip(lines, found.all, _CUT_STROKES, strict=True):
        if side is None and _strokes(line.mean(axis=1, dtype=np.float32), width) >= least + grainy:
            return True
    return False


def _strokes(line: Levels, width: int) -> int:
    """How many strokes of print, at least so many pixels wide, are darker than the paper on a line of levels.

    They have sharp ends. A crooked table's edge comes in slowly, and goes on to the end of the line.
    """
    paper = np.max(sliding_window_view(np.pad(line, _REACH, mode="edge"), 2 * _REACH + 1), axis=1)
    depth = (paper - line) / np.maximum(_DARK, 0.25 * paper)
    edges = np.diff(np.pad(depth > 1, 1).astype(np.int8))
    begins, ends = np.nonzero(edges == 1)[0], np.nonzero(edges == -1)[0]
    inside = (begins > _CORNER) & (ends < len(line) - _CORNER)
    begins, ends = begins[inside], ends[inside]
    lengths = ends - begins
    sharp = (depth[begins - _SHARP] < 0.5) & (depth[ends + _SHARP - 1] < 0.5)
    return int(np.count_nonzero(sharp & (lengths >= width) & (lengths <= _STROKE)))


def _covered(levels: Levels, found: Sides, at: int) -> bool:
    """Whether the card's corner number `at` is something else than the card.

    Rays go out from the corner over the card. Where something covers it, all of them come to its edge, and
    not later in the middle than at the sides, as it would be with a code or a picture in the corner.
    """
    height, width = levels.shape
    corners = found.corners
    own, before, after = (corners[(at + step) % 4] * (width, height) for step in (0, 3, 1))
    length = min(float(np.hypot(*(after - own))), float(np.hypot(*(before - own))))
    if length < 24:
        return False
    to_after, to_before = ((other - own) / np.hypot(*(other - own)) for other in (after, before))
    angle = np.radians(np.linspace(12, 78, _RAYS))[:, None, None]
    ways = np.cos(angle) * to_after + np.sin(angle) * to_before
    far = np.linspace(0.012, _TO + 0.06, _STEPS)
    points = np.rint(own + ways * (far * length)[None, :, None]).astype(int)
    x, y = np.clip(points[..., 0], 0, width - 1), np.clip(points[..., 1], 0, height - 1)
    return _has_edge(levels[y, x], far, float(np.median(levels)))


def _has_edge(rays: Levels, far: npt.NDArray[np.float64], usual: float) -> bool:
    """`rays` [ray, step] from a corner, `far` the distance of each step, `usual` the level of the card."""
    total = np.pad(np.cumsum(rays, axis=1), ((0, 0), (1, 0)))
    means = (total[:, _WINDOW:] - total[:, :-_WINDOW]) / _WINDOW
    steps = means[:, _WINDOW:] - means[:, :-_WINDOW]
    first = np.argmax(np.abs(steps) > _EDGE, axis=1)
    # An edge is at its steepest a little later than it can first be seen.
    near = np.abs(np.take_along_axis(steps, np.minimum(first[:, None] + _NEXT, steps.shape[1] - 1), axis=1))
    place = np.minimum(first + np.argmax(near, axis=1), steps.shape[1] - 1)
    step = steps[np.arange(len(steps)), place]
    where = far[_WINDOW + place]
    good = (step * np.sign(np.median(step)) > _EDGE) & (where >= _FROM) & (where <= _TO)
    # All that is nearer to the corner looks the same, and not like the card.
    inside = np.arange(rays.shape[1]) < (place + 1)[:, None]
    mean = np.where(inside, rays, 0).sum(axis=1) / inside.sum(axis=1)
    good &= np.abs(mean - usual) > 0.6 * _EDGE
    if good.mean() < 0.8:
        return False
    distance = where[good]
    smooth = np.abs(np.diff(distance)) < 0.07
    third = len(distance) // 3
    middle = float(np.median(distance[third:-third]))
    outer = float(np.median(np.concatenate([distance[:4], distance[-4:]])))
    return bool(smooth.mean() > 0.85 and 0.75 * outer < middle < 1.15 * outer)
