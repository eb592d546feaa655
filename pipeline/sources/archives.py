"""Zip and tar archives as lists of documents. Nothing is ever unpacked to a disk under a member's own name.

An archive may lie about everything: limits hold for what is really read, not for what its headers say.
"""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Protocol, cast

from pipeline.errors import Permanent, Reason
from pipeline.filetype import is_archive, is_passed_over
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources import refs
from pipeline.sources.limits import Limits

_SMALL = 2**20  # bytes; below this no ratio is judged: a nearly empty picture packs very well
_MEMBERS = 250_000  # all of them are held in memory while the archive is open
_DIRECTORY = 256 * 2**20  # bytes of a zip's list of members
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, struct.error, ValueError,
           NotImplementedError, RuntimeError)  # fmt: skip


class Archive(Protocol):
    """An open archive; its file is closed with it."""

    def refs(self) -> Iterator[DocumentRef]:
        """Each member that is a file, in the archive's order; hidden ones left out."""

    def read(self, name: str, limits: Limits) -> bytes:
        """The bytes of a member. Raises Permanent, or NoRoom."""


def open_archive(uri: str, file: IO[bytes], etag: str | None, settings: SourceSettings) -> Archive:
    """The archive in `file`, which now belongs to it. Raises Permanent if it is neither a zip nor a tar."""
    try:
        if uri.lower().endswith(".zip"):
            archive: Archive = _Zip(uri, file, etag, settings)
        else:
            file = _gunzipped(file, settings)
            archive = _Tar(uri, file, etag, settings)
    except _DAMAGE as error:
        file.close()
        raise Permanent(Reason.archive_damaged, f"{uri} cannot be opened: {_said(error)}") from error
    weakref.finalize(archive, file.close)
    return archive


class _Zip:
    def __init__(self, uri: str, file: IO[bytes], etag: str | None, settings: SourceSettings) -> None:
        self._uri, self._etag, self._settings = uri, etag, settings
        self._zip = zipfile.ZipFile(cast(IO[bytes], _Bounded(file, _DIRECTORY)))
        if len(self._zip.filelist) > _MEMBERS:
            raise ValueError(f"more than {_MEMBERS:,} members")

    def refs(self) -> Iterator[DocumentRef]:
        seen: set[str] = set()
        for info in self._zip.filelist:
            if not info.is_dir() and not is_passed_over(info.filename):
                yield _ref(self._uri, info.filename, info.file_size, self._etag, self._problem(info), seen)

    def read(self, name: str, limits: Limits) -> bytes:
        uri = f"{self._uri}!/{name}"
        try:
            info = self._zip.getinfo(name)
        except KeyError:
            raise Permanent(Reason.object_missing, f"{uri} is not in the archive") from None
        problem = self._problem(info)
        if problem:
            raise Permanent(Reason.archive_member, f"{uri}: {problem}")
        limits.judge(uri, info.file_size)
        try:
            return self._zip.read(info)  # stops at file_size and checks the CRC
        except _DAMAGE as error:
            raise Permanent(Reason.archive_damaged, f"{uri} cannot be unpacked: {_said(error)}") from error

    def _problem(self, info: zipfile.ZipInfo) -> str | None:
        if info.flag_bits & 1:
            return "it is encrypted"
        if stat.S_ISLNK(info.external_attr >> 16):
            return "it is a link, not a file"
        ratio = info.file_size / max(1, info.compress_size)
        if info.file_size > _SMALL and ratio > self._settings.archive_ratio:
            limit = f"at most {self._settings.archive_ratio:g} are allowed (source.archive_ratio)"
            return f"it unpacks to {ratio:,.0f} times its size; {limit}"
        return None


class _Tar:
    """Members are found by reading on from the last one, so that reading in order costs one pass."""

    def __init__(self, uri: str, file: IO[bytes], etag: str | None, settings: SourceSettings) -> None:
        self._uri, self._etag, self._settings = uri, etag, settings
        self._tar = tarfile.open(fileobj=_Bounded(file, settings.max_bytes + _SMALL), mode="r:")  # noqa: SIM115
        self._infos: list[tarfile.TarInfo] = []  # those read so far
        self._by_name: dict[str, tarfile.TarInfo] = {}

    def refs(self) -> Iterator[DocumentRef]:
        seen: set[str] = set()
        place = 0
        try:
            while place < len(self._infos) or self._read_on():
                info = self._infos[place]
                place += 1
                if not info.isdir() and not is_passed_over(info.name):
                    problem = None if info.isreg() else "it is a link or a device, not a file"
                    yield _ref(self._uri, info.name, info.size, self._etag, problem, seen)
        except _DAMAGE as error:
            yield refs.broken(
                f"{self._uri}!/", Reason.archive_damaged, f"unreadable from here on: {_said(error)}"
            )

    def read(self, name: str, limits: Limits) -> bytes:
        uri = f"{self._uri}!/{name}"
        try:
            info = self._find(name)
            if info is None:
                raise Permanent(Reason.object_missing, f"{uri} is not in the archive")
            if not info.isreg():
                raise Permanent(Reason.archive_member, f"{uri}: it is a link or a device, not a file")
            limits.judge(uri, info.size)
            member = self._tar.extractfile(info)
            data = member.read() if member is not None else b""
        except _DAMAGE as error:
            raise Permanent(Reason.archive_damaged, f"{uri} cannot be unpacked: {_said(error)}") from error
        if len(data) != info.size:
            raise Permanent(
                Reason.archive_damaged, f"{uri} is cut short: {len(data):,} of {info.size:,} bytes"
            )
        return data

    def _find(self, name: str) -> tarfile.TarInfo | None:
        """The first member of that name."""
        while name not in self._by_name and self._read_on():
            pass
        return self._by_name.get(name)

    def _read_on(self) -> bool:
        """Read one more header; False at the end."""
        if len(self._infos) >= _MEMBERS:
            raise tarfile.ReadError(f"more than {_MEMBERS:,} members")
        info = self._tar.next()
        if info is None:
            return False
        self._infos.append(info)
        self._by_name.setdefault(info.name, info)
        return True


class _Bounded(io.BufferedIOBase):
    """An archive's file that refuses to be read by the gigabyte because a header says so."""

    def __init__(self, file: IO[bytes], at_once: int) -> None:
        self._file, self._at_once = file, at_once

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._at_once if size is None or size < 0 else size
        if wanted > self._at_once:
            raise ValueError(f"a header asks for {wanted:,} bytes at once")
        return self._file.read(wanted)

    def seek(self, place: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _gunzipped(file: IO[bytes], settings: SourceSettings) -> IO[bytes]:
    """The same file, or if it is a .tar.gz its unpacked bytes in a nameless temporary file.

    The checksum of a .gz stands at its end: only when all of it was unpacked may any member be believed.
    """
    packed = file.seek(0, io.SEEK_END)
    file.seek(0)
    zipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if not zipped:
        return file
    limit = min(settings.max_archive_bytes, max(_SMALL, int(settings.archive_ratio * packed)))
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115  (handed to the caller)
    try:
        with file, gzip.GzipFile(fileobj=file) as source:
            while piece := source.read(_SMALL):
                unpacked.write(piece)
                if unpacked.tell() > limit:
                    which = "source.archive_ratio, source.max_archive_bytes"
                    raise ValueError(f"it unpacks to more than {limit:,} bytes ({which})")
    except BaseException:
        unpacked.close()
        raise
    unpacked.seek(0)
    return unpacked


def _ref(
    archive: str, name: str, size: int, etag: str | None, problem: str | None, seen: set[str]
) -> DocumentRef:
    """The member's ref, with a failure for what must not or cannot be opened."""
    uri = f"{archive}!/{name}"
    if name in seen:
        return refs.broken(f"{uri}#{len(seen)}", Reason.archive_member, "a second member of this name", size)
    seen.add(name)
    if (
        name.startswith(("/", "\\"))
        or ".." in PurePosixPath(name.replace("\\", "/")).parts
        or name[1:2] == ":"
    ):
        problem = "its path climbs out of the archive"
    if problem is None and is_archive(name):
        problem = "an archive within an archive is not opened"
    return refs.broken(uri, Reason.archive_member, problem, size) if problem else refs.found(uri, size, etag)


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
