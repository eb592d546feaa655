"""Where a fax picture (CCITT, group 4) breaks off. Renderers fill up what is missing without a word.

libtiff decodes it twice more, as a TIFF of one strip, each time with other codes behind its data: where the
two pictures differ, the data have ended. Of a code that is none it complains itself.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from io import BytesIO

import numpy as np
from PIL import Image
from PIL import TiffImagePlugin as _TiffImagePlugin  # noqa: F401  (so that it need not be found later)

_Lines = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

_SHORT, _LONG = 3, 4  # types of a TIFF's entries
_GROUP_4 = 4
_NO_CODE = bytes(8)  # no code has so many zeros, and at them libtiff ends as at the end of the picture
_PADDING = 4096  # bytes, or as many as the data have
# Codes of ITU-T T.6: each line as the one before it; and over and over two white pixels and two black ones.
_ALIKE, _STRIPED = b"\xff", int("001011111" * 8, 2).to_bytes(9, "big")


def lost(strips: Iterable[tuple[bytes, tuple[int, int]]]) -> int:
    """How many lines of these strips, (data, size) of each, are not there."""
    found = ((size[1], looked_through(data, size)[0]) for data, size in strips)
    return sum(height - line for height, line in found if line is not None)


def looked_through(data: bytes, size: tuple[int, int]) -> tuple[int | None, bool]:
    """(the first line, from 0, of which something is not there, or None; whether a code of it is none)."""
    data = data.partition(_NO_CODE)[0]
    before = os.fstat(2).st_size  # standard error is a file of the parent's
    one, other = (_decoded(data, padding, size) for padding in (_ALIKE, _STRIPED))
    complained = os.fstat(2).st_size > before
    if one is None or other is None:
        return 0, complained
    unlike = np.flatnonzero(np.any(one != other, axis=1))
    return int(unlike[0]) if len(unlike) else None, complained


def _decoded(data: bytes, padding: bytes, size: tuple[int, int]) -> _Lines | None:
    padded = data + padding * (max(_PADDING, len(data)) // len(padding))
    try:
        with Image.open(BytesIO(_tiff(padded, size)), formats=("TIFF",)) as picture:
            return np.asarray(picture)
    except (OSError, SyntaxError, ValueError, struct.error):
        return None


def _tiff(data: bytes, size: tuple[int, int]) -> bytes:
    entries = (
        (256, _LONG, size[0]), (257, _LONG, size[1]), (258, _SHORT, 1), (259, _SHORT, _GROUP_4),
        (262, _SHORT, 0), (273, _LONG, 8), (277, _SHORT, 1), (278, _LONG, size[1]), (279, _LONG, len(data)),
    )  # fmt: skip
    data += bytes(len(data) % 2)
    head = b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries))
    return (
        head + b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries) + bytes(4)
    )
