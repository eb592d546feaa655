"""The print that a value's cells mean: where the model looked tells the lines, ink and text tell their ends.

A value that goes on in the next line is known by its tokens, which jump back to the left. A line is a band of
rows that hold ink. Its ends are where words begin and end, near where the first and the last token looked,
and about as far apart as the text is wide.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline import ink as inks
from pipeline.ink import Mask
from pipeline.place import Cells
from pipeline.records import Box, Ink

Floats = npt.NDArray[np.float64]
Span = tuple[int, int]  # the first row or column, and the one behind the last

_WINDOW = 4  # tokens on either side of a line's end that must agree that it is one
_BACK = 0.8  # cells that the next line begins further left
_BELOW = 0.3  # cells that it stands lower
_FAR = 2.0  # cells: a token that looked further away looked at something else
_INSIDE = 0.7  # from here on a gap is one between letters of a word
_LOOKED, _AS_WIDE = 2.0, 2.0  # weights of where the tokens looked, and of how wide the text should be
_SURE, _APART = 0.6, 0.12  # cells: a line further away, or hardly nearer than the next one, is not sure
_ABOVE, _BELOW_LETTER = 230, 220  # Unicode's classes of combining marks
_SPACE = 0.25  # of a line's height: a gap of this width ends a word


def snapped(cells: Cells, ink: Ink, text: str) -> Box | None:
    """The box of the print; None where there is none that the cells could mean."""
    scale = np.array([ink.width, ink.height], np.float64)
    corners = cells.corners * np.tile(scale, 2)
    cell = (corners[:, 2:] - corners[:, :2]).max(axis=0)
    at = (corners[:, :2] + corners[:, 2:]) / 2
    lines = _lines(at / cell)
    found = [_line(at[line], cells.along[line], cell, ink, text if len(lines) == 1 else "") for line in lines]
    if None in found:
        return None
    sides = np.array(found, np.float64) / np.tile(scale, 2)
    left, top = sides[:, :2].min(axis=0)
    right, bottom = sides[:, 2:].max(axis=0)
    return (float(left), float(top), float(right), float(bottom))


def _lines(at: Floats) -> list[slice]:
    """The tokens, whose places in cells these are, of each line."""
    starts = [0]
    for index in np.flatnonzero(at[:-1, 0] - at[1:, 0] > _BACK / 2) + 1:
        if not starts[-1] + 2 <= index < len(at) - 1:
            continue
        before = np.median(at[max(starts[-1], index - _WINDOW) : index], axis=0)
        behind = np.median(at[index : index + _WINDOW], axis=0)
        if before[0] - behind[0] > _BACK and behind[1] - before[1] > _BELOW:
            starts.append(int(index))
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], len(at)], strict=True)]


def _line(at: Floats, along: Floats, cell: Floats, ink: Ink, text: str) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom, in the ink's pixels, of the print in one line."""
    (wide, high), x, y = cell, at[:, 0], float(np.mean(at[:, 1]))
    left, right = int(max(0, x.min() - 4 * wide)), int(min(ink.width, x.max() + 4 * wide) + 1)
    top, bottom = int(max(0, y - 1.5 * high)), int(min(ink.height, y + 1.5 * high) + 1)
    mask = inks.part(ink, left, top, right, bottom)
    first, last = int(max(0, x.min() - left - wide / 2)), int(x.max() - left + wide / 2) + 1
    bands = _bands(mask[:, first:last])
    if not bands:
        return None
    away = sorted((abs((up + low) / 2 + top - y) / high, (up, low)) for up, low in bands)
    if away[0][0] > _SURE or (len(away) > 1 and away[1][0] - away[0][0] < _APART):
        return None
    band = away[0][1]
    ends = _ends(mask[slice(*band)], x - left, along, wide, text)
    return None if ends is None else (left + ends[0], top + band[0], left + ends[1], top + band[1])


def _bands(mask: Mask) -> list[Span]:
    """Lines of print: rows with ink, marks over and under letters with their line."""
    rows: list[int] = mask.sum(axis=1).tolist()
    if not any(rows):
        return []
    least = max(1.0, 0.02 * max(rows))
    bands = spans([count >= least for count in rows])
    usual = max(bottom - top for top, bottom in bands)
    joined: list[Span] = []
    for top, bottom in bands:
        if joined and top - joined[-1][1] <= 0.2 * usual:
            smaller = min(joined[-1][1] - joined[-1][0], bottom - top)
            if smaller < 0.45 * usual:
                joined[-1] = (joined[-1][0], bottom)
                continue
        joined.append((top, bottom))
    return [(top, bottom) for top, bottom in joined if bottom - top > max(3, 0.4 * usual)]


def _ends(band: Mask, x: Floats, along: Floats, wide: float, text: str) -> Span | None:
    """The columns from the first letter to the last that the tokens mean."""
    letters = spans(np.asarray(band.any(axis=0)))
    if not letters:
        return None
    lefts, rights = (np.array(sides, np.float64) for sides in zip(*letters, strict=True))
    gaps = np.concatenate([[np.inf], lefts[1:] - rights[:-1], [np.inf]])
    narrow = np.clip(1 - gaps / (_SPACE * len(band)), 0, None)  # no word begins or ends there
    starts, ends = np.flatnonzero(narrow[:-1] < _INSIDE), np.flatnonzero(narrow[1:] < _INSIDE)
    lefts, rights = lefts[starts], rights[ends]
    widths = rights[None] - lefts[:, None]
    share = (along - along.min()) / max(1e-9, along.max() - along.min()) if not text else along
    wanted = lefts[:, None, None] + share * widths[..., None]
    cost = np.minimum(np.abs(wanted - x) / wide, _FAR).mean(axis=2) * _LOOKED
    cost += narrow[starts][:, None] + narrow[ends + 1][None]
    if text:
        expected = breadth(text) / height(text) * len(band)
        cost += np.abs(np.log(np.maximum(widths, 1) / expected)) * _AS_WIDE
    cost[widths <= 0] = np.inf
    i, j = np.unravel_index(int(cost.argmin()), cost.shape)
    return (int(lefts[i]), int(rights[j])) if np.isfinite(cost[i, j]) else None


def breadth(text: str) -> float:
    """How wide a text is in usual faces, in units of the type size."""
    return sum(map(_advance, text))


def _advance(letter: str) -> float:
    base = unicodedata.normalize("NFD", letter)[0]
    if base == " ":
        return 0.3
    if base in "iljI.,:;'|!()[]/-tfr":
        return 0.33
    if base in "mwMW@%":
        return 0.88
    return 0.66 if base.isupper() else 0.57


def height(text: str) -> float:
    """How high its ink is, in units of the type size: with what reaches over and under the letters."""
    tall = over = under = False
    for letter in text:
        base, *marks = list(unicodedata.normalize("NFD", letter))
        above = any(unicodedata.combining(mark) == _ABOVE for mark in marks)
        tall |= above or base.isupper() or base.isdigit() or base in "bdđfhklt"
        over |= above and base.isupper()
        under |= base in "gjpqyQ,;" or any(unicodedata.combining(mark) == _BELOW_LETTER for mark in marks)
    return (0.73 if tall else 0.54) + 0.2 * over + 0.2 * under


def spans(there: npt.NDArray[np.bool_] | Sequence[bool]) -> list[Span]:
    """The runs of what is true."""
    turns = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(turns[::2], turns[1::2], strict=True)]
