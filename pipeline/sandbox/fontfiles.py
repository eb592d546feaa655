"""Whether a PDF's font brings its glyphs along in a file that can be read.

A renderer takes another face for one whose file is cut or no font, as for one that is not embedded, and says
nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from pikepdf import Stream

from pipeline.sandbox import filters
from pipeline.sandbox.filters import End

NAMES = ("/FontFile", "/FontFile2", "/FontFile3")
_MOST_RAW = 4 * 2**20  # bytes; a larger file is believed
_TRUETYPE = (b"\0\1\0\0", b"true", b"OTTO", b"ttcf")
_HEAD, _ENTRY = 12, 16  # bytes of a TrueType file's head, and of each table's entry behind it (OpenType)
_OUTLINES = (b"glyf", b"CFF ", b"loca")
_MOST_TABLES = 64
_TYPE_1 = (b"%!", b"\x80\x01")
_CFF_MAJOR = 1


def is_there(descriptor: Any) -> bool:
    """`descriptor`: the font's."""
    return any(_is_font(file) for file in _files(descriptor))


def is_damaged(descriptor: Any) -> bool:
    """Whether a font's file begins as one and is not as it was written: a renderer may take what there is of
    it, and glyphs may be others or none.
    """
    return any(_is_damaged(file) for file in _files(descriptor))


def _is_damaged(file: Stream) -> bool:
    data, end = _unpacked(file)
    if not data or _kind(data) is None:
        return False
    if end is End.wrong:
        return not _agree(data)
    return end is End.cut or (_kind(data) == "truetype" and not _has_outlines(data))


def _files(descriptor: Any) -> Iterator[Stream]:
    found = (descriptor.get(name) for name in NAMES)
    yield from (file for file in found if isinstance(file, Stream))


def _unpacked(file: Stream) -> tuple[bytes | None, End]:
    """(its bytes, how they end); None for bytes that are not looked at."""
    if len(file.read_raw_bytes()) > _MOST_RAW:
        return None, End.whole
    return filters.decoded(file)


def _is_font(file: Stream) -> bool:
    data, end = _unpacked(file)
    if data is None:
        return True
    if end is End.cut or (end is End.wrong and not _agree(data)):
        return False
    kind = _kind(data)
    return _has_outlines(data) if kind == "truetype" else kind is not None


def _kind(data: bytes) -> Literal["truetype", "other"] | None:
    """What a file begins as; None for no font."""
    if data[:4] in _TRUETYPE:
        return "truetype" if data[:4] != b"ttcf" else "other"
    is_other = data.lstrip().startswith(_TYPE_1) or data[:1] == bytes([_CFF_MAJOR])
    return "other" if is_other else None


def _has_outlines(data: bytes) -> bool:
    """Whether the tables with the glyphs lie within the file."""
    tables = _tables(data)
    return bool(tables) and all(at + size <= len(data) for name, _, at, size in tables if name in _OUTLINES)


def _agree(data: bytes) -> bool:
    """Whether the tables of a TrueType file have the sums that it gives: some writers get the checksum of the
    stream around it wrong.
    """
    tables = _tables(data) if data[:4] in _TRUETYPE else []
    return bool(tables) and all(_sum(data[at : at + size]) == given for _, given, at, size in tables)


def _tables(data: bytes) -> list[tuple[bytes, int, int, int]]:
    """(name, sum, place, bytes) of each; none where their list is cut."""
    if len(data) < _HEAD:
        return []
    count = min(_MOST_TABLES, struct.unpack_from(">H", data, 4)[0])
    if len(data) < _HEAD + count * _ENTRY:
        return []
    return [struct.unpack_from(">4sIII", data, _HEAD + place * _ENTRY) for place in range(count)]


def _sum(table: bytes) -> int:
    words = np.frombuffer(table + bytes(-len(table) % 4), ">u4")
    return int(words.sum(dtype=np.uint64)) & 0xFFFFFFFF
