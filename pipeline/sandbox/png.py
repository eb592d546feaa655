"""A PNG without what holds no pixel: a fault in its metadata is none of its picture (PNG, clause 5.4)."""

from __future__ import annotations

import mmap
import struct
import zlib

_MARK = 8  # bytes before the first chunk
_KEPT = (b"tRNS", b"eXIf")  # which colours are transparent; which way is up


def bare(data: mmap.mmap) -> bytes:
    """The chunks that make the picture, and of the others those that say how it is seen and are whole."""
    kept = [data[:_MARK]]
    place = _MARK
    while place + 12 <= len(data):
        length, name = struct.unpack(">I4s", data[place : place + 8])
        end = place + 12 + length
        if not name[0] & 0x20 or (name in _KEPT and _is_whole(data, place, end)):
            kept.append(data[place:end])
        place = end
    return b"".join(kept)


def _is_whole(data: mmap.mmap, place: int, end: int) -> bool:
    return zlib.crc32(data[place + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
