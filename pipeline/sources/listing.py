"""Sources as a person types them become a stream of documents."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from pipeline.errors import Coded, Permanent, Reason, UsageError
from pipeline.filetype import is_archive, is_passed_over
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources import fetching, local, manifests, refs, s3


def list_documents(sources: Sequence[str], settings: SourceSettings) -> Iterator[DocumentRef]:
    """Every document of every source, in order, streamed: memory does not grow with their number.

    A source is s3://BUCKET/PREFIX (or a key, or a key with wildcards), a folder, a file, a glob, a manifest
    (.jsonl, .ndjson, .csv), an archive (.zip, .tar, .tar.gz, .tgz) or one member of it. Archives found on the
    way are listed as their members. Two sources may name the same document: it then comes twice.

    Raises UsageError for a source that does not exist, before the first document; Permanent (access_denied)
    or Transient (store_unreachable) for a store that does not let itself be listed.
    """
    if not sources:
        raise UsageError("no source given: a folder, a file, a manifest, an archive or s3://BUCKET/PREFIX")
    return chain.from_iterable([_listed(source, settings) for source in sources])


def _listed(source: str, settings: SourceSettings) -> Iterator[DocumentRef]:
    """One source. What can be known about it at once is checked at once."""
    if source.startswith("s3://"):
        return _begun(_from_s3(source, settings))
    if source.startswith("file://"):
        source = source.removeprefix("file://")
    elif "://" in source:
        raise UsageError(f"{source}: documents come from files or from s3://, not from other addresses")
    path = os.path.abspath(Path(source).expanduser())  # noqa: PTH100  (resolve() would follow links)
    return _from_files(path, source, settings)


def _from_files(path: str, typed: str, settings: SourceSettings) -> Iterator[DocumentRef]:
    if Path(path).is_dir():
        return _expanded(local.walk(path), settings)
    if Path(path).exists():
        if manifests.is_manifest(path):
            return _manifest(path, None, settings)
        return _expanded([local.single(path)], settings)
    archive, member = fetching.split_member(path)
    if member and Path(archive).exists():
        return _member(archive, path, settings)
    if refs.wild_start(path) is not None:
        matches = local.glob(path)
        first = next(matches, None)
        if first is None:
            raise UsageError(f"no file matches {typed}")
        return _expanded(chain([first], matches), settings)
    raise UsageError(f"{typed} does not exist")


def _from_s3(source: str, settings: SourceSettings) -> Iterator[DocumentRef]:
    archive, member = fetching.split_member(source)
    if member:
        yield from _member(archive, source, settings)
        return
    bucket, prefix = s3.parse(source)
    objects = _objects(bucket, prefix, settings)
    first = next(objects, None)
    if first is None:
        raise UsageError(f"{source}: the bucket has no object there")
    exact = first[0] == prefix  # this very object, whatever else begins with its key
    if exact and manifests.is_manifest(source):
        yield from _manifest(source, first[2], settings)
        return
    objects = iter([first]) if exact else chain([first], objects)
    found = (refs.found(f"s3://{bucket}/{key}", size, etag) for key, size, etag in objects)
    yield from _expanded(found, settings)


def _objects(bucket: str, prefix: str, settings: SourceSettings) -> Iterator[s3.Listed]:
    """Objects under a prefix; if there are none and it has wildcards, objects whose key matches it."""
    try:
        literal = s3.listed(bucket, prefix, settings)
        first = next(literal, None)
        if first is not None:
            for item in chain([first], literal):
                if item[0] == prefix or not is_passed_over(item[0].removeprefix(prefix)):
                    yield item
            return
        start = refs.wild_start(prefix)
        if start is not None:
            matching = refs.glob_regex(prefix)
            for item in s3.listed(bucket, prefix[:start], settings):
                if matching.fullmatch(item[0]):
                    yield item
    except Permanent as error:
        if error.reason in (Reason.object_missing, Reason.bucket_missing):
            raise UsageError(error.message) from error
        raise


def _expanded(found: Iterable[DocumentRef], settings: SourceSettings) -> Iterator[DocumentRef]:
    """`found` with each archive replaced by its members."""
    for ref in found:
        if ref.failure is None and is_archive(ref.uri):
            yield from _members(ref, settings)
        else:
            yield ref


def _members(ref: DocumentRef, settings: SourceSettings) -> Iterator[DocumentRef]:
    try:
        archive = fetching.opened_archive(ref.uri, ref.etag, settings)
    except Coded as error:
        yield refs.broken(ref.uri, error.reason, error.message, ref.size)
    else:
        members = archive.refs()
        first = next(members, None)
        if first is None:
            yield refs.broken(ref.uri, Reason.archive_damaged, "the archive holds no files", ref.size)
        else:
            yield first
            yield from members


def _member(archive: str, uri: str, settings: SourceSettings) -> Iterator[DocumentRef]:
    """One member of an archive, by its URI."""
    ref = DocumentRef(archive, etag=fetching.etag_now(archive, settings))
    for member in _members(ref, settings):
        if member.uri == uri:
            yield member
            return
    raise UsageError(f"{uri} is not in the archive")


def _manifest(uri: str, etag: str | None, settings: SourceSettings) -> Iterator[DocumentRef]:
    with fetching.open_file(uri, etag, settings) as file:
        yield from _expanded(manifests.read(uri, file), settings)


def _begun(documents: Iterator[DocumentRef]) -> Iterator[DocumentRef]:
    """The same documents, the first one already found: what is wrong with the source is raised here."""
    first = next(documents, None)
    return iter(()) if first is None else chain([first], documents)
