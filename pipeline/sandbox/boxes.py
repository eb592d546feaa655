"""Whether a file that is made of boxes, as HEIC and AVIF are, is all there (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

import mmap


def cut_short(data: mmap.mmap) -> str | None:
    """What is missing at the file's end; None if nothing is. Decoders leave out tiles that are not there."""
    place = 0
    while place < len(data):
        head = data[place : place + 16]
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size == 0:  # until the end of the file
            return None
        if size < 8 or place + size > len(data):
            return f"the file is cut short: it has {len(data):,} of at least {place + max(size, 8):,} bytes"
        place += size
    return None
