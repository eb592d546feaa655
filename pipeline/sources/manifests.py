"""A list of documents: JSON lines or CSV. A broken line becomes a ref that says which line and why."""

from __future__ import annotations

import csv
import json
import posixpath
from collections.abc import Iterator
from typing import IO

from pipeline.errors import Reason
from pipeline.records import DocumentRef
from pipeline.sources import refs

_SUFFIXES = (".jsonl", ".ndjson", ".csv")
_LINE_BYTES = 65536  # the longest line
_SCHEMES = "an s3:// URI or a path"


def is_manifest(name: str) -> bool:
    return name.lower().endswith(_SUFFIXES)


def read(uri: str, file: IO[bytes]) -> Iterator[DocumentRef]:
    """The refs of a manifest's lines; `uri` is the manifest's own, and relative paths are beside it.

    JSON lines: a string, or an object with "uri" and, if known, "etag" and "size". CSV: a column headed "uri"
    (and "etag", "size"), or without such a header the first column. Blank lines are passed over.
    """
    is_csv = uri.lower().endswith(".csv")
    header: list[str] | None = None
    for number, raw in enumerate(_lines(file), start=1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if not line:
                continue
            if is_csv and number == 1 and "uri" in (cells := [cell.strip().lower() for cell in _cells(line)]):
                header = cells
                continue
            entry = _csv_entry(line, header) if is_csv else _json_entry(line)
            yield _ref(uri, entry)
        except (ValueError, csv.Error) as error:
            yield refs.broken(
                f"{uri}#line-{number}", Reason.manifest_line, f"line {number}: {_one_line(error)}"
            )


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines of bounded length; the rest of a longer one is dropped, and it is then no valid entry."""
    while line := file.readline(_LINE_BYTES):
        if len(line) == _LINE_BYTES and not line.endswith(b"\n"):
            while len(rest := file.readline(_LINE_BYTES)) == _LINE_BYTES and not rest.endswith(b"\n"):
                pass
            line = b"\xff"  # not UTF-8: reported as a broken line
        yield line


def _cells(line: str) -> list[str]:
    return next(csv.reader([line], strict=True))


def _csv_entry(line: str, header: list[str] | None) -> dict[str, object]:
    cells = _cells(line)
    entry: dict[str, object] = dict(zip(header or ["uri"], cells, strict=False))
    size = str(entry.get("size") or "").strip()
    return entry | {"size": int(size) if size else None}


def _json_entry(line: str) -> dict[str, object]:
    entry = json.loads(line)
    if isinstance(entry, str):
        return {"uri": entry}
    if not isinstance(entry, dict):
        raise ValueError(f'expected a string or an object with "uri", found {type(entry).__name__}')
    return entry


def _ref(manifest: str, entry: dict[str, object]) -> DocumentRef:
    uri, size, etag = entry.get("uri"), entry.get("size"), entry.get("etag")
    if not isinstance(uri, str) or not uri.strip():
        raise ValueError(f"no “uri”: expected {_SCHEMES}")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
        raise ValueError("“size” is not a number of bytes")
    if etag is not None and not isinstance(etag, str):
        raise ValueError("“etag” is not text")
    return refs.found(_resolved(manifest, uri.strip()), size, etag or None)


def _resolved(manifest: str, uri: str) -> str:
    """The URI of a manifest's entry; a relative one is beside the manifest."""
    if "\0" in uri:
        raise ValueError("the uri holds a zero byte")
    if uri.startswith("s3://"):
        if not uri.removeprefix("s3://").partition("/")[2]:
            raise ValueError(f"{uri} names no key")
        return uri
    if "://" in uri:
        raise ValueError(f"{uri} is not {_SCHEMES}")
    if manifest.startswith("s3://") and not uri.startswith("/"):
        return f"{manifest.rpartition('/')[0]}/{uri}"
    return posixpath.normpath(posixpath.join(posixpath.dirname(manifest), uri))


def _one_line(error: Exception) -> str:
    return "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else " ".join(str(error).split())
