"""What of a GIF's first picture is not there, or not as it was written (GIF89a)."""

from __future__ import annotations

import mmap

from pipeline.sandbox import lzw

_EXTENSION, _PICTURE, _TRAILER = 0x21, 0x2C, 0x3B
_MOST = 16 * 2**20  # bytes of a picture that are looked through: a second of work


def damage(data: bytes | mmap.mmap) -> str | None:
    """In words, or None. What decoders say themselves may be told again."""
    try:
        return _damage(data)
    except IndexError:
        return "the file ends in the middle"


def _damage(data: bytes | mmap.mmap) -> str | None:
    at = 13 + _colours(data[10])
    while data[at] == _EXTENSION:
        _, at = _blocks(data, at + 2)
    if data[at] != _PICTURE:
        return "no picture stands where one must"
    width, height = (int.from_bytes(data[at + n : at + n + 2], "little") for n in (5, 7))
    at += 10 + _colours(data[at + 9])
    coded, end = _blocks(data, at + 1)
    coding = lzw.Coding(data[at], first_high=False)
    if len(coded) <= _MOST and 1 < coding.symbol <= 8 and not lzw.holds(coded, coding, (width * height,)):
        return "its pixels are not as many as the picture has"
    return (
        None
        if data[end] in (_EXTENSION, _PICTURE, _TRAILER)
        else "what stands behind the picture is none of a GIF's parts"
    )


def _colours(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks(data: bytes | mmap.mmap, at: int) -> tuple[bytes, int]:
    """What the blocks from `at` on hold, and where what follows them stands. Raises IndexError."""
    held = []
    while size := data[at]:
        held.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return b"".join(held), at + 1
