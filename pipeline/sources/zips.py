"""A zip, by its list; what the list leaves out is said, and without a list the members' headers do."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, cast

from pipeline.errors import Permanent, Reason, one_line
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources.archive import DIRECTORY, MEMBERS, climbs, member_ref
from pipeline.sources.limits import SizeLimits
from pipeline.sources.positional import Positional
from pipeline.sources.refs import broken

DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, NotImplementedError,
          RuntimeError, LookupError, OverflowError)  # fmt: skip
_SMALL = 2**20  # bytes; below this no ratio is judged: a nearly empty picture packs very well
_PIECE = 2**20  # bytes unpacked at once
# Not bzip2 and LZMA: they are C code, and a header can make LZMA ask for gigabytes.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UTF8, _ENCRYPTED, _SIZES_AFTER = 0x800, 0x1, 0x8  # bits of a member's flags
_UNICODE_PATH = 0x7075

_LOCAL = struct.Struct("<4s5H3I2H")  # mark, needs, flags, method, time, date, crc, packed, size, name, extra
_AFTER = struct.Struct("<4s3I")  # mark, crc, packed, size: behind a member whose header did not know them
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCAL_MARK, _AFTER_MARK, _CENTRAL_MARK, _END_MARK = b"PK\3\4", b"PK\7\x08", b"PK\1\2", b"PK\5\6"
_END_SEARCH = _END.size + 2**16
_AFTER_SEARCH = 2**26  # bytes
_MISSES = 100  # headers of which no member could be made, before the search ends


class Zip:
    def __init__(self, uri: str, file: IO[bytes], etag: str | None, settings: SourceSettings) -> None:
        self._uri, self._file, self._etag, self._settings = uri, file, etag, settings
        view = Positional(file, DIRECTORY)
        try:
            self._zip = zipfile.ZipFile(cast(IO[bytes], view))
            self._damage = _left_over(view, self._zip)
        except DAMAGE as error:
            tail = _list_of_members(view)
            if tail is None:
                raise
            self._zip = zipfile.ZipFile(cast(IO[bytes], Positional(file, DIRECTORY, tail)))
            self._damage = f"its list of members cannot be read ({one_line(error)})"
        if len(self._zip.filelist) > MEMBERS:
            raise ValueError(f"more than {MEMBERS:,} members")
        self._by_name: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.filelist:
            self._by_name.setdefault(_name(info), info)

    def refs(self) -> Iterator[DocumentRef]:
        seen: set[str] = set()
        for info in self._zip.filelist:
            name = _name(info)
            if not name.endswith("/"):
                yield member_ref(self._uri, name, info.file_size, self._etag, self._problem(info), seen)
        if self._damage:
            what = f"{self._damage}; {len(self._zip.filelist):,} members were seen, others may be missing"
            yield broken(self._uri, Reason.archive_damaged, what)

    def read(self, name: str, limits: SizeLimits) -> bytes:
        uri = f"{self._uri}!/{name}"
        info = self._by_name.get(name)
        if info is None:
            raise Permanent(Reason.object_missing, f"{uri} is not in the archive")
        problem = self._problem(info)
        if problem:
            raise Permanent(Reason.archive_member, f"{uri}: {problem}")
        limits.judge(uri, info.file_size)
        try:
            # By pieces: asked for all at once, a member that lies is unpacked to its end before it is cut.
            with self._zip.open(info) as member:  # stops at file_size and checks the CRC
                data = b"".join(iter(lambda: member.read(_PIECE), b""))
        except DAMAGE as error:
            raise Permanent(Reason.archive_damaged, f"{uri} cannot be unpacked: {one_line(error)}") from error
        if len(data) != info.file_size:
            what = f"{uri} is cut short: {len(data):,} of {info.file_size:,} bytes"
            raise Permanent(Reason.archive_damaged, what)
        return data

    def _problem(self, info: zipfile.ZipInfo) -> str | None:
        if info.flag_bits & _ENCRYPTED:
            return "it is encrypted"
        if stat.S_ISLNK(info.external_attr >> 16):
            return "it is a link, not a file"
        if info.compress_type not in _METHODS:
            method = zipfile.compressor_names.get(info.compress_type, str(info.compress_type))  # type: ignore[attr-defined]
            return f"it is packed by the method {method}; stored and deflated members are read"
        ratio = info.file_size / max(1, info.compress_size)
        if info.file_size > _SMALL and ratio > self._settings.archive_ratio:
            limit = f"at most {self._settings.archive_ratio:g} are allowed (source.archive_ratio)"
            return f"it unpacks to {ratio:,.0f} times its size; {limit}"
        return None


def _name(info: zipfile.ZipInfo) -> str:
    """The member's name, with "/" between its parts; one that climbs out as it stands in the archive.

    A name without the UTF-8 flag is UTF-8 all the same if it can be (old tools), else code page 437, which
    keeps every byte. PowerShell 5 and .NET before 4.6.1 write "\\" between folders.
    """
    if info.flag_bits & _UTF8:
        name = info.filename
    else:
        raw = info.orig_filename.encode("cp437")
        try:
            name = _unicode_path(info, raw) or raw.decode()
        except UnicodeDecodeError:
            name = raw.decode("cp437")
        name = name.partition("\0")[0]
    return name if climbs(name) else name.replace("\\", "/")


def _unicode_path(info: zipfile.ZipInfo, raw: bytes) -> str | None:
    """Info-ZIP's and WinZip's UTF-8 name beside the old one, if it belongs to it."""
    extra = info.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and field[1:5] == struct.pack("<I", zlib.crc32(raw)):
            return field[5:].decode()
    return None


def _left_over(view: Positional, archive: zipfile.ZipFile) -> str | None:
    """What the file holds beside the members of its list and the list itself; None if it is whole."""
    tail_at = max(0, view.size - _END_SEARCH)
    tail = view.at(tail_at, _END_SEARCH)
    end = tail.rfind(_END_MARK)
    rest = tail[end + _END.size + struct.unpack_from("<H", tail, end + _END.size - 2)[0] :]
    if rest.strip(b"\0"):
        return f"{len(rest):,} other bytes follow its end"
    place = 0
    for info in sorted(archive.filelist, key=lambda info: info.header_offset):
        if problem := _unlisted(view, place, info.header_offset):
            return problem
        header = view.at(info.header_offset, _LOCAL.size)
        if len(header) == _LOCAL.size:  # else its own reading says so
            place = info.header_offset + _LOCAL.size + sum(struct.unpack("<2H", header[26:30]))
            place += info.compress_size
    return _unlisted(view, place, archive.start_dir)


def _unlisted(view: Positional, start: int, end: int) -> str | None:
    """Whether a member begins between two places where the list names none. Other bytes there are in order:
    a program that unpacks the rest, alignment, a signature."""
    found = next(_marks(view, _LOCAL_MARK, start, end), None)
    return None if found is None else f"members at byte {found:,} are not in its list"


def _list_of_members(view: Positional) -> bytes | None:
    """A list made from the members' own headers, to be read behind the file; None if there is not one member.

    Their checksums still bear out every byte. Members of 4 GB and more are left out.
    """
    entries: list[bytes] = []
    place = misses = 0
    while misses < _MISSES and len(entries) < 0xFFFF:
        begin = next(_marks(view, _LOCAL_MARK, place, view.size), None)
        if begin is None:
            break
        entry, place = _entry(view, begin)
        entries += [entry] if entry else []
        misses += entry is None
    if not entries:
        return None
    listed = b"".join(entries)
    return listed + _END.pack(_END_MARK, 0, 0, len(entries), len(entries), len(listed), view.size, 0)


def _entry(view: Positional, begin: int) -> tuple[bytes | None, int]:
    """(the list's entry of the member whose header stands at `begin`, where to look for the next one)."""
    header = view.at(begin, _LOCAL.size)
    if len(header) < _LOCAL.size:
        return None, view.size
    _, needs, flags, method, time, date, crc, packed, size, name_size, extra_size = _LOCAL.unpack(header)
    names = view.read(name_size + extra_size)
    data = begin + _LOCAL.size + name_size + extra_size
    if flags & _SIZES_AFTER and not packed:
        after = _sizes_after(view, data)
        if after is None:
            return None, data
        crc, packed, size = after
    if data + packed > view.size or view.size > 0xFFFFFFFF:  # cut within it; what lies so far needs zip64
        return None, data
    entry = _CENTRAL.pack(
        _CENTRAL_MARK, needs, needs, flags, method, time, date, crc, packed, size, name_size, extra_size,
        0, 0, 0, 0, begin,
    )  # fmt: skip
    return entry + names, data + packed


def _sizes_after(view: Positional, data: int) -> tuple[int, int, int] | None:
    """(crc, packed, size) from behind a member whose bytes begin at `data`."""
    for place in _marks(view, _AFTER_MARK, data, min(view.size, data + _AFTER_SEARCH)):
        found = view.at(place, _AFTER.size)
        if len(found) == _AFTER.size:
            _, crc, packed, size = _AFTER.unpack(found)
            if packed == place - data:
                return crc, packed, size
    return None


def _marks(view: Positional, mark: bytes, start: int, end: int) -> Iterator[int]:
    """Each place from `start` on at which `mark` stands, whole, before `end`."""
    while len(piece := view.at(start, max(0, min(_PIECE, end - start)))) >= len(mark):
        found = piece.find(mark)
        while found >= 0:
            yield start + found
            found = piece.find(mark, found + 1)
        start += len(piece) - len(mark) + 1
