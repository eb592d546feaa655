"""What every way of drawing pages has in common."""

from __future__ import annotations

import math
import mmap
import os
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.errors import Permanent, Reason
from pipeline.flags import FlagCode

MOST_CODES = 256  # QR codes of one page that are told of; any others, further down, are left out
LARGEST_UNIT = 75_000  # points: of a page's /UserUnit
FEWEST_PIXELS = 8  # a side of a PDF's page: what is smaller is no page, but what a broken one is taken for
ANSWER_BYTES = 8 * 2**20  # the longest line that a child may say
LONGEST_CODE = 7089  # characters: the most that a QR code holds (ISO/IEC 18004, version 40-L, digits)
SIGNATURE = ("verdict", "why", "signer", "tax_code", "signed_at", "needed")  # what is told of a signature
MOST_ATTACHED = 200  # files within a PDF that are looked at
MOST_ATTACHED_BYTES = 32 * 2**20  # of one of them
LONGEST_NAME = 100  # characters of a name that are told
MOST_WORDS = 20_000  # of one page's text
MOST_LETTERS = 100_000
LONGEST_WORD = 200  # characters; a longer one is told in pieces
_LEAST_DPI = 36  # as the setting's: letters of 10 points have 5 pixels
_HAIR_LESS = 1 - 1e-6  # PDFium's sizes are single-precision: 1654.00001 pixels must not become 1655


Sides = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class PageLimits:
    """`dpi` is for drawing a PDF; a picture keeps its own pixels."""

    dpi: int
    max_pages: int
    max_pixels: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """What became of a page: (width, height) in pixels, and what a person should know of it."""

    size: tuple[int, int]
    flags: tuple[tuple[FlagCode, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """A page's text: each word with its left, top, right and bottom, 0..1 of the page as it is drawn.

    `why` says what of it is no print, or cannot be read; `trusted` is False where that is too much.
    """

    words: tuple[tuple[str, Sides], ...] = ()
    trusted: bool = True
    why: str | None = None


class Drawer(Protocol):
    """One open document."""

    pages: int

    def draw(self, number: int, canvas: mmap.mmap, unit: float = 1.0, /) -> Drawn:
        """Write page `number` (from 1) to the start of `canvas` as RGB rows without gaps.

        `unit` is that of the page in points, for who cannot read it in the file. Raises Permanent with the
        page's reason code.
        """

    def close(self) -> None: ...


class Written(Protocol):
    """An open document that is no picture, and has one page."""

    def read(self, anchors: bytes, /) -> dict[str, Any]:
        """What it says, and what its signatures are worth, JSON-ready. Raises as `draw` does.

        `anchors`: trusted certificates, as `einvoice.anchors` packs them.
        """

    def close(self) -> None: ...


class Looker(Protocol):
    """A drawer that also says what is on a page."""

    def look(self, number: int) -> tuple[float, tuple[tuple[FlagCode, str], ...]]:
        """The length of the page's unit in points, and the page's flags. Raises as `draw` does."""


class Holder(Protocol):
    """A drawer whose file may hold other files."""

    def attachments(self) -> dict[str, Any]:
        """attachments: [name, whether it is a document of a kind that is read] of each; portfolio: whether
        the file is only there to hold them.
        """

    def attachment(self, number: int, canvas: mmap.mmap) -> int:
        """Write the bytes of number `number` (from 0) to the start of `canvas`; how many, 0 for too many."""


class Speller(Protocol):
    """A drawer that also gives the text of a page."""

    def words(self, number: int, size: tuple[int, int]) -> Layer:
        """The text of page `number`, which has been drawn in so many pixels. Raises as `draw` does."""


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


def scale_of(width: float, height: float, limits: PageLimits, most: float = math.inf) -> float:
    """Pixels a point for a PDF's page of this size in points: as at `dpi`, or fewer where it is too large.

    A page that has too many pixels at `dpi` gets as many as the limit allows, and at most `most` pixels a
    point. Raises Permanent: too_many_pixels where no letter would be left of it, pdf_damaged for a page
    without a size.
    """
    if not (math.isfinite(width) and math.isfinite(height)) or min(width, height) <= 0:
        size = f"{width:g}×{height:g} points"
        raise Permanent(Reason.pdf_damaged, f"the page's size is {size}", width=0, height=0)
    scale = limits.dpi / 72 * _HAIR_LESS
    if math.ceil(width * scale) * math.ceil(height * scale) > limits.max_pixels:
        lower = min(most, math.sqrt(limits.max_pixels / (width * height)))
        if lower * 72 < _LEAST_DPI:
            within_pixels(width * scale, height * scale, limits)  # raises
        columns, rows = max(1, math.floor(width * lower)), max(1, math.floor(height * lower))
        scale = min(columns / width, rows / height) * _HAIR_LESS
    within_pixels(width * scale, height * scale, limits)
    if min(width * scale, height * scale) < FEWEST_PIXELS:
        message = f"the page is {width:g}×{height:g} points: less than {FEWEST_PIXELS} pixels a side"
        raise Permanent(Reason.pdf_damaged, message, width=round(width * scale), height=round(height * scale))
    return scale


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
