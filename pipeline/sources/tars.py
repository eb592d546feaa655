"""A tar read to its proper end, by any number of threads.

Tar has no list and no checksum of what its members hold; each header has one. So a member's header is read
and compared again with each reading of its bytes, and an archive is complete only when zero blocks close it.
"""

from __future__ import annotations

import io
import struct
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from pipeline.errors import Permanent, Reason, one_line
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources.archive import DIRECTORY, MEMBERS, member_ref
from pipeline.sources.limits import LARGEST, SizeLimits
from pipeline.sources.positional import Positional
from pipeline.sources.refs import broken

_BLOCK = tarfile.BLOCKSIZE
_SCAN = 2**20  # bytes looked through at once, and of one header with its long names
_MAGIC, _MAGIC_AT = b"ustar", 257
# Zeros that close a tar after which another one may follow: two blocks, or as many as fill up a record.
_CLOSING = 2 * _BLOCK
_PLACES = 1000  # damaged ones, before an archive is given up
_BAD = (tarfile.TarError, ValueError, EOFError, RuntimeError, struct.error, OverflowError, LookupError)


class _Header(tarfile.TarInfo):
    """A header whose pax records must be whole. Python 3.11.7 takes as many as it understands and goes on,
    with a wrong name."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE) and tar.fileobj:
            place = tar.fileobj.tell()
            records = tar.fileobj.read(self.size)
            tar.fileobj.seek(place)
            begin = 0
            while begin < len(records) and records[begin]:
                length = int(records[begin : records.find(b" ", begin, begin + 9)])
                begin += length
                if length < len("5 x=\n") or records[begin - 1 : begin] != b"\n":
                    raise ValueError("its pax records are damaged")
        member: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]
        return member


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    size: int  # bytes
    offset: int  # of its first header block
    data: int  # offset of its bytes
    is_file: bool
    is_folder: bool
    globals: dict[str, str]  # what earlier pax headers say of all members that follow


class Tar:
    """Headers are read on from the last one, by one thread at a time; members by all at once."""

    def __init__(
        self, uri: str, file: IO[bytes], etag: str | None, settings: SourceSettings, damage: str | None = None
    ) -> None:
        """`damage` is what was found wrong with its wrapping already."""
        self._uri, self._file, self._etag = uri, file, etag
        self._most = settings.max_bytes
        self._lock = threading.Lock()
        self._view = Positional(file, _SCAN)
        self._headers = _reader(self._view, 0, {})
        self._members: list[_Member] = []  # those read so far
        self._by_name: dict[str, _Member] = {}  # the first of each name
        self._name_bytes = 0
        self._closed = False  # by zero blocks, since the last member
        self._ended = False
        self._damages = [damage] if damage else []

    def refs(self) -> Iterator[DocumentRef]:
        seen: set[str] = set()
        place = 0
        while (member := self._member(place)) is not None:
            place += 1
            if not member.is_folder:
                problem = None if member.is_file else "it is a link or a device, not a file"
                yield member_ref(self._uri, member.name, member.size, self._etag, problem, seen)
        if self._damages:
            more = len(self._damages) - 1
            others = f" (and in {more} more places)" if more else ""
            what = f"{self._damages[0]}{others}; {place:,} members were seen, others may be missing"
            yield broken(self._uri, Reason.archive_damaged, what)

    def read(self, name: str, limits: SizeLimits) -> bytes:
        uri = f"{self._uri}!/{name}"
        member = self._find(name)
        if member is None:
            raise Permanent(Reason.object_missing, f"{uri} is not in the archive")
        if not member.is_file:
            raise Permanent(Reason.archive_member, f"{uri}: it is a link or a device, not a file")
        limits.judge(uri, member.size)
        try:
            return self._proved(member)
        except _BAD as error:
            raise Permanent(Reason.archive_damaged, f"{uri} cannot be unpacked: {one_line(error)}") from error

    def _proved(self, member: _Member) -> bytes:
        """The member's bytes, from where its header, read anew, says that they lie."""
        view = Positional(self._file, max(_SCAN, member.size))
        view.seek(member.offset)
        reader = _reader(view, member.offset, dict(member.globals))
        info = _Header.fromtarfile(reader)
        if (info.name, info.size, info.offset_data) != (member.name, member.size, member.data):
            raise ValueError(f"another header stands at byte {member.offset:,}")
        file = reader.extractfile(info)
        data = file.read() if file is not None else b""
        if len(data) != info.size:
            raise ValueError(f"it is cut short: {len(data):,} of {info.size:,} bytes")
        return data

    def _member(self, place: int) -> _Member | None:
        with self._lock:
            while place >= len(self._members) and not self._ended:
                self._read_on()
            return self._members[place] if place < len(self._members) else None

    def _find(self, name: str) -> _Member | None:
        with self._lock:
            while name not in self._by_name and not self._ended:
                self._read_on()
            return self._by_name.get(name)

    def _read_on(self) -> None:
        """One more header, or what stands in its place."""
        start = self._headers.offset
        self._view.seek(start)
        try:
            self._keep(_Header.fromtarfile(self._headers), start)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            self._closed = True
            self._headers.offset = end = self._after_zeros(start)
            closes = end - start <= _CLOSING or end % tarfile.RECORDSIZE == 0
            if not closes and _is_header(self._view.at(end, _BLOCK)):
                self._damages.append(f"zeros stand in the place of members from byte {start:,} to {end:,}")
        except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
            self._ended = True
            if self._members and start > self._view.size:
                self._damages.append(f"it ends within {self._members[-1].name}")
            elif not self._closed:
                self._damages.append(f"it ends at byte {start:,} without the zero blocks that close a tar")
        except _BAD as error:
            self._damages.append(f"no tar header stands at byte {start:,} ({one_line(error)})")
            self._headers.offset = self._next_header(start + 1)
            self._closed = True  # said already
            self._ended = len(self._damages) > _PLACES

    def _keep(self, info: tarfile.TarInfo, start: int) -> None:
        if not 0 <= info.size <= LARGEST or self._headers.offset <= start:
            raise ValueError(f"a size of {info.size:,} bytes")
        self._name_bytes += len(info.name)
        if len(self._members) >= MEMBERS or self._name_bytes > DIRECTORY:
            self._ended = True
            self._damages.append(f"it has more than {MEMBERS:,} members, or {DIRECTORY:,} bytes of names")
            return
        known = self._members[-1].globals if self._members else {}
        pax = self._headers.pax_headers
        member = _Member(
            info.name,
            info.size,
            info.offset,
            info.offset_data,
            info.isreg(),
            info.isdir(),
            known if pax == known else dict(pax),
        )
        self._members.append(member)
        self._by_name.setdefault(member.name, member)
        self._closed = False

    def _after_zeros(self, place: int) -> int:
        """Where the block begins in which the next byte stands that is not zero, or the end of the file."""
        start = place
        while piece := self._view.at(place, _SCAN):
            if rest := piece.lstrip(b"\0"):
                found = place + len(piece) - len(rest)
                return found - (found - start) % _BLOCK
            place += len(piece)
        return place

    def _next_header(self, place: int) -> int:
        """Where the next header begins that its own checksum bears out, or the end of the file."""
        while len(piece := self._view.at(place, _SCAN)) >= _BLOCK:
            found = piece.find(_MAGIC, _MAGIC_AT)
            while 0 <= found <= len(piece) - _BLOCK + _MAGIC_AT:
                begin = found - _MAGIC_AT
                if _is_header(piece[begin : begin + _BLOCK]):
                    return place + begin
                found = piece.find(_MAGIC, found + 1)
            place += max(1, len(piece) - _BLOCK + 1)
        return self._view.size


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


def _reader(view: Positional, offset: int, pax: dict[str, str]) -> tarfile.TarFile:
    """A TarFile that has read nothing yet and goes on at `offset`, whatever stands there."""
    reader = tarfile.TarFile(fileobj=io.BytesIO(bytes(2 * _BLOCK)))
    reader.fileobj = view
    reader.offset = offset
    reader.pax_headers = pax
    return reader
