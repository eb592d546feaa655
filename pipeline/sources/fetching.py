"""One document's bytes, pinned to one version."""

from __future__ import annotations

import hashlib
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import IO

from pipeline.errors import Permanent, Reason
from pipeline.filetype import is_archive
from pipeline.records import Document
from pipeline.settings import SourceSettings
from pipeline.sources import local, s3
from pipeline.sources.archives import Archive, open_archive
from pipeline.sources.limits import Limits


def fetch(uri: str, settings: SourceSettings, etag: str | None = None, room: int | None = None) -> Document:
    """The bytes of a document, with their sha256 and the etag they had.

    With `etag` (as listed) the very version that was listed, else object_changed. With `room` (bytes) a
    larger document raises NoRoom before a byte of it is fetched. Tried `settings.attempts` times where the
    network or the server fails. Raises Permanent or Transient with the reason.
    """
    limits = Limits(settings.max_bytes, room)
    archive, member = split_member(uri)
    if member:
        etag = etag or etag_now(archive, settings)
        data, found = opened_archive(archive, etag, settings).read(member, limits), etag
    elif uri.startswith("s3://"):
        data, found = s3.read(*s3.parse(uri), settings, etag, limits)
    else:
        data, found = s3.retried(lambda: local.read(uri, limits, etag), settings.attempts)
    if not data:
        raise Permanent(Reason.empty_file, f"{uri} has no bytes")
    return Document(uri, data, hashlib.sha256(data).hexdigest(), found)


def split_member(uri: str) -> tuple[str, str]:
    """(archive, member) of ARCHIVE!/member; (uri, "") of anything else."""
    place = uri.find("!/")
    while place >= 0:
        if is_archive(uri[:place]):
            return uri[:place], uri[place + 2 :]
        place = uri.find("!/", place + 1)
    return uri, ""


@lru_cache(maxsize=1)
def opened_archive(uri: str, etag: str | None, settings: SourceSettings) -> Archive:
    """The archive, kept open: members are mostly read one after the other. From S3 it is downloaded once."""
    return open_archive(uri, open_file(uri, etag, settings), etag, settings)


def open_file(uri: str, etag: str | None, settings: SourceSettings) -> IO[bytes]:
    """An archive or manifest as an open file of its own. Raises Permanent or Transient."""
    if not uri.startswith("s3://"):
        if etag is not None and local.etag(uri) != etag:
            raise Permanent(Reason.object_changed, f"{uri} was written to since it was listed; run again")
        try:
            return Path(uri).open("rb")
        except OSError as error:
            raise local.translated(error, uri) from error
    file = tempfile.TemporaryFile()  # noqa: SIM115  (handed to the caller)
    try:
        s3.download(*s3.parse(uri), settings, etag, file)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def etag_now(uri: str, settings: SourceSettings) -> str | None:
    """The etag that the archive has now."""
    return s3.head(*s3.parse(uri), settings)[1] if uri.startswith("s3://") else local.etag(uri)
