"""What happens to paper between the printer and the file: tilt, blur, uneven light, noise, JPEG.

The same wear moves the glyph centres and the boxes, so that truth stays where the ink is.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageFilter

from pipeline.records import Box, Pixels
from pipeline.specimens.specimen import Glyphs, Page

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wear:
    """How worn a page is. Zeros and None leave it as it is.

    corners    where the page's corners go, 4 × (dx, dy) as shares of width and height, from the top left
    surround   colour of the table that a tilted page lies on
    blur       radius in thousandths of the page's width
    light      brightness at the corners of the page, 1.0 as printed; 4 values
    band       soft shadow: (position 0..1, width 0..1, darkness 0..1, upright or lying)
    noise      standard deviation in grey levels
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
        forward = _homography(wear.corners, width, height)
        back = np.linalg.inv(forward)
        image = image.transform(
            image.size,
            Image.Transform.PERSPECTIVE,
            tuple((back / back[2, 2]).ravel()[:8]),
            Image.Resampling.BILINEAR,
            fillcolor=wear.surround,
        )
        x, y = _move(forward, glyphs.x, glyphs.y)
        glyphs = Glyphs(glyphs.characters, x.astype(np.float32), y.astype(np.float32))
        boxes = _move_boxes(forward, boxes, width, height)
    if wear.blur:
        image = image.filter(ImageFilter.BoxBlur(wear.blur * width / 1000))
    shade = _shade(wear)
    if shade is not None:
        image = ImageChops.multiply(image, shade.resize(image.size, Image.Resampling.BILINEAR).convert("RGB"))
    if wear.contrast != 1.0 or wear.noise:
        image = _grain(image, wear)
    if wear.jpeg is not None:
        data = io.BytesIO()
        image.save(data, "JPEG", quality=wear.jpeg)
        image = Image.open(data).convert("RGB")
    return replace(page, pixels=np.asarray(image), glyphs=glyphs, boxes=boxes)


def _homography(corners: tuple[tuple[float, float], ...], width: int, height: int) -> Matrix:
    """The 3×3 matrix that takes page pixels to worn pixels."""
    source = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    target = source + np.array(corners, np.float64) * (width, height)
    rows, right = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(right)), 1.0).reshape(3, 3)


def _move(
    matrix: Matrix, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    moved = matrix @ np.stack([x, y, np.ones_like(x)]).astype(np.float64)
    return moved[0] / moved[2], moved[1] / moved[2]


def _move_boxes(matrix: Matrix, boxes: Mapping[str, Box], width: int, height: int) -> dict[str, Box]:
    moved: dict[str, Box] = {}
    for path, (left, top, right, bottom) in boxes.items():
        x = np.array([left, right, right, left]) * width
        y = np.array([top, top, bottom, bottom]) * height
        u, v = _move(matrix, x, y)
        u, v = np.clip(u / width, 0, 1), np.clip(v / height, 0, 1)
        moved[path] = (float(u.min()), float(v.min()), float(u.max()), float(v.max()))
    return moved


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
