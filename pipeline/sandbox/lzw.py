"""How many bytes an LZW stream holds (TIFF 6.0, section 13; GIF89a, appendix F), without unpacking them.

The format has no checksum, and decoders stop when a picture is full. A changed byte mostly makes other
strings of the dictionary of it, which are of another length: then the stream comes out longer or shorter than
the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

_WIDEST = 12  # bits of a code
_AT_ONCE = 4096  # codes

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Coding:
    """`symbol`: bits of what is packed. `first_high`: whether a byte's high bits come first."""

    symbol: int = 8
    first_high: bool = True  # as in TIFF, where codes also widen one earlier than they must


def holds(data: bytes, coding: Coding, wanted: tuple[int, ...]) -> bool:
    """Whether a stream holds one of these numbers of bytes. One that lacks its end may hold more.

    A stream that does not begin by clearing its dictionary is not of this kind: True, nothing is said of it.
    """
    stream, clear = _Stream(data, coding), 1 << coding.symbol
    if stream.take(0, 1).tolist() != [clear]:
        return True
    held = 0
    lengths: list[int] = []  # of the strings so far since the dictionary was cleared
    while len(codes := stream.take(len(lengths), _AT_ONCE)):
        marks = np.flatnonzero((codes == clear) | (codes == clear + 1))
        plain = codes[: marks[0]] if len(marks) else codes
        begun = len(lengths)
        try:
            for code in plain.tolist():
                # Every string after the first is also an entry, with the sign behind it.
                lengths.append(1 if code < clear else lengths[code - clear - 2] + 1)
        except IndexError:
            return False  # an entry that is not there yet
        ends = held + np.cumsum(lengths[begun:], dtype=np.int64)
        held = int(ends[-1]) if len(ends) else held
        if len(marks) and codes[marks[0]] == clear + 1:
            return held in wanted
        if not len(marks) and stream.ended:
            return bool(np.isin(ends, wanted).any()) or held in wanted
        if held > max(wanted):
            return False
        if len(marks):
            stream.back(len(codes) - int(marks[0]) - 1)
            lengths = []
    return held in wanted


class _Stream:
    """Codes from a stream, whose widths follow from how many came since the dictionary was cleared."""

    def __init__(self, data: bytes, coding: Coding) -> None:
        self._bytes = np.frombuffer(data + b"\0\0", np.uint8).astype(np.int64)
        self._bits, self._at, self._coding = 8 * len(data), 0, coding
        self._ends: Codes = np.zeros(1, np.int64)  # where codes end that were taken last, and before them
        self.ended = False  # fewer codes were left than were asked for

    def take(self, before: int, most: int) -> Codes:
        """Up to so many codes, `before` of which came since the dictionary was cleared."""
        widths = _widths(self._coding)[before : before + most]
        widths = np.append(widths, np.full(most - len(widths), _WIDEST))
        ends = self._at + np.cumsum(widths)
        count = int(np.searchsorted(ends, self._bits, side="right"))
        self.ended = count < most
        self._ends = np.append(self._at, ends[:count])
        self._at = int(self._ends[-1])
        starts, widths = self._ends[:-1], widths[:count]
        one, two, three = (self._bytes[(starts >> 3) + n] for n in range(3))
        if self._coding.first_high:
            there = (one << 16 | two << 8 | three) >> (24 - (starts & 7) - widths)
        else:
            there = (three << 16 | two << 8 | one) >> (starts & 7)
        codes: Codes = there & ((1 << widths) - 1)
        return codes

    def back(self, codes: int) -> None:
        """The last so many of those that were taken come again."""
        self._at = int(self._ends[len(self._ends) - 1 - codes])


@cache
def _widths(coding: Coding) -> Codes:
    """Of each code from the first one behind a cleared dictionary on, until it is full."""
    free = (1 << coding.symbol) + 2
    later = range(free, 1 << _WIDEST)
    return np.array([coding.symbol + 1, *(min(_WIDEST, (n + coding.first_high).bit_length()) for n in later)])
