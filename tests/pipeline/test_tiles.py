"""Tiling against two references: a slow one written from the description, and transformers' own."""

import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.tiles import SIDE, grid, split, upright


def noise(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Random pixels: any difference in resampling, order or rounding shows."""
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).convert(mode)


def by_the_book(image: Image.Image, max_tiles: int) -> np.ndarray:
    """The five published steps, one crop at a time."""
    image = image.convert("RGB")
    shape = image.width / image.height
    grids = {(i, j) for n in range(1, max_tiles + 1) for i in range(1, n + 1) for j in range(1, n + 1)}
    best, nearest = (1, 1), float("inf")
    for i, j in sorted((g for g in grids if g[0] * g[1] <= max_tiles), key=lambda g: g[0] * g[1]):
        distance = abs(shape - i / j)
        if distance < nearest:
            best, nearest = (i, j), distance
        elif distance == nearest and image.width * image.height > 0.5 * 448 * 448 * i * j:
            best = (i, j)
    columns, rows = best
    whole = image.resize((448 * columns, 448 * rows))
    parts = []
    for n in range(columns * rows):
        left, top = n % columns * 448, n // columns * 448
        parts.append(whole.crop((left, top, left + 448, top + 448)))
    if len(parts) != 1:
        parts.append(image.resize((448, 448)))
    return np.stack([np.asarray(part) for part in parts])


@pytest.mark.medium
@settings(max_examples=40)
@given(
    width=st.integers(1, 1500),
    height=st.integers(1, 1500),
    max_tiles=st.integers(1, 12),
    seed=st.integers(0, 9),
)
@example(width=3, height=2, max_tiles=6, seed=0)
@example(width=1, height=1500, max_tiles=12, seed=0)
@example(width=896, height=448, max_tiles=12, seed=0)
def test_every_size_is_cut_as_the_reference_cuts_it(
    width: int, height: int, max_tiles: int, seed: int
) -> None:
    image = noise(width, height, seed=seed)
    tiles = split(image, max_tiles)
    assert tiles.dtype == np.uint8
    assert np.array_equal(tiles, by_the_book(image, max_tiles))


@pytest.mark.medium
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LAB", "RGBX"])
def test_every_opaque_mode_is_cut_as_the_reference_cuts_it(mode: str) -> None:
    image = noise(700, 900).convert("RGB")
    image = Image.frombytes("LAB", image.size, image.tobytes()) if mode == "LAB" else image.convert(mode)
    assert np.array_equal(split(image, 6), by_the_book(image, 6))


@pytest.mark.slow  # importing transformers takes seconds
@pytest.mark.parametrize("size", [(1654, 2339), (2339, 1654), (1080, 1920), (3, 2), (640, 640), (4000, 90)])
@pytest.mark.parametrize("max_tiles", [6, 12])
def test_equal_to_the_image_processor_of_transformers(size: tuple[int, int], max_tiles: int) -> None:
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    processor = GotOcr2ImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, crop_to_patches=True, max_patches=max_tiles, do_rescale=False,
        do_normalize=False,
    )  # fmt: skip
    image = noise(*size)
    theirs = processor(image, return_tensors="np")["pixel_values"].transpose(0, 2, 3, 1)
    assert np.array_equal(split(image, max_tiles), theirs.astype(np.uint8))


@pytest.mark.parametrize(
    ("width", "height", "max_tiles", "expected"),
    [
        (1654, 2339, 6, (2, 3)),
        (1654, 2339, 12, (2, 3)),
        (2339, 1654, 6, (3, 2)),
        (2339, 1654, 12, (4, 3)),
        (1080, 1920, 6, (1, 2)),
        (1080, 1920, 12, (2, 4)),
        (10_000, 10, 6, (6, 1)),
        (10, 10_000, 6, (1, 6)),
        (448, 448, 12, (1, 1)),
        (1000, 1000, 12, (3, 3)),  # a tie between 1×1, 2×2 and 3×3: the larger, when more than half full
        (300, 300, 12, (1, 1)),
    ],
)
def test_the_grid_of_known_papers(width: int, height: int, max_tiles: int, expected: tuple[int, int]) -> None:
    assert grid(width, height, max_tiles) == expected


def test_the_grid_respects_a_lower_bound() -> None:
    assert grid(448, 448, 6, min_tiles=4) == (2, 2)
    with pytest.raises(ValueError, match="leaves no grid"):
        grid(448, 448, 3, min_tiles=4)
    with pytest.raises(ValueError, match="cannot be tiled"):
        grid(0, 448, 3)


def test_transparency_lies_on_white_paper() -> None:
    hidden = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    hidden.putpixel((5, 5), (10, 20, 30, 255))
    seen = upright(hidden)
    assert seen.getpixel((0, 0)) == (255, 255, 255)
    assert seen.getpixel((5, 5)) == (10, 20, 30)
    for mode in ("LA", "La", "PA", "RGBa"):
        assert upright(Image.new(mode, (4, 4))).getpixel((0, 0)) == (255, 255, 255)


def test_the_transparent_colour_of_a_palette_is_paper() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 9, 9, 9])
    image.putpixel((0, 0), 0)
    stored = io.BytesIO()
    image.save(stored, "PNG", transparency=0)
    seen = upright(Image.open(stored))
    assert seen.getpixel((0, 0)) == (255, 255, 255)
    assert seen.getpixel((1, 1)) == (9, 9, 9)


def test_sixteen_bits_are_scaled_not_cut() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    stored = io.BytesIO()
    Image.fromarray(ramp).save(stored, "PNG")
    for image in (Image.fromarray(ramp), Image.open(stored), Image.fromarray(ramp.astype(np.int32))):
        assert np.array_equal(np.asarray(upright(image))[:, :, 0].ravel(), np.arange(256))
    unit = Image.fromarray(np.array([[0.0, 0.5, 1.0, np.nan]], np.float32))
    assert np.asarray(upright(unit))[0, :, 0].tolist() == [0, 128, 255, 0]


def test_a_photo_is_turned_as_its_camera_was() -> None:
    image = Image.new("RGB", (40, 20), "white")
    image.paste((0, 0, 0), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn clockwise
    stored = io.BytesIO()
    image.save(stored, "JPEG", exif=exif)
    seen = upright(Image.open(stored))
    assert seen.size == (20, 40)
    assert seen.getpixel((10, 2))[0] < 50 and seen.getpixel((10, 37))[0] > 200


def test_a_cmyk_jpeg_is_not_a_negative() -> None:
    stored = io.BytesIO()
    Image.new("CMYK", (16, 16), (0, 0, 0, 0)).save(stored, "JPEG")
    assert min(upright(Image.open(stored)).getpixel((8, 8))) > 250


def test_an_rgb_image_is_taken_as_it_is() -> None:
    image = noise(10, 10)
    assert upright(image) is image
