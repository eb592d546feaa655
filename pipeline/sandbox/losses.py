"""How much of a PDF's picture cannot be decoded, by its own data.

A JPEG has an end marker, a JPEG 2000 codestream the lengths of its tile-parts, JBIG2 those of its segments;
of a fax picture the lines are counted, of pixels as such the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pikepdf
from pikepdf import Dictionary, Stream

from pipeline.sandbox import fax, filters, jpeg
from pipeline.sandbox.filters import End

_JPEG = ("/DCTDecode", "/DCT")
_JPEG_2000 = ("/JPXDecode",)
_FAX = ("/CCITTFaxDecode", "/CCF")
_JBIG2 = ("/JBIG2Decode",)
_PACKED = ("/LZWDecode", "/LZW", "/RunLengthDecode", "/RL", *filters.FLATE)
_FORETELLING = ("/LZWDecode", "/LZW", *filters.FLATE)
_TAIL = 64  # bytes after a JPEG's end marker that scanners and senders add
_UNKNOWN = 0xFFFFFFFF  # the length of a JBIG2 segment that ends by a mark of its own
_COMPONENTS = {"/DeviceGray": 1, "/CalGray": 1, "/G": 1, "/Indexed": 1, "/I": 1, "/Separation": 1,
               "/DeviceRGB": 3, "/CalRGB": 3, "/RGB": 3, "/Lab": 3, "/DeviceCMYK": 4, "/CMYK": 4}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loss:
    """A picture of `size` pixels of which the part `lost` (0..1, from its lower end) is not there; 0: an
    unknown part may be wrong.
    """

    size: tuple[int, int]
    lost: float
    why: str


def of(picture: Stream) -> Loss | None:
    """What of a picture cannot be decoded; None if nothing, or if its kind does not tell."""
    size = number(picture.get("/Width")), number(picture.get("/Height"))
    if min(size) < 1:
        return None
    named = filters.named(picture)
    # A picture's own coding is the innermost filter; what stands before it is only how its bytes travel.
    outer = len(named) - (1 if named and named[-1] in _PACKED else 0)
    data, left, end = filters.without(picture, outer)
    if not left:
        lost, why = _short_of(picture, size, len(data), end)
    elif len(left) > 1:
        return None
    elif left[0] in filters.FLATE:
        lost, why = _of_deflated(picture, size, data, end)
    elif left[0] in _PACKED:
        lost, why = _of_packed(picture, size)
    elif left[0] in _JPEG:
        lost, why = _of_jpeg(data)
    elif left[0] in _JPEG_2000:
        lost, why = _of_jpeg_2000(data)
    elif left[0] in _JBIG2:
        lost, why = _of_jbig2(data)
    elif left[0] in _FAX:
        lost, why = _of_fax(filters.parameters(picture, len(named) - 1), size, data)
    else:
        return None
    if not why and end is not End.whole:
        why = str(end)
    if not why and (masked := _of_masks(picture)):
        why = f"its mask: {masked}"
    return Loss(size, lost, why) if why else None


def _of_masks(picture: Stream) -> str:
    """What is wrong with what says where a picture is seen through."""
    for name in ("/Mask", "/SMask"):
        mask = picture.get(name)
        if isinstance(mask, Stream) and "/Mask" not in mask and "/SMask" not in mask:
            found = of(mask)
            if found is not None:
                return found.why
    return ""


def number(found: Any) -> int:
    return int(found) if isinstance(found, int) else 0


def _of_deflated(picture: Stream, size: tuple[int, int], data: bytes, end: End) -> tuple[float, str]:
    total, how = 0, End.whole
    for part, how in filters.inflating(data):  # noqa: B007  (how it ended, at last)
        total += len(part)
    return _short_of(picture, size, total, how if end is End.whole else end)


def _of_packed(picture: Stream, size: tuple[int, int]) -> tuple[float, str]:
    try:
        return _short_of(picture, size, len(picture.read_bytes()), End.whole)
    except pikepdf.PdfError:
        return 0.0, "its data cannot be unpacked to their end"


def _short_of(picture: Stream, size: tuple[int, int], held: int, end: End) -> tuple[float, str]:
    """Of a picture that is pixels as such, `held` bytes of them."""
    expected = _expected(picture, size)
    if expected is None:
        return (0.5, str(End.cut)) if end is End.cut else (0.0, "")
    missing = max(0.0, 1 - held / expected)
    if missing * size[1] >= 1:
        return missing, str(End.cut)
    return (0.0, str(end)) if end is End.wrong else (0.0, "")


def _expected(picture: Stream, size: tuple[int, int]) -> int | None:
    """Bytes that a picture of this size has, undeflated; None if its colours do not tell."""
    bits = 1 if bool(picture.get("/ImageMask", False)) else int(picture.get("/BitsPerComponent", 8))
    components = 1 if bool(picture.get("/ImageMask", False)) else _components(picture.get("/ColorSpace"))
    if components is None:
        return None
    row = (size[0] * components * bits + 7) // 8
    named = filters.named(picture)
    given = filters.parameters(picture, len(named) - 1) if named and named[-1] in _FORETELLING else None
    predictor = int(given.get("/Predictor", 1)) if given is not None else 1
    return (row + (predictor >= 10)) * size[1]


def _components(space: Any) -> int | None:
    if isinstance(space, pikepdf.Array) and len(space):
        kind = str(space[0])
        if kind == "/ICCBased":
            return int(space[1].N)
        if kind == "/DeviceN":
            return len(space[1])
        return _COMPONENTS.get(kind)
    return _COMPONENTS.get(str(space)) if space is not None else None


def _of_jpeg(data: bytes) -> tuple[float, str]:
    data = data.lstrip(b"\r\n")
    if not data.startswith(b"\xff\xd8"):
        return 1.0, "it is no JPEG"
    found = jpeg.damage(data if jpeg.END in data[-_TAIL:] else data + jpeg.END)
    return found or (0.0, "")


def _of_jpeg_2000(data: bytes) -> tuple[float, str]:
    """By the lengths of its tile-parts (ISO/IEC 15444-1, annex A): SOT says how long each one is."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return 1.0, "it is no JPEG 2000 picture"
    at += 2
    while data[at : at + 2] != b"\xff\x90":
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2 or at + 2 + length > len(data):
            return 1.0, "its data break off"
        at += 2 + length
    while data[at : at + 2] == b"\xff\x90":
        length = int.from_bytes(data[at + 6 : at + 10], "big")
        if length == 0:  # until the end
            return 0.0, ""
        if at + length > len(data):
            return max(0.01, 1 - len(data) / (at + length)), "its data break off"
        at += length
    return (0.0, "") if data[at : at + 2] == b"\xff\xd9" or at >= len(data) else (0.5, "its data are damaged")


def _of_jbig2(data: bytes) -> tuple[float, str]:
    """By the lengths of its segments (ITU-T T.88, 7.2), of which those of a PDF follow one another."""
    if data.startswith(b"\x97JB2"):
        return 0.0, ""  # a whole file, which is none of those, and renderers take it or leave it
    at = 0
    while at + 11 <= len(data):
        wide_page = data[at + 4] & 0x40
        referred = data[at + 5] >> 5
        number_of_segment = int.from_bytes(data[at : at + 4], "big")
        own = 1 if number_of_segment <= 256 else 2 if number_of_segment <= 65536 else 4
        if referred == 7:
            referred = int.from_bytes(data[at + 5 : at + 9], "big") & 0x1FFFFFFF
            head = 9 + (referred + 8) // 8
        else:
            head = 6
        head += referred * own + (4 if wide_page else 1)
        length = int.from_bytes(data[at + head : at + head + 4], "big")
        if length == _UNKNOWN:
            return 0.0, ""
        at += head + 4 + length
    if at > len(data) + 2:  # some writers leave out the last bytes of the arithmetic code
        return max(0.01, 1 - len(data) / at), str(End.cut)
    return 0.0, ""


def _of_fax(given: Dictionary | None, size: tuple[int, int], data: bytes) -> tuple[float, str]:
    """Of group 4, the one that scanners write into PDFs; of group 3 nothing is said."""
    given = Dictionary() if given is None else given
    if int(given.get("/K", 0)) >= 0 or bool(given.get("/EncodedByteAlign", False)):
        return 0.0, ""
    if number(given.get("/Columns", 1728)) != size[0]:
        return 0.0, ""
    line, altered = fax.looked_through(data, size)
    if line is None:
        return 0.0, "a code in its data is none" if altered else ""
    return 1 - line / size[1], str(End.cut)
