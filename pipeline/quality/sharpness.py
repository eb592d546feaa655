"""How far the edges of print are drawn out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.quality.sight import CELL, Sight

_SIDE = 48  # pixels of a piece at full size
_PIECES = 24
_LEAST = 30.0  # grey levels between paper and ink of a piece that can be judged
_LEAST_PIECES = 4

Piece = npt.NDArray[np.float32]


def spread(sight: Sight) -> float | None:
    """Standard deviation of the blur over edges of print, pixels of the page; None without print.

    An edge of height h that was blurred with deviation s is at most h / (s √2π) steep. The steepest tenth of
    a percent of each piece is compared with how far apart its paper and ink are, across and down by
    themselves, since a picture that moved is sharp in one direction. The middle piece counts.
    """
    pieces = _pieces(sight)
    if len(pieces) < _LEAST_PIECES:
        return None
    low, high = np.percentile(pieces, (2, 90), axis=(1, 2))
    height = high - low
    pieces, height = pieces[height > _LEAST], height[height > _LEAST]
    if len(pieces) < _LEAST_PIECES:
        return None
    found = [_deviation(pieces, height, axis, sight.noise) for axis in (1, 2)]
    return float(max(found))


def _deviation(pieces: npt.NDArray[np.float32], height: Piece, axis: int, noise: float) -> float:
    # Neighbours along the edge are averaged, which takes grain away and leaves the edge.
    other = 3 - axis
    smooth = sum(np.roll(pieces, shift, axis=other) for shift in (-1, 0, 1)) / 3
    steps = np.abs(np.diff(smooth, axis=axis))[:, 2:-2, 2:-2]
    steep = np.percentile(steps.reshape(len(steps), -1), 99, axis=1)
    grain = 2.4 * noise * np.sqrt(2 / 3)
    steep = np.sqrt(np.maximum(steep**2 - grain**2, 1e-3))
    return float(np.median(height / (steep * np.sqrt(2 * np.pi))))


def _pieces(sight: Sight) -> npt.NDArray[np.float32]:
    """Pieces of the page at full size with the most print, float32 [n, side, side]."""
    rows, columns = sight.coarse.shape
    across = max(1, round(_SIDE / (CELL * sight.scale)))
    height, width = rows // across, columns // across
    ink = sight.ink_share[: height * across, : width * across]
    share = ink.reshape(height, across, width, across).mean(axis=(1, 3))
    share[share > 0.5] = 0  # a picture, not print
    best = np.argsort(share.ravel())[::-1][:_PIECES]
    best = best[share.ravel()[best] > 0.03]
    unit = CELL * sight.scale * across
    found = []
    for at in best:
        y, x = at // width * unit, at % width * unit
        piece = sight.grey[y : y + _SIDE, x : x + _SIDE]
        if piece.shape == (_SIDE, _SIDE):
            found.append(piece)
    return np.array(found, np.float32).reshape(-1, _SIDE, _SIDE)
