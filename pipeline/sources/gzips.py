"""A .gz unpacked piece by piece into a nameless file, as far as its own checksums allow."""

from __future__ import annotations

import tempfile
import zlib
from typing import IO

MARK = b"\x1f\x8b"
_PIECE = 2**20  # bytes, packed and unpacked
_GZIP = 31  # zlib's own reading of header and trailer, which compares checksum and length


def unpacked(file: IO[bytes], limit: int) -> tuple[IO[bytes], str | None]:
    """(the unpacked bytes, what is damaged or None) of an open .gz, which may be several in a row.

    What a checksum contradicts is left out, back to the last trailer that was right: any byte of it may be
    wrong. What ends too early contradicts nothing and is kept. Raises ValueError when nothing may be believed
    or when it unpacks to more than `limit` bytes.
    """
    into = tempfile.TemporaryFile()  # noqa: SIM115  (handed to the caller)
    try:
        damage = _inflate(file, into, limit)
        into.seek(0)  # and written out, for those who read by the descriptor
    except BaseException:
        into.close()
        raise
    return into, damage


def _inflate(file: IO[bytes], into: IO[bytes], limit: int) -> str | None:
    inflater, rest, proven = zlib.decompressobj(_GZIP), b"", 0
    while True:
        fed = rest or file.read(_PIECE)
        try:
            data = inflater.decompress(fed, _PIECE)
        except zlib.error as error:
            if not proven:
                raise ValueError(f"its gzip checksum does not bear out a byte of it ({error})") from error
            into.seek(proven)
            into.truncate()
            return f"its gzip data are wrong after {proven:,} unpacked bytes ({error})"
        into.write(data)
        if into.tell() > limit:
            which = "source.archive_ratio, source.max_archive_bytes"
            raise ValueError(f"it unpacks to more than {limit:,} bytes ({which})")
        rest = inflater.unconsumed_tail
        if inflater.eof:
            proven, rest = into.tell(), _after(inflater.unused_data, file)
            if not rest:
                return None
            if not rest.startswith(MARK):
                return f"other bytes follow the end of its gzip data ({proven:,} bytes unpacked)"
            inflater = zlib.decompressobj(_GZIP)
        elif not fed and not data:
            return f"its gzip data are cut short after {into.tell():,} unpacked bytes"


def _after(rest: bytes, file: IO[bytes]) -> bytes:
    """What follows a trailer, without the zeros that tapes and disks fill up with."""
    while len(rest := rest.lstrip(b"\0")) < len(MARK) and (more := file.read(_PIECE)):
        rest += more
    return rest
