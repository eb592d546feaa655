"""Objects in S3 or a store that speaks its language. Clients are made on first use, one for each process.

Each operation is one attempt with one request; `retried` is the only loop, so the number of tries is the
setting and nothing multiplies it.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import IO, Any, TypeVar

import boto3
from botocore.config import Config

from pipeline.errors import Reason, Transient, UsageError
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources import refs
from pipeline.sources.limits import SizeLimits
from pipeline.sources.s3_errors import EXPECTED, translate

Listed = tuple[str, int, str | None, str | None]  # key, bytes, etag, storage class if it must be restored
T = TypeVar("T")

_FIRST_READ, _LARGEST_READ = 64, 2**16  # bytes; growing, so that a trickle is noticed soon
_CHECKSUMS = ("ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256")
_SLOWEST = 100_000  # bytes a second; a body that comes slower than this (after timeout_seconds) is given up
_MD5 = re.compile(r"[0-9a-f]{32}")
_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")  # others (GLACIER_IR, …) can be read at once


def parse(uri: str) -> tuple[str, str]:
    """(bucket, key or prefix) of an s3:// URI. Raises UsageError without a bucket."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise UsageError(f"{uri} names no bucket: s3://BUCKET/PREFIX")
    return bucket, key


def found(bucket: str, prefix: str, settings: SourceSettings) -> Iterator[DocumentRef]:
    """Every object whose key begins with `prefix`; if there are none and it has wildcards, those whose key
    matches it. Hidden ones and the like as passed over, archived ones with a failure. Raises Permanent or
    Transient.
    """
    literal = listed(bucket, prefix, settings)
    first = next(literal, None)
    if first is not None:
        for item in chain([first], literal):
            yield _ref(bucket, refs.passed_over_under(prefix, item[0]), *item)
        return
    start = refs.wild_start(prefix)
    if start is not None:
        matching, base = refs.glob_regex(prefix), refs.wild_base(prefix)
        meant = refs.names_hidden(prefix)
        for item in listed(bucket, prefix[:start], settings):
            if matching.fullmatch(item[0]):
                yield _ref(bucket, None if meant else refs.passed_over_under(base, item[0]), *item)


def _ref(
    bucket: str, left_out: str | None, key: str, size: int, etag: str | None, archived: str | None = None
) -> DocumentRef:
    uri = f"s3://{bucket}/{key}"
    if left_out is not None:
        return refs.passed_over(uri, left_out, size)
    if archived:
        what = f"it lies in an archive ({archived}): restore it first, then run again"
        return refs.broken(uri, Reason.object_archived, what, size)
    return refs.found(uri, size, etag)


def listed(bucket: str, prefix: str, settings: SourceSettings) -> Iterator[Listed]:
    """Every object whose key begins with `prefix`, in the store's order, a page of 1,000 in memory.

    Folder markers (empty objects whose key ends in "/") are passed over. Raises Permanent or Transient.
    """
    uri = f"s3://{bucket}/{prefix}"
    more: dict[str, str] = {}
    while True:
        page = retried(partial(_page, uri, bucket, prefix, more, settings), settings.attempts)
        for item in page.get("Contents", ()):
            if not (item["Key"].endswith("/") and item["Size"] == 0):
                yield item["Key"], item["Size"], _etag(item), _archived(item)
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _archived(item: dict[str, Any]) -> str | None:
    """The storage class of an object that must be restored before it can be read, else None."""
    restored = item.get("RestoreStatus") or {}
    readable = not restored.get("IsRestoreInProgress") and restored.get("RestoreExpiryDate")
    storage = item.get("StorageClass")
    return storage if storage in _ARCHIVES and not readable else None


def head(bucket: str, key: str, settings: SourceSettings) -> tuple[int, str | None]:
    """(bytes, etag) of an object. Raises Permanent or Transient."""
    uri = f"s3://{bucket}/{key}"

    def ask() -> tuple[int, str | None]:
        try:
            answer = _client(settings).head_object(Bucket=bucket, Key=key, **_payer(settings))
        except EXPECTED as error:
            raise translate(error, uri, settings.s3_endpoint) from error
        return answer["ContentLength"], _etag(answer)

    return retried(ask, settings.attempts)


def download(bucket: str, key: str, settings: SourceSettings, etag: str | None, into: IO[bytes]) -> None:
    """As `body`, for an archive of at most `max_archive_bytes`, into an open file, tried again."""
    uri = f"s3://{bucket}/{key}"

    def once() -> None:
        into.seek(0)
        into.truncate()
        body(uri, etag, settings, SizeLimits(settings.max_archive_bytes), into.write)

    retried(once, settings.attempts)


def upload(bucket: str, key: str, file: Path, settings: SourceSettings) -> None:
    """An object with the bytes of `file`, in parts where they are many; it is there when it is complete.
    Tried again. Raises Permanent or Transient.
    """

    def once() -> None:
        try:
            with file.open("rb") as data:
                _client(settings).upload_fileobj(data, bucket, key)
        except EXPECTED as error:
            raise translate(error, f"s3://{bucket}/{key}", settings.s3_endpoint) from error

    retried(once, settings.attempts)


def retried(once: Callable[[], T], attempts: int) -> T:
    """The result of `once`, tried `attempts` times in all, with `pauses` after Transient."""
    for pause in pauses(attempts):
        try:
            return once()
        except Transient:
            time.sleep(pause)
    return once()


def pauses(attempts: int) -> Iterator[float]:
    """Seconds to wait after each attempt but the last: growing, and random."""
    return (random.uniform(0.05, min(8.0, 0.1 * 2**attempt)) for attempt in range(1, attempts))


def _page(
    uri: str, bucket: str, prefix: str, more: dict[str, str], settings: SourceSettings
) -> dict[str, Any]:
    try:
        page: dict[str, Any] = _client(settings).list_objects_v2(
            Bucket=bucket,
            Prefix=prefix,
            OptionalObjectAttributes=["RestoreStatus"],
            **_payer(settings),
            **more,
        )
    except EXPECTED as error:
        raise translate(error, uri, settings.s3_endpoint) from error
    return page


def body(
    uri: str,
    etag: str | None,
    settings: SourceSettings,
    limits: SizeLimits,
    take: Callable[[bytes], Any],
) -> str | None:
    """Pass an object's body within `limits` to `take` piece by piece, of that version if `etag` is given.
    Returns the etag that it has.

    The size is judged before the first byte, and the sum of the pieces after the last one. A body that is cut
    short, or that does not have the checksum which was stored with it or the MD5 which its etag promises,
    is Transient. Raises Permanent or Transient.
    """
    bucket, key = parse(uri)
    pinned = {"IfMatch": f'"{etag}"'} if etag else {}
    started = time.monotonic()
    got, chunk, md5 = 0, _FIRST_READ, hashlib.md5(usedforsecurity=False)
    try:
        answer: dict[str, Any] = _client(settings).get_object(
            Bucket=bucket, Key=key, **pinned, **_payer(settings)
        )
        size = int(answer["ContentLength"])
        with closing(answer["Body"]) as stream:  # as its own context manager it leaves boto3's checksum out
            limits.judge(uri, size)
            while piece := stream.read(
                chunk
            ):  # returns when all of `chunk` is there, however slowly it comes
                take(piece)
                md5.update(piece)
                got += len(piece)
                chunk = min(2 * chunk, _LARGEST_READ)
                if time.monotonic() - started > settings.timeout_seconds + got / _SLOWEST:
                    raise Transient(
                        Reason.store_unreachable, f"{uri} comes too slowly: {got:,} of {size:,} bytes"
                    )
    except EXPECTED as error:
        raise translate(error, uri, settings.s3_endpoint) from error
    if got != size:
        raise Transient(Reason.store_unreachable, f"{uri} was cut short: {got:,} of {size:,} bytes")
    if settings.checksum == "etag" and not _as_promised(md5.hexdigest(), answer):
        what = f"{uri} arrived with other bytes than its etag promises"
        policy = 'if it does so each time, the store\'s ETags are no MD5: set source.checksum = "stored"'
        raise Transient(Reason.checksum_mismatch, f"{what}; {policy}")
    return _etag(answer)


def _payer(settings: SourceSettings) -> dict[str, str]:
    return {"RequestPayer": settings.request_payer} if settings.request_payer else {}


def _as_promised(md5: str, answer: dict[str, Any]) -> bool:
    """False if the etag is an MD5 and not this one of the body.

    An object stored in parts or encrypted with KMS has another kind of etag; boto3 itself has compared the
    checksum of one that was stored with a checksum.
    """
    etag = _etag(answer) or ""
    keyed = "aws:kms" in str(answer.get("ServerSideEncryption")) or answer.get("SSECustomerAlgorithm")
    other_kind = keyed or any(map(answer.get, _CHECKSUMS))
    if other_kind or not _MD5.fullmatch(etag):
        return True
    return md5 == etag


def _etag(answer: dict[str, Any]) -> str | None:
    return str(answer.get("ETag", "")).strip('"') or None


def _client(settings: SourceSettings) -> Any:
    """The client for these settings and the credentials that the environment names now."""
    named = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    compared = settings.checksum != "none"
    return _made_client(settings.s3_endpoint, settings.timeout_seconds, compared, named, os.getpid())


@lru_cache(maxsize=4)
def _made_client(
    endpoint: str | None,
    timeout: float,
    compared: bool,
    environment: tuple[tuple[str, str], ...],
    process: int,
) -> Any:
    """`compared`: boto3 compares the checksum that was stored with an object.

    `environment` and `process` are keys of the cache only: boto3 reads its own chain.
    """
    del environment, process
    config = Config(
        connect_timeout=min(timeout, 10.0),
        read_timeout=timeout,
        retries={"mode": "standard", "total_max_attempts": 1},
        s3={"addressing_style": "path"} if endpoint else None,
        response_checksum_validation="when_supported" if compared else "when_required",
    )
    try:
        return boto3.session.Session().client("s3", endpoint_url=endpoint, config=config)
    except ValueError as error:
        raise UsageError(
            f"source.s3_endpoint {endpoint!r}: {error}; it should look like http://host:port"
        ) from error
