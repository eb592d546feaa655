"""Whether a PDF's font brings its glyphs along in a file that can be read.

A renderer takes another face for one whose file is cut or no font, as for one that is not embedded, and says
nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pikepdf
from pikepdf import Stream

from pipeline.sandbox import filters
from pipeline.sandbox.filters import End

NAMES = ("/FontFile", "/FontFile2", "/FontFile3")
_MOST_RAW = 4 * 2**20  # bytes; a larger file is believed
_TRUETYPE = (b"\0\1\0\0", b"true", b"OTTO", b"ttcf")
_ENTRY = 16  # bytes of a table's entry in the list of a TrueType file (OpenType, "Table Directory")
_OUTLINES = (b"glyf", b"CFF ", b"loca")
_MOST_TABLES = 64
_TYPE_1 = (b"%!", b"\x80\x01")
_CFF_MAJOR = 1


def is_there(descriptor: Any) -> bool:
    """`descriptor`: the font's."""
    return any(_is_font(file) for file in _files(descriptor))


def is_altered(descriptor: Any) -> bool:
    """Whether a font's file is not as it was written: a renderer takes it as it is, and its glyphs may be
    others or none.
    """
    return any(_unpacked(file)[1] is End.wrong for file in _files(descriptor))


def _files(descriptor: Any) -> Iterator[Stream]:
    found = (descriptor.get(name) for name in NAMES)
    yield from (file for file in found if isinstance(file, Stream))


def _unpacked(file: Stream) -> tuple[bytes | None, End]:
    """(its bytes, how they end); None for bytes that are not looked at."""
    if int(file.get("/Length", 0)) > _MOST_RAW:
        return None, End.whole
    data, left, end = filters.without(file)
    if not left:
        return data, end
    try:
        return file.read_bytes(), End.whole
    except pikepdf.PdfError:
        return b"", End.cut


def _is_font(file: Stream) -> bool:
    data, end = _unpacked(file)
    if data is None or end is not End.whole:
        return data is None
    if data[:4] in _TRUETYPE:
        return data[:4] == b"ttcf" or _has_outlines(data)
    return data.lstrip().startswith(_TYPE_1) or data[:1] == bytes([_CFF_MAJOR])


def _has_outlines(data: bytes) -> bool:
    """Whether the tables with the glyphs lie within the file."""
    if len(data) < 12:
        return False
    for place in range(min(_MOST_TABLES, struct.unpack_from(">H", data, 4)[0])):
        if 12 + (place + 1) * _ENTRY > len(data):
            return False
        name, _, offset, length = struct.unpack_from(">4sIII", data, 12 + place * _ENTRY)
        if name in _OUTLINES and offset + length > len(data):
            return False
    return True
