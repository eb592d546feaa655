"""How high the print is, and how far its lines lean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.quality.sight import Mask, Sight

_STRIP = 32  # pixels of the reduced copy: two to four letters, so that a leaning line is still a line in it
_STRIPS = 32  # in a small picture
_EVEN = 0.72
_STEEPEST = 8.0  # degrees
_POINTS = 6000


def height(sight: Sight, least: int = 24) -> float | None:
    """Median height of a line of print in pixels of the page, with accents and tails.

    None with fewer than `least` pieces of lines, or where nothing looks like paper: that is no print.
    """
    runs = _runs(sight.ink)
    if len(runs) < least or sight.evenness < _EVEN:
        return None
    return float(np.median(runs)) * sight.scale


def _runs(ink: Mask) -> npt.NDArray[np.int64]:
    """Heights of the pieces of lines in upright strips, of the reduced copy."""
    strip = min(_STRIP, max(8, ink.shape[1] // _STRIPS))
    width = ink.shape[1] // strip * strip
    filled = ink[:, :width].reshape(len(ink), -1, strip).mean(axis=2, dtype=np.float32).T
    inside = np.pad(filled > 0.04, ((0, 0), (1, 1)))
    edges = np.diff(inside.astype(np.int8), axis=1)
    begins, ends = np.nonzero(edges == 1), np.nonzero(edges == -1)
    heights = ends[1] - begins[1]
    total = np.pad(np.cumsum(filled, axis=1), ((0, 0), (1, 0)))
    mean = (total[begins[0], ends[1]] - total[begins[0], begins[1]]) / np.maximum(heights, 1)
    # Specks are thin, rules are full, pictures are full and high.
    found: npt.NDArray[np.int64] = heights[
        (heights >= 4) & (heights <= len(ink) // 6) & (mean > 0.12) & (mean < 0.6)
    ]
    return found


def skew(sight: Sight) -> float:
    """Degrees by which lines of print fall to the right, 0 without print: clockwise is positive."""
    y, x = np.nonzero(sight.ink[::2, ::2])
    if len(y) < 200:
        return 0.0
    step = max(1, len(y) // _POINTS)
    y, x = y[::step].astype(np.float32), x[::step].astype(np.float32)
    best = 0.0
    for reach, pitch in ((_STEEPEST, 1.0), (1.0, 0.25), (0.2, 0.1)):
        angles = np.arange(best - reach, best + reach + pitch / 2, pitch)
        best = float(angles[np.argmax([_sharpness(x, y, angle) for angle in angles])])
    return round(best, 2)


def _sharpness(x: np.ndarray, y: np.ndarray, degrees: float) -> float:
    """How much lines stand apart when they are thought to lean like this."""
    rows = (y - x * np.tan(np.radians(degrees))).astype(np.int32)
    counts = np.bincount(rows - rows.min())
    return float(np.square(np.diff(counts.astype(np.float64))).sum())
