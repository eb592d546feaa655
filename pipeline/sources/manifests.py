"""A list of documents: JSON lines or separated values. What is broken becomes a ref that says so."""

from __future__ import annotations

import csv
import io
import json
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import IO
from urllib.parse import unquote_plus

from pipeline.errors import Reason, one_line
from pipeline.filetype import is_archive, promises_other
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources import gzips, local, refs, roots
from pipeline.sources.limits import LARGEST

_SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv")
_PACKED = ".gz"  # as S3 Inventory is delivered
_LINE_BYTES = 65536  # the longest line, and the longest entry that goes over several
_LINES = 20  # of one entry
_LONGEST_ETAG = 200
_LONGEST_GROUP = 500
_FORM = 100  # entries: where all of the first are broken, the form is at fault
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_WORDS = re.compile(r"[^\W\d]+(?:[ -][^\W\d]+)*")
_DOCUMENT = re.compile(r"\.(?:pdf|png|jpe?g|webp|tiff?|hei[cf]|avif|gif|bmp|jp2|j2k|xml)$", re.IGNORECASE)
_URIS = (
    "uri", "url", "path", "key", "file", "filename", "filepath", "s3uri", "s3url", "s3path", "s3key",
    "objectkey", "documenturi", "documentpath", "tênfile", "tênfiles", "têntệp", "têntậptin", "đườngdẫn",
)  # fmt: skip
_ETAGS, _SIZES, _BUCKETS = ("etag",), ("size", "bytes"), ("bucket", "bucketname")
_GROUPS = ("group", "groupid", "groupname", "nhóm", "mãnhóm", "tênnhóm")
_NAMES = "uri, url, path, key, file or filename"
_SCHEMES = "an s3:// URI or a path"

Entry = dict[str, object]  # "uri", "size", "etag" and "group", as they stand there


@dataclass(frozen=True, slots=True)
class _Line:
    """`number` (1-based) is that of the first line of an entry that goes over several."""

    number: int
    text: str
    problem: str | None = None


class _Form(ValueError):
    """The whole list has a form that is not known."""


def is_manifest(name: str) -> bool:
    return name.lower().removesuffix(_PACKED).endswith(_SUFFIXES)


def read(uri: str, file: IO[bytes], settings: SourceSettings) -> Iterator[DocumentRef]:
    """The refs of a manifest's lines; `uri` is the manifest's own, and relative paths are beside it.

    JSON lines: a string, or an object with "uri" (or path, url, key, …) and, if known, "etag", "size",
    "bucket" and "group": the files of one document have the same. Separated by comma, semicolon or tab: a
    column with such a heading, or without headings the first column, or bucket and URL-encoded key as S3
    Inventory writes them. Blank lines are passed over. Either may be packed by gzip.

    What an entry may name is judged by `roots`. A list of which no entry can be understood is one failure,
    and so is a packed one that ends too early, behind what it names.
    """
    packed = file.read(len(gzips.MARK)) == gzips.MARK
    file.seek(0)
    if not packed:
        yield from _read(uri, file, settings)
        return
    try:
        unpacked, damage = gzips.unpacked(file, settings.max_archive_bytes)
    except ValueError as error:
        yield refs.broken(uri, Reason.manifest_form, f"it cannot be unpacked: {one_line(error)}")
        return
    with unpacked:
        yield from _read(uri, unpacked, settings)
    if damage is not None:
        yield refs.broken(uri, Reason.manifest_form, f"{damage}: documents may be missing")


def _read(uri: str, file: IO[bytes], settings: SourceSettings) -> Iterator[DocumentRef]:
    separated = uri.lower().removesuffix(_PACKED).endswith((".csv", ".tsv"))
    entries = _separated(uri, file) if separated else _json_lines(file)
    found = _checked(uri, entries, settings)
    first: list[DocumentRef] = []
    try:
        for ref in islice(found, _FORM):
            first.append(ref)
            if ref.failure is None or ref.failure.reason is not Reason.manifest_line:
                break
        else:
            if len(first) > 1 and all(ref.failure for ref in first):
                count = "its lines" if len(first) < _FORM else f"its first {_FORM} lines"
                message = first[0].failure.message if first[0].failure else ""
                raise _Form(f"none of {count} can be read; {message}")
        yield from chain(first, found)
    except _Form as error:
        yield refs.broken(uri, Reason.manifest_form, f"not a list of documents as we know them: {error}")


def _checked(
    uri: str, entries: Iterator[tuple[int, Entry | str]], settings: SourceSettings
) -> Iterator[DocumentRef]:
    for number, entry in entries:
        place = f"{uri}#line-{number}"
        group: str | None = None
        try:
            group = _group(entry)
            ref = _ref(uri, entry)
        except ValueError as error:
            ref = refs.broken(place, Reason.manifest_line, f"line {number}: {one_line(error)}")
        else:
            refusal = roots.manifest_refusal(uri, ref.uri, settings)
            if refusal is not None:
                ref = refs.broken(place, Reason.outside_root, f"line {number}: {refusal}")
        yield ref if group is None else replace(_looked_up(ref), group=group)


def _looked_up(ref: DocumentRef) -> DocumentRef:
    """A file of this machine's as it is now, like one that is found in a folder: so a part that is missing
    is known when it has come, and one that was replaced is told of.
    """
    elsewhere = ref.uri.startswith("s3://") or refs.split_member(ref.uri)[1]
    if elsewhere or ref.failure is not None or ref.etag is not None:
        return ref
    found = local.single(ref.uri)
    return found if ref.size is None else replace(found, size=ref.size)


def _lines(file: IO[bytes]) -> Iterator[_Line]:
    """Lines of bounded length that are not blank, ended as Unix, Windows or an old Mac ends them; of a longer
    one only its number is kept.
    """
    text = io.TextIOWrapper(file, _coding(file), errors="surrogateescape")
    try:
        yield from _bounded(text)
    finally:
        if not text.closed:
            text.detach()  # else it closes the file, which is the caller's


def _bounded(text: io.TextIOWrapper) -> Iterator[_Line]:
    number = 0
    while line := text.readline(_LINE_BYTES):
        number += 1
        if len(line) == _LINE_BYTES and not line.endswith("\n"):
            while len(rest := text.readline(_LINE_BYTES)) == _LINE_BYTES and not rest.endswith("\n"):
                pass
            yield _Line(number, "", f"the line is longer than {_LINE_BYTES:,} characters")
        elif any("\ud800" <= character <= "\udfff" for character in line):
            yield _Line(number, "", "not UTF-8 text")
        elif line.strip():
            yield _Line(number, line)


def _coding(file: IO[bytes]) -> str:
    """UTF-8, or UTF-16 where the file begins with its mark (Excel's "Unicode text")."""
    mark = file.read(2)
    file.seek(0)
    return "utf-16" if mark in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _json_lines(file: IO[bytes]) -> Iterator[tuple[int, Entry | str]]:
    """(number, entry, or what is wrong with it) of each line. The first one says what names the documents, as
    headings do."""
    names: Sequence[str] = _URIS[:1]
    for count, line in enumerate(_lines(file)):
        text = line.text.strip()
        if count == 0 and text in ("[", "{"):
            raise _Form("one JSON document over several lines; one entry a line is read")
        if count == 0 and text.startswith("{"):
            names = _URIS
        yield line.number, line.problem or _json_entry(text, names)


def _json_entry(text: str, names: Sequence[str]) -> Entry | str:
    try:
        entry = json.loads(text)
    except RecursionError:
        return "too many brackets within each other"
    except ValueError as error:
        return one_line(error)
    if isinstance(entry, str):
        return _entry({"uri": entry})
    if not isinstance(entry, dict):
        return f'expected a string or an object with "uri", found {type(entry).__name__}'
    return _entry({_plain(str(name)): value for name, value in entry.items()}, names)


def _separated(uri: str, file: IO[bytes]) -> Iterator[tuple[int, Entry | str]]:
    """As `_json_lines`; the first line says what separates, and what the columns are."""
    lines = _lines(file)
    while (first := next(lines, None)) is not None and first.problem:
        yield first.number, first.problem
    if first is None:
        return
    declared = re.fullmatch(r"sep=(.)\s*", first.text)  # a line that only Excel knows
    if declared:
        first = next(lines, first)
    between = declared[1] if declared else _between(first.text)
    records = _records(chain([first], lines), between)
    number, cells = next(records)
    columns = None if isinstance(cells, str) else _columns(uri, cells)
    if columns is None:
        records = chain([(number, cells)], records)
    ahead = [*islice(records, 2)]
    records = chain(ahead, records)
    inventory = columns is None and _is_inventory([cells for _, cells in ahead])
    if columns is None and not isinstance(cells, str) and not inventory:
        columns = _unheaded(cells)
    for number, cells in records:
        if isinstance(cells, str):
            yield number, cells
        elif inventory:
            key = unquote_plus(cells[1]) if len(cells) > 1 else ""
            yield number, _entry({"bucket": cells[0].strip(), "key": key})
        else:
            entry = _entry(dict(zip(columns or ("uri",), cells, strict=False)))
            yield number, entry | {"size": _number(entry["size"])}


def _number(cell: object) -> object:
    """What a cell says, as a number if it is one."""
    text = str(cell or "").strip()
    return int(text) if re.fullmatch(r"[0-9]{1,20}", text) else text or None


def _between(line: str) -> str:
    """What separates the cells: where a heading that we know or at least two cells appear."""
    split = {mark: _cells(line, mark) for mark in (",", ";", "\t", "|")}
    for mark, cells in split.items():
        if not isinstance(cells, str) and len(cells) > 1 and {_plain(cell) for cell in cells} & {*_URIS}:
            return mark
    if "\t" in line:
        return "\t"
    for mark in (";", "|"):
        cells = split[mark]
        several = "," not in line and not isinstance(cells, str) and len(cells) > 1
        if several and (any(map(_DOCUMENT.search, cells)) or _are_words(cells)):
            return mark
    return ","


def _records(lines: Iterator[_Line], between: str) -> Iterator[tuple[int, list[str] | str]]:
    """(number, cells, or what is wrong) of each entry; one with line breaks within quotes goes over several.

    A quote that is never closed breaks its own line only.
    """
    ahead: list[_Line] = []
    while line := (ahead.pop(0) if ahead else next(lines, None)):
        cells, taken = line.problem or _cells(line.text, between), 0
        text, quotes = line.text, line.text.count('"')
        while quotes % 2 and taken < _LINES and len(text) < _LINE_BYTES:
            if taken == len(ahead):
                ahead += islice(lines, 1)
            if taken == len(ahead) or ahead[taken].problem:
                break
            text += ahead[taken].text
            quotes += ahead[taken].text.count('"')
            taken += 1
        if taken and not quotes % 2 and not isinstance(joined := _cells(text, between), str):
            cells, ahead = joined, ahead[taken:]
        yield line.number, cells


def _cells(text: str, between: str) -> list[str] | str:
    try:
        return next(csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=between), [])
    except csv.Error as error:
        return one_line(error)


def _columns(uri: str, cells: Sequence[str]) -> tuple[str, ...] | None:
    """The headings, None if this is no line of headings. Raises _Form if they name no document."""
    plain = tuple(_plain(cell) for cell in cells)
    if {*plain} & {*_URIS}:
        return plain
    if _are_words(cells) and not _is_beside(uri, cells[0].strip()):
        raise _Form(f"no column is headed {_NAMES}; found {', '.join(cells).strip()[:200]}")
    return None


def _unheaded(cells: Sequence[str]) -> tuple[str, ...]:
    """The columns of a list without headings, by its first line: the documents stand where one is named, else
    in the first column. Raises _Form where that holds numbers or days.
    """
    place = next((place for place, cell in enumerate(cells) if _is_named(cell)), 0)
    if len(cells) > 1 and re.fullmatch(r"[\d\s.,:/-]*", cells[place]):
        raise _Form(f"it has no headings, and no cell of its first line names a document; {_NAMES} is one")
    return ("",) * place + ("uri",)


def _is_named(cell: str) -> bool:
    name = cell.strip()
    return bool(_DOCUMENT.search(name)) or is_archive(name) or "://" in name


def _are_words(cells: Sequence[str]) -> bool:
    return all(_WORDS.fullmatch(cell.strip()) for cell in cells if cell.strip())


def _is_beside(manifest: str, name: str) -> bool:
    """A word may be a document's name all the same."""
    return not manifest.startswith("s3://") and Path(manifest).parent.joinpath(name).exists()


def _is_inventory(first: Sequence[Sequence[str] | str]) -> bool:
    """Whether lines without headings are those of S3 Inventory: always the same bucket, and a key in it."""
    buckets = {line[0].strip() if line and not isinstance(line, str) else "" for line in first}
    bucket, line = buckets.pop(), first[0]
    if buckets or isinstance(line, str) or len(line) < 2 or not _BUCKET.fullmatch(bucket):
        return False
    key = line[1].strip()
    named = is_archive(bucket) or promises_other(bucket) or _DOCUMENT.search(bucket)
    numbers = r"[\d.,-]*"
    figures = re.fullmatch(numbers, bucket) or re.fullmatch(numbers, key)
    return not named and not figures and bool(re.search(r"[./%]", key))


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-#]", "", unicodedata.normalize("NFC", name)).lower()


def _entry(columns: Entry, names: Sequence[str] = _URIS) -> Entry:
    """What we know of an entry, whatever its columns are called."""
    entry = {"uri": _first(columns, names), "etag": _first(columns, _ETAGS), "size": _first(columns, _SIZES)}
    entry["group"] = _first(columns, _GROUPS)
    bucket, uri = _first(columns, _BUCKETS), entry["uri"]
    if isinstance(bucket, str) and bucket.strip() and isinstance(uri, str) and uri and "://" not in uri:
        entry["uri"] = f"s3://{bucket.strip()}/{uri}"
    return entry


def _first(columns: Entry, names: Sequence[str]) -> object:
    return next((columns[name] for name in names if columns.get(name) is not None), None)


def _ref(manifest: str, entry: Entry | str) -> DocumentRef:
    if isinstance(entry, str):
        raise ValueError(entry)
    uri, etag = entry["uri"], entry["etag"]
    if not isinstance(uri, str) or not uri.strip():
        raise ValueError(f"no “uri”: expected {_SCHEMES}")
    if etag is not None and not isinstance(etag, str):
        raise ValueError("“etag” is not text")
    etag = (etag or "").strip().strip('"')
    if len(etag) > _LONGEST_ETAG or not all("!" <= character <= "~" for character in etag):
        raise ValueError("“etag” is not one")
    return refs.found(_resolved(manifest, uri.strip()), _size(entry["size"]), etag or None)


def _group(entry: Entry | str) -> str | None:
    """By what the entry is put together with others, None if by nothing."""
    given = None if isinstance(entry, str) else entry["group"]
    if isinstance(given, bool) or not isinstance(given, str | int | None):
        raise ValueError("“group” is neither text nor a number")
    group = "" if given is None else str(given).strip()
    if len(group) > _LONGEST_GROUP:
        raise ValueError(f"“group” is longer than {_LONGEST_GROUP} characters")
    return group or None


def _size(given: object) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= LARGEST:
        raise ValueError(f"“size” is not a number of bytes (0 to {LARGEST:,})")
    return given


def _resolved(manifest: str, uri: str) -> str:
    """The URI of a manifest's entry; a relative one is beside the manifest."""
    if "\0" in uri:
        raise ValueError("the uri holds a zero byte")
    uri = uri.removeprefix("file://")
    if _WINDOWS.match(uri):
        raise ValueError(f"{uri} is a path of Windows: name it from this list's own folder on, or with s3://")
    if uri.startswith("s3://"):
        if not uri.removeprefix("s3://").partition("/")[2]:
            raise ValueError(f"{uri} names no key")
        return uri
    if "://" in uri:
        raise ValueError(f"{uri} is not {_SCHEMES}")
    if manifest.startswith("s3://") and not uri.startswith("/"):
        folder = manifest.removeprefix("s3://").rpartition("/")[0]
        beside = posixpath.normpath(f"{folder}/{uri}") if ".." in uri.split("/") else f"{folder}/{uri}"
        return f"s3://{beside}"
    if "\\" in uri and "/" not in uri and not _is_beside(manifest, uri):
        uri = uri.replace("\\", "/")  # as Windows writes a path
    return posixpath.normpath(posixpath.join(posixpath.dirname(manifest), uri))
