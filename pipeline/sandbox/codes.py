"""QR codes on a page's pixels, by zxing-cpp: C++ that reads what a stranger drew, so in the child."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import zxingcpp
from PIL import Image

from pipeline.sandbox.drawer import LONGEST_CODE, MOST_CODES

Found = tuple[str, tuple[float, float, float, float]]  # text; left, top, right, bottom, 0..1 of the page

# Only QR is looked for: no check uses another code, and a search for all of them costs ten times as much.
_FORMATS = zxingcpp.barcode_formats_from_str("QRCode")

_LARGE = 16_000_000  # pixels: a larger page is also searched at a quarter of its size
_SMALL = 1_500_000  # pixels: a smaller page is also searched at twice its size


def find(canvas: mmap.mmap, width: int, height: int) -> list[Found]:
    """The codes on a page at the start of `canvas`, RGB rows without gaps, at any angle, from the top down.

    The page is searched again made smaller, in which noise drowns: a large code that is read as it is may
    have a small one beside it. A small page without any is also doubled, in which tiny modules open up.
    """
    size = (width, height)
    with memoryview(canvas) as whole, whole[: 3 * width * height] as pixels:
        page = Image.frombytes("RGB", size, pixels).convert("L")
    found: list[Found] = []
    for scale in _scales(page.width * page.height):
        if scale > 1 and found:
            break
        view = page if scale == 1 else _scaled(page, scale)
        known = {text for text, _ in found}
        here = [_code(code, view.width, view.height) for code in _search(view)]
        found += [code for code in here if code[0] not in known]
    return sorted(found, key=lambda code: code[1][1::-1])[:MOST_CODES]


def _scales(area: int) -> Iterator[float]:
    yield from (1, 0.5)
    if area > _LARGE:
        yield 0.25
    if area < _SMALL:
        yield 2


def _scaled(page: Image.Image, scale: float) -> Image.Image:
    size = (max(1, round(page.width * scale)), max(1, round(page.height * scale)))
    return page.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)


def _search(view: Image.Image) -> list[zxingcpp.Barcode]:
    pixels = memoryview(view.tobytes()).cast("B", (view.height, view.width))
    found = zxingcpp.read_barcodes(pixels, formats=_FORMATS, text_mode=zxingcpp.TextMode.Plain)
    return [code for code in found if code.valid and code.bytes]


def _code(found: zxingcpp.Barcode, width: int, height: int) -> Found:
    try:
        text = found.bytes.decode("utf-8")  # what cards and invoices hold, mostly without saying so
    except UnicodeDecodeError:
        text = found.text
    return text[:LONGEST_CODE], _box(found.position, width, height)


def _box(position: zxingcpp.Position, width: int, height: int) -> tuple[float, float, float, float]:
    corners = (position.top_left, position.top_right, position.bottom_right, position.bottom_left)
    across = [min(max(corner.x / width, 0.0), 1.0) for corner in corners]
    down = [min(max(corner.y / height, 0.0), 1.0) for corner in corners]
    return (min(across), min(down), max(across), max(down))
