"""The ways in which paper comes into a computer, as `Quality.tier` names them.

clean    drawn from a file, or a flat-bed scan without a fault: nearly nothing happens to the page
scan     an office scanner: a little crooked, grain that can just be seen, JPEG
noisy    a poor scan or copy: pale, grainy, dusty, blurred, strong JPEG
photo    a telephone held over a table: perspective, uneven light, shadows, a tint, JPEG (`photo`)
"""

from __future__ import annotations

import math
from random import Random
from typing import get_args

from pipeline.records import Tier
from pipeline.specimens import photo, wear
from pipeline.specimens.specimen import Page

TIERS: tuple[Tier, ...] = get_args(Tier)


def age(rng: Random, page: Page, tier: Tier) -> Page:
    """The page as it comes in by this way."""
    if tier == "photo":
        return photo.apply(page, photo.drawn(rng))
    if tier == "clean":
        return wear.apply(page, wear.clean(rng))
    ratio = page.pixels.shape[0] / page.pixels.shape[1]
    return wear.apply(page, scan(rng, ratio) if tier == "scan" else noisy(rng, ratio))


def scan(rng: Random, ratio: float) -> wear.Wear:
    """`ratio`: height of the page over its width."""
    return wear.Wear(
        corners=_turned(rng.gauss(0, 0.45), ratio),
        surround=_lid(rng, 236, 252),
        blur=rng.uniform(0.2, 0.5),
        noise=rng.uniform(2.0, 4.0),
        noise_at=_spot(rng),
        contrast=rng.uniform(0.86, 0.97),
        jpeg=rng.randint(80, 93),
    )


def noisy(rng: Random, ratio: float) -> wear.Wear:
    """As `scan`, at the edge of what a person still reads easily."""
    streaks = tuple((rng.random(), rng.randint(15, 60)) for _ in range(rng.randint(0, 3)))
    band = None
    if rng.random() < 0.4:  # the shadow along the fold of a book, or of a lid that does not close
        band = (rng.choice((0.0, 1.0)), rng.uniform(0.08, 0.25), rng.uniform(0.15, 0.4), rng.random() < 0.7)
    return wear.Wear(
        corners=_turned(rng.gauss(0, 0.9), ratio),
        surround=_lid(rng, 180, 245),
        blur=rng.uniform(0.5, 1.0),
        band=band,
        noise=rng.uniform(8.0, 15.0),
        noise_at=_spot(rng),
        contrast=rng.uniform(0.6, 0.85),
        specks=rng.uniform(0.03, 0.5),
        streaks=streaks,
        jpeg=rng.randint(40, 70),
    )


def _turned(degrees: float, ratio: float) -> tuple[tuple[float, float], ...]:
    """Where the corners go when the page is turned about its centre, as in `wear.Wear`.

    It gets a little smaller, so that all of it stays in the picture, as on a glass larger than the page.
    """
    angle = math.radians(max(-2.0, min(2.0, degrees)))
    cosine, sine = math.cos(angle), math.sin(angle)
    fit = 1 / (cosine + abs(sine) * max(ratio, 1 / ratio))
    return tuple(
        (0.5 * (fit * (x * cosine - y * ratio * sine) - x), 0.5 * (fit * (x / ratio * sine + y * cosine) - y))
        for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    )


def _lid(rng: Random, darkest: int, lightest: int) -> tuple[int, int, int]:
    grey = rng.randint(darkest, lightest)
    return grey, grey, max(0, grey - rng.randint(0, 5))


def _spot(rng: Random) -> tuple[int, int]:
    return rng.randrange(588), rng.randrange(588)
