"""An open file that any number of threads read at once, each at a place of its own."""

from __future__ import annotations

import io
import os
from typing import IO


class BeforeTheFile(OSError, ValueError):
    """As a file itself refuses such a place: zipfile asks for one to see whether a short file is a zip."""


class Positional(io.BufferedIOBase):
    """A reader's own place in `file`, which it reads with pread: the file's one position is never used.

    Refuses to read more than `at_once` bytes because a header says so. `tail` is read after the file's end.
    """

    def __init__(self, file: IO[bytes], at_once: int, tail: bytes = b"") -> None:
        self._file, self._at_once, self._tail = file, at_once, tail
        self._bytes = os.fstat(file.fileno()).st_size
        self._place = 0

    @property
    def size(self) -> int:
        return self._bytes + len(self._tail)

    def at(self, place: int, size: int) -> bytes:
        """Up to `size` bytes from `place` on; fewer only at the end."""
        self._place = place
        return self.read(size)

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._at_once if size is None or size < 0 else size
        if wanted > self._at_once:
            raise ValueError(f"a header asks for {wanted:,} bytes at once")
        data = b""
        while len(data) < wanted and self._place + len(data) < self._bytes:
            start = self._place + len(data)
            piece = os.pread(self._file.fileno(), min(wanted, self._bytes - self._place) - len(data), start)
            if not piece:
                break  # the file was cut while it is open
            data = data + piece if data else piece
        behind = self._place + len(data) - self._bytes
        if self._tail and behind >= 0 and len(data) < wanted:
            data += self._tail[behind : behind + wanted - len(data)]
        self._place += len(data)
        return data

    def seek(self, place: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size}[whence]
        if start + place < 0:
            raise BeforeTheFile(f"a header points to {start + place:,}, before the file")
        self._place = start + place
        return self._place

    def tell(self) -> int:
        return self._place

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
