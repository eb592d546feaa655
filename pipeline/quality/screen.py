"""The grid of a screen that a picture was taken from, and the waves it leaves with the camera's own."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pipeline.quality.sight import Sight

SIDE = 128  # pixels of a piece at full size
_ACROSS = 4  # pieces in a row, and rows of them, at most
_LONGEST = 32  # pixels of a wave at most
_JPEG = 8  # pixels of a block in JPEG, whose borders are a grid too
_ABOUT = 11  # bins of the spectrum that a peak is compared with, across
_UPRIGHT = 1.2  # by which waves straight across or down must stand out more: print and its rules make some
_FLOOR = 0.8  # grey levels: what is weaker is nothing

Spectrum = npt.NDArray[np.float64]  # [SIDE, SIDE]


def waves(sight: Sight) -> float:
    """How far the strongest wave stands out of its neighbours in the spectrum, natural logarithm of power.

    Grain and print are spread over many frequencies, a grid has a few. Print is held down first: what is far
    from the paper's own brightness is cut off. The pieces are laid over each other, so that only waves count
    that go through the whole picture.
    """
    if min(sight.grey.shape) < SIDE:
        return 0.0
    pieces = sight.patches(SIDE, _ACROSS).astype(np.float32)
    pieces -= np.median(pieces[:, ::4, ::4], axis=(1, 2), keepdims=True)
    most = np.maximum(4.0, 3.0 * np.median(np.abs(pieces[:, ::4, ::3]), axis=(1, 2), keepdims=True))
    pieces = np.clip(pieces, -most, most)
    pieces -= pieces.mean(axis=(1, 2), keepdims=True)
    window = np.hanning(SIDE).astype(np.float32)
    window = window[:, None] * window
    power = np.square(np.abs(np.fft.fft2(pieces * window)))
    floor = _FLOOR**2 * float(np.square(window).sum())
    power = power / (np.median(power[:, ::3, ::2], axis=(1, 2), keepdims=True) + floor)
    told = np.log(power.mean(axis=0) + 1.0)
    away = np.where(_looked_at(), told - _about(told), 0.0)
    away[:2], away[-1], away[:, :2], away[:, -1] = (
        part - _UPRIGHT for part in (away[:2], away[-1], away[:, :2], away[:, -1])
    )
    return float(max(0.0, away.max()))


def _about(spectrum: Spectrum) -> Spectrum:
    """Mean over the neighbours of each bin; frequencies go round."""
    half = _ABOUT // 2
    for axis in (0, 1):
        wrapped = np.concatenate(
            [spectrum.take(range(-half - 1, 0), axis), spectrum, spectrum.take(range(half), axis)], axis
        )
        total = np.cumsum(wrapped, axis=axis)
        spectrum = (total.take(range(_ABOUT, SIDE + _ABOUT), axis) - total.take(range(SIDE), axis)) / _ABOUT
    return spectrum


@lru_cache(maxsize=1)
def _looked_at() -> npt.NDArray[np.bool_]:
    """The bins of waves that are not too long, and not those of JPEG's blocks."""
    bins = np.fft.fftfreq(SIDE) * SIDE
    y, x = np.meshgrid(bins, bins, indexing="ij")
    block = SIDE // _JPEG
    off_y, off_x = (np.abs((part + block / 2) % block - block / 2) for part in (y, x))
    found: npt.NDArray[np.bool_] = (np.hypot(x, y) >= SIDE / _LONGEST) & ~((off_y <= 1) & (off_x <= 1))
    return found
