"""A PDF's stream taken out of its filters, as far as its bytes go, and how it ended.

qpdf and renderers give what comes before a damage, mostly without a word; here the ends are looked at: a
deflated stream has a last block and a checksum. The mark at the end of bytes that are written as text is
often left out; what is within them tells more.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from enum import StrEnum

import pikepdf
from pikepdf import Dictionary, Stream

FLATE = ("/FlateDecode", "/Fl")
_ASCII_85, _ASCII_HEX = ("/ASCII85Decode", "/A85"), ("/ASCIIHexDecode", "/AHx")
_PIECE = 1024  # bytes of a stream that are unpacked at once, to a megabyte at most
_MOST_BYTES = 512 * 2**20  # of a stream, decoded; what is beyond is not looked at
_FLUSH = b"\x00\x00\xff\xff"
_CHECKSUM_BYTES = 4


class End(StrEnum):
    """How a stream ended."""

    whole = "whole"
    cut = "its data break off"
    wrong = "its checksum does not agree"


def named(stream: Stream) -> list[str]:
    """The filters of a stream, from the outermost one on."""
    found = stream.get("/Filter")
    if found is None:
        return []
    return [str(each) for each in found] if isinstance(found, pikepdf.Array) else [str(found)]


def parameters(stream: Stream, place: int) -> Dictionary | None:
    """Those of the filter at `place`."""
    found = stream.get("/DecodeParms", stream.get("/DP"))
    if isinstance(found, pikepdf.Array):
        found = found[place] if place < len(found) else None
    elif place:
        found = None
    return found if isinstance(found, Dictionary) else None


def without(stream: Stream, most: int | None = None) -> tuple[bytes, list[str], End]:
    """(bytes, the filters that are left on them, how those ended that were taken off): at most `most`, and
    none whose bytes are foretold from their neighbours (a predictor).
    """
    filters, data, end = named(stream), stream.read_raw_bytes(), End.whole
    place = 0
    while place < len(filters) and (most is None or place < most):
        name = filters[place]
        if name in FLATE and not _is_foretold(parameters(stream, place)):
            data, how = inflated(data)
        elif name in _ASCII_85:
            data, how = _from_85(data)
        elif name in _ASCII_HEX:
            data, how = _from_hex(data)
        else:
            break
        end = how if end is End.whole else end
        place += 1
    return data, filters[place:], end


def decoded(stream: Stream) -> tuple[bytes, End]:
    """(bytes, how they end) without any filter; of filters that are not ours, as qpdf takes them off."""
    data, left, end = without(stream)
    if not left:
        return data, end
    try:
        return stream.read_bytes(), End.whole
    except pikepdf.PdfError:
        return b"", End.cut


def inflated(data: bytes) -> tuple[bytes, End]:
    parts, end = bytearray(), End.whole
    for part, how in inflating(data):
        parts += part
        end = how
    return bytes(parts), end


def inflating(data: bytes) -> Iterator[tuple[bytes, End]]:
    """(part, how it ends so far) of a deflated stream, as far as it can be read.

    Many writers leave out the checksum after the last block, or put zeros there; some end with the mark of a
    flush instead of it.
    """
    data = data.lstrip(b"\r\n")
    has_header = bool(data[:1] and data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    at, total, checksum = 2 if has_header else 0, 0, 1
    while at < len(data) and not inflater.eof and total < _MOST_BYTES:
        # Little at once: zlib gives nothing of a piece in which an error is.
        piece, at = data[at : at + _PIECE], at + _PIECE
        try:
            part = inflater.decompress(piece)
        except zlib.error:
            at = 0
            break
        total += len(part)
        checksum = zlib.adler32(part, checksum)
        yield part, End.whole if inflater.eof else End.cut
    flushed = at >= len(data) and data.rstrip(b"\r\n").endswith(_FLUSH)
    rest = inflater.unused_data + data[at:] if inflater.eof else b""
    stored = rest[:_CHECKSUM_BYTES]
    if inflater.eof and has_header and len(stored) == _CHECKSUM_BYTES and any(stored):
        yield b"", End.whole if stored == checksum.to_bytes(_CHECKSUM_BYTES, "big") else End.wrong
    else:
        ended = inflater.eof or flushed or not data or total >= _MOST_BYTES
        yield b"", End.whole if ended else End.cut


def _from_85(data: bytes) -> tuple[bytes, End]:
    body = b"".join(data.split()).removeprefix(b"<~").partition(b"~")[0]
    try:
        return base64.a85decode(body), End.whole
    except ValueError:
        return b"", End.cut


def _from_hex(data: bytes) -> tuple[bytes, End]:
    digits = re.sub(rb"\s", b"", data.partition(b">")[0])
    try:
        return binascii.unhexlify(digits + b"0" * (len(digits) % 2)), End.whole
    except ValueError:
        return b"", End.cut


def _is_foretold(given: Dictionary | None) -> bool:
    return given is not None and int(given.get("/Predictor", 1)) > 1
