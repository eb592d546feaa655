"""From pixels to `Quality`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.quality import cut, letters, screen, sharpness
from pipeline.quality import glare as reflections
from pipeline.quality.sides import MARGIN, Sides, closed, sides
from pipeline.quality.sight import Sight
from pipeline.quality.verdicts import BLURRED, CUT, GLARE, RECAPTURED, SMALL
from pipeline.records import Pixels, Quality, Tier
from schemas.spec import Paper

LEAST_SIDE = 64  # pixels; nothing is measured on less
_NO_GRAIN, _GRAINY = 0.3, 3.2  # standard deviation in grey levels
_TABLE = 12.0  # grey levels between the paper and what it lies on, where that is no scanner's lid
_SURE_TABLE = 20.0
_WORST_GRAIN = 20.0
_BLURRED = 0.075  # of the height of a line of print,
_LEAST_BLUR = 1.55  # and pixels: less is the picture's own coarseness
_DUST = 60  # pieces of lines that dust on a grainy page may look like
_OTHER_PAPER = 1.35
_SMALL = 11.5  # pixels of a line of print
_WAVES = 3.75  # as of `screen.waves`


def measure(pixels: Pixels, paper: Paper | None = None) -> Quality | None:
    """The quality of a page, uint8 [height, width, 3]; None for one too small to be a page.

    `paper`: what kind of paper it should be, where that is known. Of a card it is also told whether it
    shines, was cut off, or was taken from a screen.
    """
    if min(pixels.shape[:2]) < LEAST_SIDE:
        return None
    whole = Sight(pixels)
    levels = closed(pixels)
    found = sides(levels)
    inner = _within(whole, found)
    seen = _print(inner)
    if seen is None and inner is not whole and len(found.seen) < 4:
        seen = _print(whole)  # what looked like the paper's edge was blurred print
    shine = reflections.glare(inner)
    told: list[str] = []
    if seen is not None:
        allowed = 1.0 if paper == "card" else _OTHER_PAPER  # whose type is smaller, and still read
        if seen.spread > allowed * max(_LEAST_BLUR, _BLURRED * seen.height):
            told.append(BLURRED)
        elif seen.height < _SMALL:
            told.append(SMALL)
    if paper == "card":
        if reflections.is_glare(shine):
            told.append(GLARE)
        if seen is not None and cut.is_cut(whole, levels, found):
            told.append(CUT)
        if screen.waves(inner) > _WAVES:
            told.append(RECAPTURED)
    return Quality(
        tier=_tier(inner, found),
        letters=None if seen is None else seen.height,
        blur=0.0 if seen is None else round(min(1.0, seen.spread / seen.height), 3),
        noise=round(min(1.0, inner.noise / _WORST_GRAIN), 3),
        glare=round(shine.share if reflections.is_glare(shine) else 0.0, 3),
        skew=0.0 if seen is None else letters.skew(inner),
        verdicts=tuple(told),
    )


def _within(sight: Sight, found: Sides) -> Sight:
    """The paper alone, without the table that it lies on."""
    if not any(abs(side.step) > _SURE_TABLE for side in found.seen):
        return sight
    height, width = sight.grey.shape
    x, y = found.corners.T
    left, right = max(0.0, x[0], x[3]), min(1.0, x[1], x[2])
    top, bottom = max(0.0, y[0], y[1]), min(1.0, y[2], y[3])
    inner = sight.pixels[int(top * height) : int(bottom * height), int(left * width) : int(right * width)]
    return sight if min(inner.shape[:2]) < LEAST_SIDE else Sight(inner)


@dataclass(frozen=True, slots=True)
class _Print:
    height: float  # of a line, pixels
    spread: float  # of its edges, pixels


def _print(sight: Sight) -> _Print | None:
    """The print of a page. Where none is seen it may be blurred: a smaller copy is sharp again.

    Grain says that nothing is blurred, and in smaller copies of it there seems to be print.
    """
    grainy = sight.noise > _GRAINY
    for reduced in (1,) if grainy else (1, 2, 4):
        if reduced > 1:
            image = Image.fromarray(sight.pixels).reduce(2)
            if min(image.size) < LEAST_SIDE:
                return None
            sight = Sight(np.asarray(image), faint=0.12)
        height = letters.height(sight, _DUST if grainy else 24 if reduced == 1 else 15)
        spread = None if height is None else sharpness.spread(sight)
        if height is not None and spread is not None:
            return _Print(height * reduced, spread * reduced)
    return None


def _tier(sight: Sight, found: Sides) -> Tier:
    tables = (abs(side.step) > _TABLE and side.depth > MARGIN for side in found.seen)
    if sum(tables) > 1:
        return "photo"
    if sight.noise < _NO_GRAIN:
        return "clean"
    return "scan" if sight.noise < _GRAINY else "noisy"
