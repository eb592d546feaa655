"""The kinds of places where documents lie, each one class in the registry `_PLACES`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from pipeline.errors import Permanent, Reason, UsageError
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources import local, refs, s3
from pipeline.sources.limits import SizeLimits


class Found(NamedTuple):
    refs: Iterator[DocumentRef]
    exact: bool  # the one thing of the very name that was typed, not what begins with it or matches it
    base: str  # how every URI of it begins: the folder that a person named, or that the names lie in


class Place(Protocol):
    """Where documents lie. Every method may raise Permanent or Transient."""

    def uri(self, typed: str) -> str:
        """The URI of what a person typed."""

    def base(self, uri: str) -> str:
        """How the URI of everything begins that is found for `uri`: see `Found`."""

    def find(self, uri: str, settings: SourceSettings) -> Found:
        """What is there, streamed, passed-over things with their failure. Raises UsageError if nothing is."""

    def order(self, uri: str) -> Any:
        """By what it sorts the URIs that `find` names."""

    def read(
        self, uri: str, settings: SourceSettings, etag: str | None, limits: SizeLimits
    ) -> tuple[bytes, str | None]:
        """(bytes, etag), of that version if `etag` is given; one try."""

    def open(self, uri: str, etag: str | None, settings: SourceSettings) -> IO[bytes]:
        """A file with a descriptor of its own, for archives and manifests; the caller closes it."""

    def etag(self, uri: str, settings: SourceSettings) -> str | None:
        """The etag that it has now."""

    def still(self, uri: str, etag: str | None, settings: SourceSettings) -> None:
        """Raises Permanent (object_changed) if what `open` gave may since have become another version."""


class Disk:
    """Files of this machine: absolute paths."""

    def uri(self, typed: str) -> str:
        path = Path(typed.removeprefix("file://")).expanduser()
        return os.path.abspath(path)  # noqa: PTH100  (resolve() would follow links)

    def base(self, uri: str) -> str:
        if Path(uri).is_dir():
            return uri
        wild = refs.wild_start(uri) is not None and not Path(uri).exists()
        return refs.wild_base(uri) if wild else refs.folder_of(uri)

    def find(self, uri: str, settings: SourceSettings) -> Found:
        base = self.base(uri)
        if Path(uri).is_dir():
            return Found(local.walk(uri, settings), exact=False, base=base)
        if Path(uri).exists():
            return Found(iter([local.single(uri)]), exact=True, base=base)
        if refs.wild_start(uri) is None:
            raise UsageError(f"{uri} does not exist")
        return Found(_some(local.glob(uri, settings), f"no file matches {uri}"), exact=False, base=base)

    def order(self, uri: str) -> Any:
        return uri.split("/")  # a folder's names are sorted, and what is in it comes in its place

    def read(
        self,
        uri: str,
        settings: SourceSettings,  # noqa: ARG002
        etag: str | None,
        limits: SizeLimits,
    ) -> tuple[bytes, str | None]:
        return local.read(uri, limits, etag)

    def open(self, uri: str, etag: str | None, settings: SourceSettings) -> IO[bytes]:  # noqa: ARG002
        return local.open_pinned(uri, etag)

    def etag(self, uri: str, settings: SourceSettings) -> str | None:  # noqa: ARG002
        return local.etag(uri)

    def still(self, uri: str, etag: str | None, settings: SourceSettings) -> None:  # noqa: ARG002
        if etag is not None and local.etag(uri) != etag:
            raise Permanent(Reason.object_changed, f"{uri} was written to since it was listed; run again")


class Buckets:
    """Objects of S3, or of a store that speaks its language: s3://BUCKET/KEY."""

    def uri(self, typed: str) -> str:
        return typed

    def base(self, uri: str) -> str:
        return refs.folder_of(uri)

    def find(self, uri: str, settings: SourceSettings) -> Found:
        bucket, prefix = s3.parse(uri)
        try:
            objects = _some(s3.found(bucket, prefix, settings), f"{uri}: the bucket has no object there")
            first = next(objects)
        except Permanent as error:
            if error.reason in (Reason.object_missing, Reason.bucket_missing):
                raise UsageError(error.message) from error
            raise
        exact = first.uri == f"s3://{bucket}/{prefix}"
        if exact and "." in prefix.rpartition("/")[2]:
            return Found(iter([first]), exact, base=self.base(uri))  # a file, whatever begins with its name
        # An object "in" beside "in/1.pdf" is what some programs make for a folder.
        second = next(objects, None)
        found = chain([first], [] if second is None else [second], objects)
        return Found(found, exact and second is None, base=self.base(uri))

    def order(self, uri: str) -> Any:
        return uri

    def read(
        self, uri: str, settings: SourceSettings, etag: str | None, limits: SizeLimits
    ) -> tuple[bytes, str | None]:
        parts: list[bytes] = []
        found = s3.body(uri, etag, settings, limits, parts.append)
        return b"".join(parts), found

    def open(self, uri: str, etag: str | None, settings: SourceSettings) -> IO[bytes]:
        file = tempfile.TemporaryFile()  # noqa: SIM115  (handed to the caller)
        try:
            s3.download(*s3.parse(uri), settings, etag, file)
            file.seek(0)  # and written out, for those who read by the descriptor
        except BaseException:
            file.close()
            raise
        return file

    def etag(self, uri: str, settings: SourceSettings) -> str | None:
        return s3.head(*s3.parse(uri), settings)[1]

    def still(self, uri: str, etag: str | None, settings: SourceSettings) -> None:
        """It is a copy, downloaded whole."""


_PLACES: dict[str, Place] = {"": Disk(), "file": Disk(), "s3": Buckets()}


def uri(typed: str) -> str:
    """The URI by which the store knows what a person typed. Raises UsageError."""
    return of(typed).uri(typed)


def is_file(typed: str) -> bool:
    """Whether a person has typed the name of a file of this machine."""
    return isinstance(place := of(typed), Disk) and Path(place.uri(typed)).is_file()


def of(uri: str) -> Place:
    """The place that `uri` lies in. Raises UsageError if there is none for its scheme."""
    scheme, mark, _ = uri.partition("://")
    place = _PLACES.get(scheme if mark and "/" not in scheme else "")
    if place is None:
        raise UsageError(f"{uri}: documents come from files or from s3://, not from other addresses")
    return place


def _some(found: Iterator[DocumentRef], nothing: str) -> Iterator[DocumentRef]:
    """The same, the first one already found. Raises UsageError if there is not one."""
    first = next(found, None)
    if first is None:
        raise UsageError(nothing)
    return chain([first], found)
