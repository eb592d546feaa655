"""What happens to paper between the printer and the file: tilt, blur, uneven light, noise, JPEG.

The same wear moves the glyph centres and the boxes, so that truth stays where the ink is.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from pipeline.records import Pixels
from pipeline.specimens import warp
from pipeline.specimens.specimen import Page


@dataclass(frozen=True, slots=True)
class Wear:
    """How worn a page is. Zeros and None leave it as it is.

    corners    where the page's corners go, 4 × (dx, dy) as shares of width and height, from the top left
    surround   colour of the table that a tilted page lies on
    blur       radius in thousandths of the page's width
    light      brightness at the corners of the page, 1.0 as printed; 4 values
    band       soft shadow: (position 0..1, width 0..1, darkness 0..1, upright or lying)
    noise      standard deviation in grey levels
    specks     dark and light dots, per thousand pixels
    streaks    dust on a scanner's glass: pale lines down the page, each (position 0..1, darkness in greys)
    jpeg       quality, None for none
    """

    corners: tuple[tuple[float, float], ...] | None = None
    surround: tuple[int, int, int] = (96, 92, 88)
    blur: float = 0.0
    light: tuple[float, float, float, float] | None = None
    band: tuple[float, float, float, bool] | None = None
    noise: float = 0.0
    noise_at: tuple[int, int] = (0, 0)
    contrast: float = 1.0
    specks: float = 0.0
    streaks: tuple[tuple[float, int], ...] = ()
    jpeg: int | None = None


def clean(rng: Random) -> Wear:
    """A good flat-bed scan: nearly nothing."""
    return Wear(contrast=rng.uniform(0.94, 1.0) if rng.random() < 0.5 else 1.0)


def worn(rng: Random, strength: float = 1.0) -> Wear:
    """A hand-held photo or a poor scan; `strength` 1.0 is the worst that a person still reads easily."""

    def maybe(chance: float) -> bool:
        return rng.random() < chance

    corners = None
    if maybe(0.6):
        angle = rng.gauss(0, 0.012) * strength
        corners = tuple(
            (
                rng.uniform(-0.012, 0.012) * strength + angle * side_y * 0.5,
                rng.uniform(-0.012, 0.012) * strength - angle * side_x * 0.5,
            )
            for side_x, side_y in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        )
    grey = rng.randint(40, 215)
    return Wear(
        corners=corners,
        surround=(grey, max(0, grey - rng.randint(0, 20)), max(0, grey - rng.randint(0, 30))),
        blur=rng.uniform(0.2, 1.3) * strength if maybe(0.6) else 0.0,
        light=_light(rng, strength) if maybe(0.6) else None,
        band=(rng.random(), rng.uniform(0.1, 0.4), rng.uniform(0.1, 0.4) * strength, maybe(0.5))
        if maybe(0.35)
        else None,
        noise=rng.uniform(2, 14) * strength if maybe(0.6) else 0.0,
        noise_at=_spot(rng),
        contrast=rng.uniform(1.0 - 0.4 * strength, 1.0) if maybe(0.6) else 1.0,
        jpeg=rng.randint(round(90 - 45 * strength), 92) if maybe(0.5) else None,
    )


def _light(rng: Random, strength: float) -> tuple[float, float, float, float]:
    a, b, c, d = (1.0 - rng.uniform(0, 0.4) * strength for _ in range(4))
    return a, b, c, d


def _spot(rng: Random) -> tuple[int, int]:
    return rng.randrange(588), rng.randrange(588)


def apply(page: Page, wear: Wear) -> Page:
    """The worn page, with glyphs and boxes moved along. Its backdrop and runs stay unworn."""
    image = Image.fromarray(page.pixels)
    width, height = image.size
    glyphs, boxes = page.glyphs, page.boxes
    if wear.corners is not None:
        flat = warp.corners_of(width, height)
        forward = warp.homography(flat, flat + np.array(wear.corners, np.float64) * (width, height))
        image = warp.moved_picture(image, forward, image.size, wear.surround)
        glyphs = warp.moved_glyphs(forward, glyphs)
        boxes = warp.moved_boxes(forward, boxes, image.size, image.size)
    if wear.blur:
        image = image.filter(ImageFilter.BoxBlur(wear.blur * width / 1000))
    shade = _shade(wear)
    if shade is not None:
        image = ImageChops.multiply(image, shade.resize(image.size, Image.Resampling.BILINEAR).convert("RGB"))
    if wear.contrast != 1.0 or wear.noise:
        image = _grain(image, wear)
    if wear.specks or wear.streaks:
        image = _dust(image, wear)
    if wear.jpeg is not None:
        data = io.BytesIO()
        image.save(data, "JPEG", quality=wear.jpeg)
        image = Image.open(data).convert("RGB")
    return replace(page, pixels=np.asarray(image), glyphs=glyphs, boxes=boxes)


def _shade(wear: Wear) -> Image.Image | None:
    """Brightness of the page as a small grey picture."""
    if wear.light is None and wear.band is None:
        return None
    grid = np.linspace(0, 1, 32)
    a, b, c, d = wear.light or (1.0, 1.0, 1.0, 1.0)
    across, down = np.meshgrid(grid, grid)
    light = (a * (1 - across) + b * across) * (1 - down) + (d * (1 - across) + c * across) * down
    if wear.band is not None:
        position, breadth, darkness, upright = wear.band
        away = ((across if upright else down) - position) / breadth
        light *= 1 - darkness * np.exp(-(away**2))
    return Image.fromarray((np.clip(light, 0, 1) * 255).astype(np.uint8))


def _grain(image: Image.Image, wear: Wear) -> Image.Image:
    """Contrast towards light grey, then noise that is the same in all three colours."""
    if wear.contrast != 1.0:
        lift = 235 * (1 - wear.contrast)
        table = [min(255, round(level * wear.contrast + lift)) for level in range(256)]
        image = image.point(table * 3)
    if wear.noise:
        grain = _window(*image.size, *wear.noise_at)
        dark = grain.point([max(0, round((128 - v) / 40 * wear.noise)) for v in range(256)])
        light = grain.point([max(0, round((v - 128) / 40 * wear.noise)) for v in range(256)])
        image = ImageChops.subtract(image, Image.merge("RGB", (dark, dark, dark)))
        image = ImageChops.add(image, Image.merge("RGB", (light, light, light)))
    return image


def _dust(image: Image.Image, wear: Wear) -> Image.Image:
    """Specks of one to three pixels, two of three of them dark, and streaks down the page."""
    levels = np.array(image)
    height, width, _ = levels.shape
    random = np.random.Generator(np.random.PCG64(588 * wear.noise_at[0] + wear.noise_at[1]))
    count = round(wear.specks * height * width / 1000)
    x, y = random.integers(0, width - 2, count), random.integers(0, height - 2, count)
    shade = np.where(random.random(count) < 2 / 3, 60, 250)[:, None]
    size = random.integers(1, 4, count)
    for step in range(3):
        some = size > step
        levels[y[some] + step // 2, x[some] + (step + 1) // 2] = shade[some]
    for position, darkness in wear.streaks:
        at = int(position * (width - 2))
        levels[:, at : at + 2] = np.maximum(levels[:, at : at + 2].astype(int) - darkness, 0)
    return Image.fromarray(levels)


def _window(width: int, height: int, x: int, y: int) -> Image.Image:
    sheet = _noise()
    down, across = -(-(y + height) // len(sheet)), -(-(x + width) // len(sheet))
    if down > 1 or across > 1:
        sheet = np.tile(sheet, (down, across))
    return Image.fromarray(sheet[y : y + height, x : x + width])


@lru_cache(maxsize=1)
def _noise() -> Pixels:
    """One fixed sheet of grain, 128 ± 40; pages take different windows of it."""
    values = np.random.Generator(np.random.PCG64(20261105)).normal(128, 40, (1600, 1600))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
