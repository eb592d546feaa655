"""From pixels to `Quality`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.quality import cut, letters, screen, sharpness
from pipeline.quality import glare as reflections
from pipeline.quality.sides import Sides, closed, sides
from pipeline.quality.sight import Sight
from pipeline.quality.verdicts import BLURRED, CUT, GLARE, RECAPTURED, SMALL
from pipeline.records import Pixels, Quality, Tier
from schemas.spec import Paper

LEAST_SIDE = 64  # pixels; nothing is measured on less
_NO_GRAIN, _GRAINY = 0.3, 3.2  # standard deviation in grey levels
_TABLE = 12.0  # grey levels between the paper and what it lies on, where that is no scanner's lid
_SURE_TABLE = 20.0
_WORST_GRAIN = 20.0
_BLURRED = 0.066  # of the height of a line of print,
_LEAST_BLUR = 1.75  # and pixels: less is the picture's own coarseness
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
    shine = reflections.glare(inner)
    told: list[str] = []
    if seen is not None:
        if seen.spread > max(_LEAST_BLUR, _BLURRED * seen.height):
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
    height, width = sight.grey.shape
    left, top, right, bottom = (
        max(side.begin, side.end) if side is not None and abs(side.step) > _SURE_TABLE else 0.0
        for side in found.all
    )
    if not left + top + right + bottom:
        return sight
    inner = sight.pixels[
        int(top * height) : height - int(bottom * height), int(left * width) : width - int(right * width)
    ]
    return sight if min(inner.shape[:2]) < LEAST_SIDE else Sight(inner)


@dataclass(frozen=True, slots=True)
class _Print:
    height: float  # of a line, pixels
    spread: float  # of its edges, pixels


def _print(sight: Sight) -> _Print | None:
    """The print of a page. Where none is seen it may be blurred: a smaller copy is sharp again."""
    for reduced in (1, 2, 4):
        if reduced > 1:
            image = Image.fromarray(sight.pixels).reduce(2)
            if min(image.size) < LEAST_SIDE:
                return None
            sight = Sight(np.asarray(image), faint=0.12)
        height = letters.height(sight, 24 if reduced == 1 else 15)
        spread = None if height is None else sharpness.spread(sight)
        if height is not None and spread is not None:
            return _Print(height * reduced, spread * reduced)
    return None


def _tier(sight: Sight, found: Sides) -> Tier:
    if sum(abs(side.step) > _TABLE for side in found.seen) > 1:
        return "photo"
    if sight.noise < _NO_GRAIN:
        return "clean"
    return "scan" if sight.noise < _GRAINY else "noisy"
