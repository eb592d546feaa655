"""What every way of drawing pages has in common."""

from __future__ import annotations

import math
import mmap
import os
from dataclasses import dataclass
from typing import Protocol

from pipeline.errors import Permanent, Reason

MOST_CODES = 256  # QR codes of one page that are told of; any others, further down, are left out
LONGEST_CODE = 7089  # characters: the most that a QR code holds (ISO/IEC 18004, version 40-L, digits)


@dataclass(frozen=True, slots=True)
class PageLimits:
    """`dpi` is for drawing a PDF; a picture keeps its own pixels."""

    dpi: int
    max_pages: int
    max_pixels: int


class Drawer(Protocol):
    """One open document."""

    pages: int

    def draw(self, number: int, canvas: mmap.mmap) -> tuple[int, int]:
        """Write page `number` (from 1) to the start of `canvas` as RGB rows without gaps; (width, height).

        Raises Permanent with the page's reason code.
        """

    def close(self) -> None: ...


def mapped(file: int) -> mmap.mmap:
    """The bytes of a document, as a private copy; the descriptor is closed."""
    data = mmap.mmap(file, 0, access=mmap.ACCESS_COPY)
    os.close(file)
    return data


def within_pages(count: int, limits: PageLimits) -> int:
    """`count`, if a document may have so many pages."""
    if count > limits.max_pages:
        raise Permanent(
            Reason.too_many_pages,
            f"{count:,} pages; at most {limits.max_pages:,} are allowed (render.max_pages)",
            pages=count,
            limit=limits.max_pages,
        )
    return count


def within_pixels(width: float, height: float, limits: PageLimits) -> tuple[int, int]:
    """The size in whole pixels, if a page may have so many; asked before anything of that size is made."""
    if not (math.isfinite(width) and math.isfinite(height)):
        raise Permanent(Reason.pdf_damaged, f"the page's size is {width}×{height}")
    columns, rows = max(1, math.ceil(width)), max(1, math.ceil(height))
    if columns * rows > limits.max_pixels:
        raise Permanent(
            Reason.too_many_pixels,
            f"{columns:,}×{rows:,} pixels; at most {limits.max_pixels:,} are allowed (render.max_pixels)",
            width=columns,
            height=rows,
            limit=limits.max_pixels,
        )
    return columns, rows
