"""One document's bytes, pinned to one version."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from collections import OrderedDict
from typing import IO

from pipeline.errors import Permanent, Reason, Transient
from pipeline.records import Document
from pipeline.settings import SourceSettings
from pipeline.sources import local, places, s3
from pipeline.sources.archives import Archive, open_archive
from pipeline.sources.limits import SizeLimits
from pipeline.sources.refs import file_of, split_member

_OPEN = 4  # archives kept open; one from S3 lies on the disk meanwhile


def fetch(uri: str, settings: SourceSettings, etag: str | None = None, room: int | None = None) -> Document:
    """The bytes of a document, with their sha256 and the etag they had. Any number of threads may fetch.

    With `etag` (as listed) the very version that was listed, else object_changed. With `room` (bytes) a
    larger document raises NoRoom before a byte of it is fetched. Tried `settings.attempts` times where the
    network or the server fails. Raises Permanent or Transient with the reason.
    """
    limits = SizeLimits(settings.max_bytes, room)
    archive, member = split_member(uri)
    if member:
        place, file = places.of(archive), file_of(archive)
        etag = etag or place.etag(file, settings)
        try:
            data, found = opened_archive(archive, etag, settings).read(member, limits), etag
        except OSError as error:
            raise local.translated(error, archive) from error
        finally:  # whatever came of it: the bytes of a file that is written in its place are of no version
            place.still(file, etag, settings)
    else:
        place, pauses = places.of(uri), s3.pauses(settings.attempts)
        while True:
            try:
                data, found = place.read(uri, settings, etag, limits)
                break
            except Transient:
                pause = next(pauses, None)
                if pause is None:
                    raise
                time.sleep(pause)
    if not data:
        raise Permanent(Reason.empty_file, f"{uri} has no bytes")
    return Document(uri, data, hashlib.sha256(data).hexdigest(), found)


class _Opened:
    """The archives that were used last, kept open; each is opened once, however many threads ask for it.

    Called like a function with functools' lru_cache, and like one it forgets with `cache_clear`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str | None, SourceSettings], _Opening] = OrderedDict()

    def __call__(self, uri: str, etag: str | None, settings: SourceSettings) -> Archive:
        """The archive; from S3 it is downloaded once. Raises Permanent or Transient."""
        key = (uri, etag, settings)
        with self._lock:
            opening = self._held.setdefault(key, _Opening())
            self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
        with opening.lock:
            if opening.archive is None:
                outer, member = split_member(uri)
                if member:
                    file = _unpacked(self(outer, etag, settings).read(member, SizeLimits(settings.max_bytes)))
                else:
                    file = places.of(uri).open(uri, etag, settings)
                opening.archive = open_archive(uri, file, etag, settings)
        return opening.archive

    def cache_clear(self) -> None:
        with self._lock:
            self._held.clear()


def _unpacked(data: bytes) -> IO[bytes]:
    """A nameless file of these bytes."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  (handed to the caller)
    try:
        file.write(data)
        file.seek(0)  # and written out, for those who read by the descriptor
    except BaseException:
        file.close()
        raise
    return file


class _Opening:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.archive: Archive | None = None


opened_archive = _Opened(_OPEN)
