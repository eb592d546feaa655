"""What makes a picture of a page useless, planted on purpose: each is one of `pipeline.quality.verdicts`.

    plant(pixels, "glare", rng)   the same page with a reflection on it

They go on top of whatever happened to the page before, as a clean page or a photo.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from pipeline.quality import verdicts
from pipeline.records import Pixels

Plane = npt.NDArray[np.float32]  # [height, width]


def plant(pixels: Pixels, defect: str, rng: Random) -> Pixels:
    """The page, uint8 [height, width, 3], with one defect; it may have another size then."""
    image = _PLANTED[defect](Image.fromarray(pixels), rng)
    if rng.random() < 0.6:  # it is saved once more
        data = io.BytesIO()
        image.save(data, "JPEG", quality=rng.randint(70, 95))
        image = Image.open(data).convert("RGB")
    return np.asarray(image)


def _blurred(image: Image.Image, rng: Random) -> Image.Image:
    """Out of focus, or moved while it was taken."""
    longer = max(image.size)
    if rng.random() < 0.65:
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.0028, 0.007) * longer))
    length = rng.uniform(0.010, 0.024) * longer
    angle = rng.uniform(0, math.pi)
    count = math.ceil(length)
    total = np.zeros((image.height, image.width, 3), np.float32)
    for step in np.linspace(-length / 2, length / 2, count):
        total += np.asarray(
            ImageChops.offset(image, round(step * math.cos(angle)), round(step * math.sin(angle)))
        )
    return Image.fromarray((total / count).astype(np.uint8))


def _glare(image: Image.Image, rng: Random) -> Image.Image:
    """A lamp or a window in the plastic: white in the middle, fading outwards."""
    width, height = image.size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x0, y0 = rng.uniform(0.25, 0.8) * width, rng.uniform(0.25, 0.75) * height
    angle = rng.uniform(0, math.pi)
    along = (x - x0) * math.cos(angle) + (y - y0) * math.sin(angle)
    across = (y - y0) * math.cos(angle) - (x - x0) * math.sin(angle)
    radius = rng.uniform(0.07, 0.16) * width
    length = radius * rng.choice((1.0, 1.0, 1.6, 2.5))
    away = np.sqrt((along / length) ** 2 + (across / radius) ** 2)
    strength = np.clip((1 - away) / rng.uniform(0.1, 0.6) + 0.5, 0, 1) * rng.uniform(0.93, 1.0)
    levels = np.asarray(image, np.float32)
    levels = levels + (255 - levels) * strength[..., None]
    return Image.fromarray(levels.astype(np.uint8))


def _cut(image: Image.Image, rng: Random) -> Image.Image:
    """A side or a corner outside of the picture, or a corner that something lies on."""
    width, height = image.size
    what = rng.random()
    if what < 0.3:
        return _covered(image, rng)
    # Of a photo the table goes first: 8% of its side at most.
    least = 0.18
    left, top, right, bottom = 0.0, 0.0, 1.0, 1.0
    share = rng.uniform(least, 0.32)
    if rng.random() < 0.5:
        left, right = (share, 1.0) if rng.random() < 0.5 else (0.0, 1 - share)
    else:
        top, bottom = (share, 1.0) if rng.random() < 0.5 else (0.0, 1 - share)
    if what < 0.6:  # a corner
        share = rng.uniform(least, 0.32)
        if (left, right) == (0.0, 1.0):
            left, right = (share, 1.0) if rng.random() < 0.5 else (0.0, 1 - share)
        else:
            top, bottom = (share, 1.0) if rng.random() < 0.5 else (0.0, 1 - share)
    return image.crop(
        (round(left * width), round(top * height), round(right * width), round(bottom * height))
    )


def _covered(image: Image.Image, rng: Random) -> Image.Image:
    """A corner with a thumb on it, folded back, or broken off."""
    width, height = image.size
    legs = [rng.uniform(0.25, 0.45) * height for _ in range(2)]
    right, low = rng.random() < 0.5, rng.random() < 0.5
    x, step_x = (width, -1) if right else (0, 1)
    y, step_y = (height, -1) if low else (0, 1)
    mask = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(mask)
    colour = rng.choice(((200, 158, 132), (60, 58, 60), (148, 116, 86), (120, 122, 126), (250, 250, 250)))
    if colour[0] == 200:
        draw.ellipse((x - legs[0], y - legs[1], x + legs[0], y + legs[1]), fill=255)
    else:
        draw.polygon([(x, y), (x + step_x * legs[0], y), (x, y + step_y * legs[1])], fill=255)
    image = image.copy()
    image.paste(colour, mask=mask.filter(ImageFilter.GaussianBlur(1.2)))
    return image


def _recaptured(image: Image.Image, rng: Random) -> Image.Image:
    """Shown on a screen and photographed from there: its red, green and blue stripes, and their moiré."""
    if rng.random() < 0.35:
        return _fringes(image, rng)
    width, height = image.size
    pitch = rng.uniform(1.6, 4.0)  # pixels of the photo in one of the screen
    angle = math.radians(rng.uniform(-8, 8))
    tilt = rng.uniform(-0.06, 0.06) / width
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    stripes = np.zeros((height, width, 3), np.float32)
    spots = (-1 / 3, 0.0, 1 / 3)  # a pixel of the sensor sees an area, not a point
    for dx in spots:
        for dy in spots:
            away = 1 + tilt * (x + dx - width / 2)
            u = ((x + dx) * math.cos(angle) + (y + dy) * math.sin(angle)) / pitch * away
            v = ((y + dy) * math.cos(angle) - (x + dx) * math.sin(angle)) / pitch * away
            row = _stripe(v, 0.5, 0.42)
            for band in range(3):
                stripes[..., band] += _stripe(u, (2 * band + 1) / 6, 0.22) * row
    stripes /= stripes.mean(axis=(0, 1))
    strength = rng.uniform(0.25, 0.7)
    levels = np.asarray(image, np.float32) * (1 - strength + strength * stripes)
    image = Image.fromarray(np.clip(levels * rng.uniform(0.85, 1.0), 0, 255).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.6)))


def _fringes(image: Image.Image, rng: Random) -> Image.Image:
    """What is left of a screen too fine for the camera: coloured waves, a little bent."""
    width, height = image.size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle, period = rng.uniform(0, math.pi), rng.uniform(4.0, 20.0)
    bend = rng.uniform(-0.05, 0.05) / width
    along = x * math.cos(angle) + y * math.sin(angle)
    phase = 2 * math.pi / period * along * (1 + bend * along)
    depth, shift = rng.uniform(0.06, 0.2), rng.choice((0.0, 0.0, 2.1))
    waves = np.stack([1 + depth * np.sin(phase + shift * band) for band in range(3)], axis=2)
    return Image.fromarray(np.clip(np.asarray(image, np.float32) * waves * 0.95, 0, 255).astype(np.uint8))


def _stripe(place: Plane, centre: float, half: float) -> Plane:
    """1 within `half` of `centre` in each unit of length, 0 between, with soft sides."""
    away = np.abs((place - centre + 0.5) % 1.0 - 0.5)
    stripe: Plane = np.clip((half - away) / 0.1 + 0.5, 0, 1)
    return stripe


def _small(image: Image.Image, rng: Random) -> Image.Image:
    """From far away, or made small to be sent."""
    share = rng.uniform(0.2, 0.4)
    size = (round(image.width * share), round(image.height * share))
    return image.resize(size, rng.choice((Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)))


_PLANTED: Mapping[str, Callable[[Image.Image, Random], Image.Image]] = {
    verdicts.BLURRED: _blurred,
    verdicts.GLARE: _glare,
    verdicts.CUT: _cut,
    verdicts.RECAPTURED: _recaptured,
    verdicts.SMALL: _small,
}
