"""What a file is, by its first bytes; and what its name promises, for listings that do not open it."""

from __future__ import annotations

from typing import Literal

Kind = Literal["pdf", "png", "jpeg", "webp", "tiff"]

HEAD = 1024  # bytes that `sniff` wants: a PDF's mark may stand anywhere in them
SUPPORTED = "PDF, PNG, JPEG, WebP or TIFF"

TRUTHS = ("truth.jsonl", "metadata.jsonl")  # what is known of the documents in a folder, for `vinbatch eval`

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
# Names that promise what we do not read. Every other name is fetched and judged by its bytes.
_OTHERS = frozenset({
    "txt", "md", "json", "jsonl", "ndjson", "csv", "tsv", "xml", "html", "htm", "css", "js", "py",
    "log", "yaml", "yml", "toml", "ini", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods",
    "rtf", "eml", "msg", "gif", "bmp", "svg", "ico", "heic", "heif", "avif", "mp3", "mp4", "mov", "avi",
    "wav", "parquet", "db", "sqlite", "exe", "dll", "so", "iso", "rar", "7z", "gz", "bz2", "xz", "zst",
    "tbz2", "txz",
})  # fmt: skip


def sniff(head: bytes) -> Kind | None:
    """The kind of a file that begins with `head` (HEAD bytes are enough), None if it is none of ours."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "tiff"
    if b"%PDF-" in head[:HEAD]:
        return "pdf"
    return None


def is_archive(name: str) -> bool:
    """A zip or tar that is listed as its members. Archives are known by name only."""
    return name.lower().endswith(_ARCHIVES)


def promises_other(name: str) -> bool:
    """The name says that this is neither a document nor an archive."""
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return bool(stem and dot) and suffix.lower() in _OTHERS and not is_archive(name)


def is_passed_over(name: str) -> bool:
    """No document and meant to be none: hidden, what a Mac adds to archives, the truth beside specimens.

    `name` is whole path parts, from the place that a person named.
    """
    parts = name.split("/")
    hidden = any(part.startswith(".") and part not in (".", "..") for part in parts)
    return hidden or "__MACOSX" in parts or parts[-1] in TRUTHS
