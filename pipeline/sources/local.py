"""Files on this machine."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pipeline import filetype
from pipeline.errors import Coded, Permanent, Reason, Transient
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources import refs, roots
from pipeline.sources.limits import SizeLimits

Refs = Iterator[DocumentRef]


def walk(folder: str, settings: SourceSettings, depth: int | None = None, *, hidden: bool = False) -> Refs:
    """Every file under `folder` (at most `depth` folders down), sorted by path; hidden ones as passed over,
    unless they are asked for.

    Links are followed while they stay under `folder` (see `roots`), but no folder is entered twice. A folder
    that cannot be read, and a link that leads elsewhere, are named with a failure.
    """
    return _Walk(folder, settings, hidden).files(folder, depth)


def glob(pattern: str, settings: SourceSettings) -> Refs:
    """Files whose path matches `pattern` (absolute), sorted; see `refs.glob_regex`. Hidden ones are meant
    where the pattern spells their dot."""
    base = refs.wild_base(pattern).rstrip("/") or "/"
    depth = None if "**" in pattern else pattern.removeprefix(base.rstrip("/")).count("/") - 1
    matching = refs.glob_regex(pattern)
    found = walk(base, settings, depth, hidden=refs.names_hidden(pattern))
    return (ref for ref in found if matching.fullmatch(ref.uri))


def single(path: str) -> DocumentRef:
    """One file by its path."""
    try:
        status = Path(path).stat()
    except OSError as error:
        problem = translated(error, path)
        return refs.broken(path, problem.reason, problem.message)
    if not stat.S_ISREG(status.st_mode):
        return refs.broken(path, Reason.unsupported_type, "not a regular file")
    return refs.found(path, status.st_size, _etag(status))


def etag(path: str) -> str:
    """Changes whenever the file is written. Raises Permanent or Transient."""
    try:
        return _etag(Path(path).stat())
    except OSError as error:
        raise translated(error, path) from error


def open_pinned(path: str, etag: str | None) -> IO[bytes]:
    """The file, which is that version if `etag` is given. Raises Permanent or Transient."""
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    except OSError as error:
        raise translated(error, path) from error
    status = os.fstat(file.fileno())
    if etag is not None and _etag(status) != etag:
        file.close()
        raise Permanent(Reason.object_changed, f"{path} was written to since it was listed; run again")
    return file


def read(path: str, limits: SizeLimits, etag: str | None) -> tuple[bytes, str]:
    """(bytes, etag) of a regular file within `limits`. Raises Permanent or Transient."""
    try:
        # A pipe in the place of a file would otherwise block the open for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Permanent(Reason.unsupported_type, f"{path} is not a regular file")
            if etag is not None and etag != _etag(status):
                raise Permanent(
                    Reason.object_changed, f"{path} was written to since it was listed; run again"
                )
            limits.judge(path, status.st_size)
            data = file.read(status.st_size + 1)
    except OSError as error:
        raise translated(error, path) from error
    if len(data) != status.st_size:
        raise Transient(
            Reason.object_changed, f"{path} is being written: {len(data)} of {status.st_size} bytes"
        )
    return data, _etag(status)


class _Walk:
    def __init__(self, root: str, settings: SourceSettings, hidden: bool) -> None:
        self._root, self._settings, self._hidden = root, settings, hidden
        self._entered: set[tuple[int, int]] = set()

    def files(self, folder: str, depth: int | None) -> Refs:
        try:
            status = Path(folder).stat()
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            problem = translated(error, folder)
            yield refs.broken(folder, problem.reason, problem.message)
            return
        if (status.st_dev, status.st_ino) in self._entered:
            return
        self._entered.add((status.st_dev, status.st_ino))
        for name in names:
            yield from self._file(f"{folder.rstrip('/')}/{name}", name, depth)

    def _file(self, path: str, name: str, depth: int | None) -> Refs:
        why = None if self._hidden else filetype.passed_over(name)
        if why is not None and (filetype.is_hidden(name) or not Path(path).is_dir()):
            yield refs.passed_over(path, why)
            return
        link = Path(path).is_symlink()
        refusal = roots.link_refusal(path, self._root, self._settings) if link else None
        if refusal is not None:
            yield refs.broken(path, Reason.outside_root, refusal)
        elif not Path(path).is_dir():
            yield single(path)
        elif depth != 0:
            yield from self.files(path, None if depth is None else depth - 1)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns}-{status.st_size}"


def translated(error: OSError, path: str) -> Coded:
    """What the operating system said of a file, or of an archive's copy on this machine's disk."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
        return Permanent(Reason.object_missing, f"{path} does not exist")
    if error.errno in (errno.EACCES, errno.EPERM):
        return Permanent(Reason.access_denied, f"{path} may not be read by this user")
    if error.errno in (errno.EISDIR, errno.ENXIO):
        return Permanent(Reason.unsupported_type, f"{path} is not a regular file")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Transient(Reason.disk_full, f"{path} cannot be unpacked: this machine's disk is full (TMPDIR)")
    return Transient(Reason.store_unreachable, f"{path} cannot be read: {error.strerror}")
