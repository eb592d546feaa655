"""A page image becomes tiles: InternVL's "dynamic high resolution", bit for bit.

The model was trained on tiles cut in exactly this way (which grid, which resampling, thumbnail last), so the
steps after `upright` are the reference's own. `upright` is what happens before them: it makes an image of any
mode into the RGB picture that a person sees.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageOps

from pipeline.records import Pixels

SIDE = 448  # pixels of a tile's edge
_WHITES = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)  # of 8, 10, 12, 14 and 16 bits


def grid(width: int, height: int, max_tiles: int, min_tiles: int = 1) -> tuple[int, int]:
    """(columns, rows) for a page of `width` × `height` pixels: the grid whose shape is nearest to the page's.

    Among equally near grids the larger wins only if the page has more than half the grid's pixels. Raises
    ValueError for a size below one pixel or bounds that leave no grid.
    """
    if width < 1 or height < 1:
        raise ValueError(f"an image of {width}×{height} pixels cannot be tiled")
    if not 1 <= min_tiles <= max_tiles:
        raise ValueError(f"from {min_tiles} to {max_tiles} tiles leaves no grid: 1 ≤ min_tiles ≤ max_tiles")
    shape = width / height
    best, nearest = (1, 1), float("inf")
    for columns, rows in _grids(max_tiles, min_tiles):
        distance = abs(shape - columns / rows)
        tied_and_filled = distance == nearest and width * height > 0.5 * SIDE * SIDE * columns * rows
        if distance < nearest or tied_and_filled:
            best, nearest = (columns, rows), distance
    return best


def split(image: Image.Image, max_tiles: int) -> Pixels:
    """Tiles of `image`, uint8 [n, 448, 448, 3], row by row, the thumbnail last when there is more than one.

    The image is made `upright` first; an RGB image without an orientation tag is taken as it is.
    """
    image = upright(image)
    return cut(image, grid(image.width, image.height, max_tiles))


def cut(image: Image.Image, cells: tuple[int, int]) -> Pixels:
    """As `split`, of an upright RGB image into so many columns and rows."""
    columns, rows = cells
    tiles = columns * rows
    result = np.empty((tiles + (tiles > 1), SIDE, SIDE, 3), np.uint8)
    whole = image.resize((SIDE * columns, SIDE * rows), Image.Resampling.BICUBIC)
    laid = np.asarray(whole).reshape(rows, SIDE, columns, SIDE, 3)
    result[:tiles].reshape(rows, columns, SIDE, SIDE, 3)[:] = laid.swapaxes(1, 2)
    if tiles > 1:
        result[tiles] = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return result


def upright(image: Image.Image) -> Image.Image:
    """`image` as a person sees it: turned as its EXIF says, transparency on white, 8 bits a channel, RGB.

    PIL's own conversion cuts 16-bit grey off at 255 and shows the hidden colour under transparency.
    """
    if image.getexif().get(0x0112, 1) != 1:  # the orientation tag; asking first spares a copy
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bit(image)
    if image.has_transparency_data:
        seen = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        paper = Image.new("RGBA", seen.size, "white")
        image = Image.alpha_composite(paper, seen)
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache
def _grids(max_tiles: int, min_tiles: int) -> tuple[tuple[int, int], ...]:
    """Every (columns, rows) within the bounds, by number of tiles.

    Grids of equal number stay in the order of a Python set, because the reference leaves them so. The order
    decides nothing while min_tiles is 1, but does in exact ties above it.
    """
    found = {
        (columns, rows)
        for longest in range(min_tiles, max_tiles + 1)
        for columns in range(1, longest + 1)
        for rows in range(1, longest + 1)
        if min_tiles <= columns * rows <= max_tiles
    }
    return tuple(sorted(found, key=lambda cell: cell[0] * cell[1]))


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, 32 bits or floating point as 8-bit grey, black staying black.

    White is the smallest usual top that holds the brightest pixel, because cameras and scanners put 10, 12
    and 14 bits into 16; failing that the brightest pixel itself.
    """
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0, neginf=0)
    low, high = min(float(values.min()), 0.0), float(values.max())
    usual = (1.0, *_WHITES) if image.mode == "F" else _WHITES
    top = next((white for white in usual if low == 0 and high <= white), high)
    scaled = (values - low) * (255 / (top - low) if top > low else 0.0)
    return Image.fromarray(np.rint(scaled).astype(np.uint8))
