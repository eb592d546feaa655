"""A PDF portfolio: the documents that it holds, each under its name.

The listing does not open PDFs, so its members are found when it is read (`pipeline.attached`) and become
documents then; by their URIs they are fetched from here. The PDF is opened in the renderer's child.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from typing import IO

from pipeline.errors import Permanent, Reason
from pipeline.filetype import holds_members, is_archive
from pipeline.records import DocumentRef
from pipeline.settings import RenderSettings, SourceSettings
from pipeline.sources.limits import SizeLimits
from pipeline.sources.refs import broken, split_member

_SMALL = 2**20  # bytes; below this no ratio is judged
_PAGES = 100_000  # of the PDF's own, which are counted here and not drawn
Listed = Sequence[tuple[str, bool]]  # (name, whether it is a document) of each file within a PDF


def is_portfolio(name: str) -> bool:
    """Whether documents within a file of this name may be named as its members: one level deep, in a PDF that
    may lie in an archive.
    """
    archive, member = split_member(name)
    within = not member or is_archive(archive)
    return within and holds_members(name) and not is_archive(name)


def member_names(listed: Listed) -> dict[int, str]:
    """The names of those that are documents, by their numbers in the PDF: no two alike, none with a "/"."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    for number, (name, is_document) in enumerate(listed):
        if is_document:
            own = name.replace("/", "_").replace("\\", "_")
            own = own if own not in taken else f"{number + 1} {own}"
            while own in taken:
                own = f"{number + 1} {own}"
            taken.add(own)
            names[number] = own
    return names


class Portfolio:
    """An open one, read by any number of threads at once: its members lie in a temporary file."""

    def __init__(self, uri: str, file: IO[bytes], etag: str | None, settings: SourceSettings) -> None:
        """`file` is closed. Raises Permanent or Transient."""
        self._uri, self._etag = uri, etag
        self._places: dict[str, tuple[int, int]] = {}  # (where it begins, bytes)
        self._problems: dict[str, str] = {}
        with file:
            size = os.fstat(file.fileno()).st_size
            SizeLimits(settings.max_bytes).judge(uri, size)
            data = file.read()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as this)
        weakref.finalize(self, self._file.close)
        most = min(settings.max_archive_bytes, max(_SMALL, int(settings.archive_ratio * size)))
        for name, member in _unpacked(uri, data):
            start = self._file.tell()
            if member is None:
                self._problems[name] = "it has more bytes than a document within a PDF may have"
            elif start + len(member) > most:
                self._problems[name] = f"with those before it, it unpacks to more than {most:,} bytes"
            else:
                self._file.write(member)
                self._places[name] = start, len(member)
        self._file.flush()

    def refs(self) -> Iterator[DocumentRef]:
        """Each document that it holds."""
        for name, (_, size) in self._places.items():
            yield DocumentRef(f"{self._uri}!/{name}", size, self._etag)
        for name, problem in self._problems.items():
            yield broken(f"{self._uri}!/{name}", Reason.archive_member, problem)

    def read(self, name: str, limits: SizeLimits) -> bytes:
        """The bytes of a member. Raises Permanent, or NoRoom."""
        uri = f"{self._uri}!/{name}"
        if name in self._problems:
            raise Permanent(Reason.archive_member, f"{uri}: {self._problems[name]}")
        if name not in self._places:
            raise Permanent(Reason.object_missing, f"{uri} is no document within the PDF")
        start, size = self._places[name]
        limits.judge(uri, size)
        return os.pread(self._file.fileno(), size, start)


def _unpacked(uri: str, data: bytes) -> Iterator[tuple[str, bytes | None]]:
    """(name, bytes) of each document within a PDF; None for one that is too large."""
    from pipeline.sandbox.drawers import DRAWERS  # with what starts a child, which few sources need
    from pipeline.sandbox.parent import Child

    looker = next(name for name, entry in DRAWERS.items() if entry.looks)
    child = Child(looker, RenderSettings(max_pages=_PAGES))
    try:
        child.open(uri, "pdf", data)
        listed, _ = child.attachments()
        for number, name in member_names(listed).items():
            yield name, child.attachment(number)
    except Permanent as error:
        message = f"{uri}: what it holds cannot be read: {error.message}"
        raise Permanent(error.reason, message, **error.details) from error
    finally:
        child.close()
