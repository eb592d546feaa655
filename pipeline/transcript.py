"""The text that tokens make, and where each of them stands in it."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def transcript(pieces: Sequence[bytes]) -> tuple[str, npt.NDArray[np.int32]]:
    """The text that tokens' bytes make, and the characters that each token has a part in, int32 [n, 2].

    Tokens that share a character share it in their spans. Bytes that form no character become U+FFFD.
    """
    whole = b"".join(pieces)
    try:
        text = whole.decode()
    except UnicodeDecodeError:
        return _piece_by_piece(pieces)
    # Characters begin at bytes that continue none.
    starts = np.flatnonzero(np.frombuffer(whole, dtype=np.uint8) & 0xC0 != 0x80)
    lengths = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
    ends = lengths.cumsum()
    begun = np.searchsorted(starts, ends)
    closed = np.searchsorted(np.append(starts[1:], len(whole)), ends, side="right") if whole else begun
    spans = np.empty((len(pieces), 2), dtype=np.int32)
    spans[:, 0] = np.append(0, closed[:-1])[: len(pieces)]
    spans[:, 1] = np.where(lengths > 0, begun, closed)
    return text, spans


def _piece_by_piece(pieces: Sequence[bytes]) -> tuple[str, npt.NDArray[np.int32]]:
    """The same, whatever the bytes are."""
    decoder = getincrementaldecoder("utf-8")("replace")
    text = ""
    spans = np.zeros((len(pieces), 2), dtype=np.int32)
    for number, piece in enumerate(pieces):
        start = len(text)  # of a character that is still open, too
        text += decoder.decode(piece)
        still_open = bool(piece and decoder.getstate()[0])
        spans[number] = start, len(text) + still_open
    rest = decoder.decode(b"", final=True)  # what was still open may be several characters: each is U+FFFD
    spans[spans[:, 1] > len(text), 1] = len(text) + len(rest)
    return text + rest, spans
