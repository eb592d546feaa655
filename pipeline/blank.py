"""Tiles of one colour: empty paper.

What the vision encoder makes of one serves for all others like it, and a page of nothing else is told: what
is read from it stands nowhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.flags import FlagCode
from pipeline.records import Flag

_SAMPLE = 61  # pixels apart: enough to tell nearly every tile with print on it from an empty one


def shades(tiles: npt.NDArray[np.uint8]) -> list[int | None]:
    """uint8 [n, height, width, 3] → of each the colour 0xRRGGBB of all its pixels, or None."""
    return [_shade(tile) for tile in tiles]


def told(tiles: npt.NDArray[np.uint8]) -> tuple[Flag, ...]:
    """A flag for a page, as `tiles.cut` leaves it, of which every tile is of one colour, to the last bit.

    The thumbnail does not count: where tiles are of several colours it shows their borders, and no print.
    """
    found = shades(tiles[:-1] if len(tiles) > 1 else tiles)
    if None in found:
        return ()
    colours = len(set(found))
    message = "it is of one colour" if colours == 1 else f"it is of {colours} colours, and nothing is on them"
    return (Flag(FlagCode.page_blank, message),)


def _shade(tile: npt.NDArray[np.uint8]) -> int | None:
    first = tile[0, 0]
    # The sample first: a whole tile takes a hundred times as long. Its lines are held against the first one.
    if (tile[::_SAMPLE, ::_SAMPLE] != first).any() or (tile[0] != first).any() or (tile != tile[0]).any():
        return None
    red, green, blue = first.tolist()
    return int(red << 16 | green << 8 | blue)
