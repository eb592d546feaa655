"""A page on a table, seen by a telephone.

The camera is not quite above the page, and the page does not fill the picture. The table has a grain; the
page throws a shadow on it. The light falls off to one side, and whoever holds the telephone shades a part.
Optics blur a little, the sensor adds grain in all three colours, and JPEG comes last.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from pipeline.specimens import warp
from pipeline.specimens.specimen import Page

Light = npt.NDArray[np.float32]  # [rows, columns] or [rows, columns, 3]

TABLES = (
    (112, 82, 58),  # wood
    (158, 124, 90),
    (74, 56, 46),
    (60, 62, 66),  # slate
    (120, 122, 126),  # grey plastic
    (38, 40, 48),
    (176, 172, 164),  # stone
    (84, 100, 118),  # cloth
)
_COARSE = 8  # tables and light are made at an eighth of the picture's size


@dataclass(frozen=True, slots=True)
class Photo:
    """margins    left, top, right, bottom: table around the page, as shares of its longer side
    degrees    how the page is turned, clockwise
    bend       where each corner is seen beside its place, 4 × (dx, dy), as shares of width and height
    table      colour; `grain` in grey levels, `planks` how much longer than wide the grain is
    light      brightness at the corners of the picture
    shade      a soft-edged shadow over a part: (angle, degrees; where it begins, 0..1; darkness, 0..1)
    balance    gains of red, green, blue
    blur       radius in thousandths of the picture's longer side, at most 1.2 pixels
    noise      standard deviation in grey levels
    jpeg       quality
    """

    margins: tuple[float, float, float, float]
    degrees: float
    bend: tuple[tuple[float, float], ...]
    table: tuple[int, int, int]
    grain: float
    planks: float
    light: tuple[float, float, float, float]
    shade: tuple[float, float, float] | None
    balance: tuple[float, float, float]
    blur: float
    noise: float
    jpeg: int
    seed: int


def drawn(rng: Random) -> Photo:
    """A photo by chance, such as a person takes who wants it to be read."""
    dim = rng.uniform(0.55, 0.8)
    low, high = sorted(rng.sample(range(4), 2))
    corners = [rng.uniform(0.8, 1.0) for _ in range(4)]
    corners[low], corners[high] = dim, min(1.0, dim + rng.uniform(0.05, 0.25))
    warmth = rng.uniform(-0.06, 0.06)
    return Photo(
        margins=(_margin(rng), _margin(rng), _margin(rng), _margin(rng)),
        degrees=max(-5.0, min(5.0, rng.gauss(0, 1.8))),
        bend=tuple((rng.uniform(-0.018, 0.018), rng.uniform(-0.018, 0.018)) for _ in range(4)),
        table=rng.choice(TABLES),
        grain=rng.uniform(4, 14),
        planks=rng.choice((1.0, 1.0, 6.0, 14.0)),
        light=(corners[0], corners[1], corners[2], corners[3]),
        shade=(rng.uniform(0, 360), rng.uniform(0.35, 0.75), rng.uniform(0.12, 0.38))
        if rng.random() < 0.65
        else None,
        balance=(1.0 + warmth, 1.0, 1.0 - warmth),
        blur=rng.uniform(0.3, 0.8),
        noise=rng.uniform(2.0, 6.0),
        jpeg=rng.randint(60, 88),
        seed=rng.randrange(2**32),
    )


def _margin(rng: Random) -> float:
    return rng.uniform(0.025, 0.08)


def apply(page: Page, photo: Photo) -> Page:
    """The page in the photo, with glyphs and boxes moved along. Its backdrop and runs stay as they were."""
    height, width = page.pixels.shape[:2]
    corners = _seen(photo, width, height)
    longer = max(width, height)
    left, top, right, bottom = (margin * longer for margin in photo.margins)
    corners += (left, top) - corners.min(axis=0)
    size = (round(float(corners[:, 0].max()) + right), round(float(corners[:, 1].max()) + bottom))
    matrix = warp.homography(warp.corners_of(width, height), corners)
    random = np.random.Generator(np.random.PCG64(photo.seed))
    image = _table(photo, size, random)
    _throw_shadow(image, corners, longer, photo)
    sheet = Image.fromarray(page.pixels)
    mask = warp.moved_picture(Image.new("L", sheet.size, 255), matrix, size, 0)
    image.paste(warp.moved_picture(sheet, matrix, size, (0, 0, 0)), mask=mask)
    image = _developed(image, photo, random)
    return replace(
        page,
        pixels=np.asarray(image),
        glyphs=warp.moved_glyphs(matrix, page.glyphs),
        boxes=warp.moved_boxes(matrix, page.boxes, (width, height), size),
    )


def _seen(photo: Photo, width: int, height: int) -> warp.Points:
    """The page's corners, turned and bent, about its centre."""
    angle = math.radians(photo.degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    flat = warp.corners_of(width, height) - (width / 2, height / 2)
    seen: warp.Points = (flat + np.array(photo.bend) * (width, height)) @ turn.T
    return seen


def _table(photo: Photo, size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    width, height = size[0] // _COARSE + 2, size[1] // _COARSE + 2
    fine = random.normal(0, photo.grain, (height, width))
    across = max(2, round(width / 4 / photo.planks))
    coarse = random.normal(0, photo.grain, (height // 3 + 2, across))
    waves = np.asarray(
        Image.fromarray(coarse.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    )
    levels = np.array(photo.table)[None, None] + (0.35 * fine + waves)[..., None]
    table = Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
    return table.resize(size, Image.Resampling.BICUBIC)


def _throw_shadow(image: Image.Image, corners: warp.Points, longer: int, photo: Photo) -> None:
    """The page's own shadow, on the side that the light does not come from."""
    a, b, c, d = photo.light
    away = np.array([(a + d) - (b + c), (a + b) - (c + d)])
    offset = 0.008 * longer * away / max(0.05, float(np.abs(away).max()))
    mask = Image.new("L", (image.width // 4 + 1, image.height // 4 + 1), 0)
    ImageDraw.Draw(mask).polygon([tuple(point) for point in (corners + offset) / 4], fill=120)
    mask = mask.filter(ImageFilter.GaussianBlur(max(1.0, 0.006 * longer / 4)))
    image.paste((8, 8, 8), mask=mask.resize(image.size, Image.Resampling.BILINEAR))


def _light(photo: Photo, rows: int, columns: int) -> Light:
    across, down = np.meshgrid(
        np.linspace(0, 1, columns, dtype=np.float32), np.linspace(0, 1, rows, dtype=np.float32)
    )
    a, b, c, d = photo.light
    light = (a * (1 - across) + b * across) * (1 - down) + (d * (1 - across) + c * across) * down
    light *= 1 - 0.12 * ((across - 0.5) ** 2 + (down - 0.5) ** 2)  # lenses are darker towards the corners
    light /= np.percentile(light, 85)  # as the exposure meter would have it
    if photo.shade is not None:
        angle, begins, darkness = photo.shade
        along = (across - 0.5) * math.cos(math.radians(angle)) + (down - 0.5) * math.sin(math.radians(angle))
        light *= 1 - darkness / (1 + np.exp(-(along + 0.5 - begins) / 0.025))
    return light.astype(np.float32)


def _developed(image: Image.Image, photo: Photo, random: np.random.Generator) -> Image.Image:
    """Light, optics, sensor and file."""
    width, height = image.size
    coarse = Image.fromarray(_light(photo, height // _COARSE + 2, width // _COARSE + 2))
    light = np.asarray(coarse.resize(image.size, Image.Resampling.BILINEAR))
    image = image.filter(ImageFilter.GaussianBlur(min(1.2, photo.blur * max(image.size) / 1000)))
    levels = np.asarray(image, np.float32)
    levels = levels * light[..., None]
    levels *= np.array(photo.balance, np.float32)
    levels += photo.noise * _grain(height, width, random)
    data = io.BytesIO()
    Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).save(data, "JPEG", quality=photo.jpeg)
    return Image.open(data).convert("RGB")


def _grain(height: int, width: int, random: np.random.Generator) -> Light:
    """Of deviation 1, partly its own in each colour: one sheet, laid side by side."""
    side = 1024
    sheet = 0.8 * random.standard_normal((side, side, 1), np.float32)
    sheet = sheet + 0.6 * random.standard_normal((side, side, 3), np.float32)
    return np.tile(sheet, (-(-height // side), -(-width // side), 1))[:height, :width]
