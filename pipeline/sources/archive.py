"""What zip and tar have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Protocol

from pipeline.errors import Reason
from pipeline.filetype import is_archive, passed_over
from pipeline.records import DocumentRef
from pipeline.sources import refs
from pipeline.sources.limits import LARGEST, SizeLimits

MEMBERS = 250_000  # all of them are held in memory while the archive is open
DIRECTORY = 64 * 2**20  # bytes of the members' names and what stands beside them

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class Archive(Protocol):
    """An open archive, read by any number of threads at once; its file is closed with it."""

    def refs(self) -> Iterator[DocumentRef]:
        """Each member that is a file, in the archive's order. If the archive was not read to its proper end,
        a last one with the archive's own URI that says so."""

    def read(self, name: str, limits: SizeLimits) -> bytes:
        """The bytes of a member. Raises Permanent, or NoRoom."""


def member_ref(
    archive: str, name: str, size: int, etag: str | None, problem: str | None, seen: set[str]
) -> DocumentRef:
    """The member's ref, with a failure for what must not or cannot be opened."""
    uri = f"{archive}!/{name}"
    why = passed_over(name)
    if why is not None and not climbs(name):
        return refs.passed_over(uri, why, size)
    if name in seen:
        return refs.broken(f"{uri}#{len(seen)}", Reason.archive_member, "a second member of this name", size)
    seen.add(name)
    if climbs(name):
        problem = "its path climbs out of the archive"
    if size > LARGEST:
        return refs.broken(uri, Reason.archive_member, f"it says that it has {size:,} bytes")
    if problem is None and is_archive(name):
        problem = "an archive within an archive is not opened"
    return refs.broken(uri, Reason.archive_member, problem, size) if problem else refs.found(uri, size, etag)


def climbs(name: str) -> bool:
    """Whether unpacking under this name would write outside the folder."""
    rooted = name.startswith(("/", "\\")) or _DRIVE.match(name) is not None
    return rooted or ".." in PurePosixPath(name.replace("\\", "/")).parts
