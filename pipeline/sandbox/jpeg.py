"""What of a JPEG is damaged. libjpeg fills up what it cannot decode and only warns, which Pillow hides."""

from __future__ import annotations

import numpy as np
import simplejpeg

_Rows = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

END = b"\xff\xd9"
_CUT = ("premature end",)  # of libjpeg's warnings (jerror.h), those that say that data are not there
_FACTOR = 8  # decoded at an eighth of its size: every bit of the data is read all the same


def damage(data: bytes) -> tuple[float, str] | None:
    """(the part of the picture from its lower end that is certainly lost, why) of a JPEG that is not sound.

    `data` have an end marker, if need be an added one. What is lost is one colour after the place where the
    data break off; a wrong bit before spoils an unknown part, which counts as nothing lost for certain.
    """
    try:
        _decoded(data, strict=True)
    except ValueError as warning:
        said = str(warning)
    else:
        return None
    try:
        rows = _decoded(data, strict=False)
    except ValueError:
        return 1.0, said
    return _filled_up(rows) if any(words in said.lower() for words in _CUT) else 0.0, said


def _filled_up(rows: _Rows) -> float:
    """The part from the lower end that is one colour."""
    unlike = np.flatnonzero(np.any(rows != rows[-1, -1], axis=(1, 2)))
    return 1 - (int(unlike[-1]) + 1) / len(rows) if len(unlike) else 1.0


def _decoded(data: bytes, *, strict: bool) -> _Rows:
    colours = simplejpeg.decode_jpeg_header(data, strict=False)[2]
    space = "CMYK" if colours in ("CMYK", "YCCK") else "GRAY"
    decoded: _Rows = simplejpeg.decode_jpeg(data, space, min_factor=_FACTOR, strict=strict)
    return decoded
