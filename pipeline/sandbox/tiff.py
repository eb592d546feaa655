"""Which of a TIFF's directories are pages, by the file's own chain of them (TIFF 6.0, section 2; BigTIFF),
and which of its parts are not as they were written.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import Permanent, Reason

_WIDTH, _LENGTH = 256, 257
_BITS, _PHOTOMETRIC, _FILL, _SAMPLES, _ROWS, _PLANES = 258, 262, 266, 277, 278, 284
_TILE_WIDTH, _TILE_LENGTH, _YCBCR = 322, 323, 6
_AT_ONCE = 1 << 20  # bytes of decoded pixels that are held while a checksum is made
_NEW_KIND, _OLD_KIND = 254, 255  # NewSubfileType: bits; SubfileType: 2 is a smaller version
_SMALLER, _MASK = 1, 4
_NUMBERS = {3: "H", 4: "I", 16: "Q"}  # types of a directory's entries: SHORT, LONG, LONG8


@dataclass(frozen=True, slots=True)
class _Layout:
    order: str
    count: str
    entry: str  # tag, type, number of values; then the value, or where it stands
    value: int  # bytes
    offset: str


@dataclass(frozen=True, slots=True)
class Directories:
    """`pages`: the places in the chain of those that are pages; `damage`: why the chain ends early, if so."""

    pages: tuple[int, ...]
    damage: str | None


def directories(data: mmap.mmap, most: int) -> Directories:
    """The chain as far as it can be followed, or until there are more than `most` pages.

    Where it leads nowhere it is ended in `data`, a private copy, because decoders follow it too. A smaller
    version of another picture and a mask are no pages, unless there is nothing else. Raises
    Permanent if there is no directory.
    """
    layout, pointer = _start(data)
    place = _offset(data, layout, pointer)
    kinds: list[int] = []
    seen: set[int] = set()
    damage = None
    while place and place not in seen and len(kinds) <= 2 * most:
        seen.add(place)
        found = _directory(data, layout, place)
        if found is None:
            damage = f"its list of pages breaks off at byte {place:,} of {len(data):,}"
            if kinds:
                data[pointer : pointer + struct.calcsize(layout.offset)] = bytes(
                    struct.calcsize(layout.offset)
                )
            break
        kind, pointer = found
        kinds.append(kind)
        place = _offset(data, layout, pointer)
    if not kinds:
        raise Permanent(Reason.image_damaged, f"the TIFF has no pages: {damage or 'none is listed'}")
    pages = tuple(number for number, kind in enumerate(kinds) if not kind & (_SMALLER | _MASK))
    return Directories(pages or tuple(range(len(kinds))), damage)


def is_deflated_whole(part: bytes) -> bool:
    """Whether a strip or tile that is compressed by Deflate agrees with the checksum at its end.

    libtiff stops at the last pixel, before the checksum (Adler-32, RFC 1950), and never looks at it. What is
    missing altogether it finds itself.
    """
    stream = zlib.decompressobj()
    try:
        while part and not stream.eof:
            stream.decompress(part, _AT_ONCE)
            part = stream.unconsumed_tail
    except zlib.error:
        return False
    return True


def lengths(tags: Mapping[int, Any]) -> tuple[tuple[int, ...], ...]:
    """The bytes that each strip or tile of a page may unpack to; nothing where that is not plain to see.

    The last strip may have the rows that the picture has, or as many as the others.
    """
    width, height, samples = int(tags[_WIDTH]), int(tags[_LENGTH]), int(tags.get(_SAMPLES, 1))
    bits = set(tags.get(_BITS, (1,)))
    planes = samples if tags.get(_PLANES, 1) == 2 else 1
    if len(bits) > 1 or tags.get(_PHOTOMETRIC) == _YCBCR or tags.get(_FILL, 1) != 1:
        return ()
    across = int(bits.pop()) * samples // planes  # bits
    if _TILE_WIDTH in tags:
        wide, high = max(1, int(tags[_TILE_WIDTH])), max(1, int(tags[_TILE_LENGTH]))
        count = -(-width // wide) * -(-height // high)
        return (((wide * across + 7) // 8 * high,),) * (count * planes)
    row = (width * across + 7) // 8
    rows = max(1, min(int(tags.get(_ROWS, height)), height))
    whole = -(-height // rows) - 1  # strips before the last
    return (*((rows * row,),) * whole, (row * (height - rows * whole), rows * row)) * planes


def strips(tags: Mapping[int, Any]) -> list[tuple[int, int]]:
    """(width, height) in pixels of each strip of a page; none if it has tiles, or its bits another order."""
    width, height = int(tags[_WIDTH]), int(tags[_LENGTH])
    if _TILE_WIDTH in tags or tags.get(_FILL, 1) != 1:
        return []
    rows = max(1, min(int(tags.get(_ROWS, height)), height))
    return [(width, min(rows, height - start)) for start in range(0, height, rows)]


def _start(data: mmap.mmap) -> tuple[_Layout, int]:
    """How the file is written, and where it says where its first directory stands."""
    order = "<" if data[:2] == b"II" else ">"
    if data[2:4] in (b"+\0", b"\0+"):
        return _Layout(order, "Q", "HHQ", 8, "Q"), 8
    return _Layout(order, "H", "HHI", 4, "I"), 4


def _offset(data: mmap.mmap, layout: _Layout, at: int) -> int:
    (place,) = struct.unpack_from(layout.order + layout.offset, data[at : at + 8].ljust(8, b"\0"))
    return int(place)


def _directory(data: mmap.mmap, layout: _Layout, place: int) -> tuple[int, int] | None:
    """(what kind of picture it is, where it says where the next one stands); None if none is there."""
    head, order = struct.calcsize(layout.count), layout.order
    if not 0 < place <= len(data) - head:
        return None
    (count,) = struct.unpack(order + layout.count, data[place : place + head])
    size = struct.calcsize("=" + layout.entry) + layout.value
    end = place + head + count * size
    tail = struct.calcsize(layout.offset)
    if end + tail > len(data):
        return None
    found: dict[int, int] = {}
    for at in range(place + head, end, size):
        tag, kind, _ = struct.unpack(order + layout.entry, data[at : at + size - layout.value])
        if tag in (_NEW_KIND, _OLD_KIND, _WIDTH, _LENGTH) and kind in _NUMBERS:
            (found[tag],) = struct.unpack_from(
                order + _NUMBERS[kind], data[at + size - layout.value : at + size]
            )
        elif tag > _LENGTH:  # they are in order
            break
    if _WIDTH not in found or _LENGTH not in found:
        return None
    return found.get(_NEW_KIND, _SMALLER if found.get(_OLD_KIND) == 2 else 0), end
