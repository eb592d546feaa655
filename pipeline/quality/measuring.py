"""From pixels to `Quality`."""

from __future__ import annotations

from pipeline.quality import cut, letters, screen, sharpness
from pipeline.quality import glare as reflections
from pipeline.quality.sides import Levels, Sides, closed, sides
from pipeline.quality.sight import Sight
from pipeline.quality.verdicts import BLURRED, CUT, GLARE, RECAPTURED, SMALL
from pipeline.records import Pixels, Quality, Tier
from schemas.spec import Paper

LEAST_SIDE = 64  # pixels; nothing is measured on less
_NO_GRAIN, _GRAINY = 0.3, 3.2  # standard deviation in grey levels
_TABLE = 12.0  # grey levels between the paper and what it lies on, where that is no scanner's lid
_WORST_GRAIN = 20.0
_BLURRED = 0.088  # of the height of a line of print,
_LEAST_BLUR = 1.75  # and pixels: less is the picture's own coarseness
_SMALL = 11.0  # pixels of a line of print
_WAVES = 3.75  # as of `screen.waves`


def measure(pixels: Pixels, paper: Paper | None = None) -> Quality | None:
    """The quality of a page, uint8 [height, width, 3]; None for one too small to be a page.

    `paper`: what kind of paper it should be, where that is known. Of a card it is also told whether it shines,
    was cut off, or was taken from a screen. Pages without print get no verdict.
    """
    if min(pixels.shape[:2]) < LEAST_SIDE:
        return None
    sight = Sight(pixels)
    levels = closed(sight)
    found = sides(levels)
    height, spread = letters.height(sight), sharpness.spread(sight)
    shine = reflections.glare(sight, found)
    told: list[str] = []
    if height is not None:
        if spread is not None and spread > max(_LEAST_BLUR, _BLURRED * height):
            told.append(BLURRED)
        if height < _SMALL:
            told.append(SMALL)
        if paper == "card":
            told += _of_card(sight, levels, found, shine)
    return Quality(
        tier=_tier(sight, found),
        letters=height,
        blur=0.0 if height is None or spread is None else round(min(1.0, spread / height), 3),
        noise=round(min(1.0, sight.noise / _WORST_GRAIN), 3),
        glare=round(shine.share if reflections.is_glare(shine) else 0.0, 3),
        skew=letters.skew(sight),
        verdicts=tuple(told),
    )


def _of_card(sight: Sight, levels: Levels, found: Sides, shine: reflections.Glare) -> list[str]:
    told = []
    if reflections.is_glare(shine):
        told.append(GLARE)
    if cut.is_cut(sight, levels, found):
        told.append(CUT)
    if screen.waves(sight) > _WAVES:
        told.append(RECAPTURED)
    return told


def _tier(sight: Sight, found: Sides) -> Tier:
    if sum(abs(side.step) > _TABLE for side in found.seen) > 1:
        return "photo"
    if sight.noise < _NO_GRAIN:
        return "clean"
    return "scan" if sight.noise < _GRAINY else "noisy"
