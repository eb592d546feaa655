"""From pixels to `Quality`."""

from __future__ import annotations

from pipeline.quality import letters
from pipeline.quality.sides import Sides, sides
from pipeline.quality.sight import Sight
from pipeline.records import Pixels, Quality, Tier
from schemas.spec import Paper

LEAST_SIDE = 64  # pixels; nothing is measured on less
_NO_GRAIN, _GRAINY = 0.3, 3.2  # standard deviation in grey levels
_TABLE = 12.0  # grey levels between the paper and what it lies on, where that is no scanner's lid
_WORST_GRAIN = 20.0


def measure(pixels: Pixels, paper: Paper | None = None) -> Quality | None:
    """The quality of a page, uint8 [height, width, 3]; None for one too small to be a page.

    `paper`: what kind of paper it should be, where that is known.
    """
    if min(pixels.shape[:2]) < LEAST_SIDE:
        return None
    sight = Sight(pixels)
    height = letters.height(sight)
    return Quality(
        tier=_tier(sight, sides(sight)),
        letters=height,
        blur=0.0,
        noise=round(min(1.0, sight.noise / _WORST_GRAIN), 3),
        glare=0.0,
        skew=letters.skew(sight),
    )


def _tier(sight: Sight, found: Sides) -> Tier:
    if sum(abs(side.step) > _TABLE for side in found.seen) > 1:
        return "photo"
    if sight.noise < _NO_GRAIN:
        return "clean"
    return "scan" if sight.noise < _GRAINY else "noisy"
