"""Machine-readable parts of a card: the QR code, and the chip, silhouette and fields that are only drawn."""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np
import segno
from PIL import Image, ImageDraw

from pipeline.records import Pixels

QUIET = 2  # modules of white around a code


def qr(text: str) -> Pixels:
    """A QR code as uint8 [n, n], 0 dark and 255 light, one entry a module, white border included."""
    code = segno.make(text, error="l", boost_error=False, micro=False, encoding="utf-8")
    return np.array(
        [[0 if dark else 255 for dark in row] for row in code.matrix_iter(border=QUIET)], np.uint8
    )


@lru_cache(maxsize=32)
def idle_qr(index: int) -> Pixels:
    """One of a few codes that say only "specimen": training needs the look of a code, not its text."""
    filler = "".join(Random(index).choices("0123456789ABCDEF", k=120))
    return qr(f"SPECIMEN {index} {filler}")


@lru_cache(maxsize=16)
def silhouette(tone: int) -> Image.Image:
    """A plain head and shoulders of nobody, on a plain ground."""
    image = Image.new("RGB", (120, 160), (205 + tone % 3 * 12, 212 + tone % 4 * 8, 220 + tone % 5 * 6))
    draw = ImageDraw.Draw(image)
    grey = 120 + tone * 4
    draw.ellipse((36, 30, 84, 92), fill=(grey, grey, grey + 6))
    draw.ellipse((8, 96, 112, 220), fill=(grey, grey, grey + 6))
    return image
