"""QR codes on a page's pixels, by zxing-cpp.

A code is evidence beside the print: its text is compared with what was read, never put in its place.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import zxingcpp
from PIL import Image

from pipeline.records import Box, Code, Pixels

# Only QR is looked for: no check uses another code, and a search for all of them costs ten times as much.
_FORMATS = zxingcpp.barcode_formats_from_str("QRCode")

_LARGE = 16_000_000  # pixels: a larger page is also searched at a quarter of its size
_SMALL = 1_500_000  # pixels: a smaller page is also searched at twice its size


def read(pixels: Pixels) -> tuple[Code, ...]:
    """The codes on a page, uint8 [height, width, 3], at any angle, from the top down.

    Where the page as it is shows no code, it is searched again made smaller, in which noise drowns, and, if
    it is small, doubled, in which tiny modules open up.
    """
    page = Image.fromarray(pixels).convert("L")
    for view in _views(page):
        codes = [_code(found, view.width, view.height) for found in _search(view)]
        if codes:
            return tuple(sorted(codes, key=lambda code: (code.box or (0, 0, 0, 0))[1::-1]))
    return ()


def _views(page: Image.Image) -> Iterator[Image.Image]:
    area = page.width * page.height
    yield page
    yield _scaled(page, 0.5)
    if area > _LARGE:
        yield _scaled(page, 0.25)
    if area < _SMALL:
        yield _scaled(page, 2.0)


def _scaled(page: Image.Image, scale: float) -> Image.Image:
    size = (max(1, round(page.width * scale)), max(1, round(page.height * scale)))
    return page.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)


def _search(view: Image.Image) -> list[zxingcpp.Barcode]:
    found = zxingcpp.read_barcodes(np.asarray(view), formats=_FORMATS, text_mode=zxingcpp.TextMode.Plain)
    return [code for code in found if code.valid and code.bytes]


def _code(found: zxingcpp.Barcode, width: int, height: int) -> Code:
    try:
        text = found.bytes.decode("utf-8")  # what cards and invoices hold, mostly without saying so
    except UnicodeDecodeError:
        text = found.text
    return Code("qr", text, _box(found.position, width, height))


def _box(position: zxingcpp.Position, width: int, height: int) -> Box:
    corners = (position.top_left, position.top_right, position.bottom_right, position.bottom_left)
    across = [min(max(corner.x / width, 0.0), 1.0) for corner in corners]
    down = [min(max(corner.y / height, 0.0), 1.0) for corner in corners]
    return (min(across), min(down), max(across), max(down))
