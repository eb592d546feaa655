"""What a file is, by its first bytes; and which names promise a document or an archive."""

from __future__ import annotations

from typing import Literal

Kind = Literal["pdf", "png", "jpeg", "webp", "tiff"]

HEAD = 1024  # bytes that `sniff` wants: a PDF's mark may stand anywhere in them
DOCUMENT_SUFFIXES = (".pdf", ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff")
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
# Names that promise something else, so that a listing need not fetch it to know.
OTHER_SUFFIXES = (
    ".txt", ".md", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".xml", ".html", ".htm", ".log", ".yaml",
    ".yml",     ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".ods", ".rtf", ".eml", ".msg",
    ".gif", ".bmp", ".svg", ".heic", ".heif", ".avif", ".mp4", ".mov", ".mp3", ".wav",
    ".parquet", ".db", ".sqlite", ".py", ".js", ".exe", ".dll", ".so", ".rar", ".7z", ".gz", ".bz2",
    ".xz", ".zst",
)  # fmt: skip
SUPPORTED = "PDF, PNG, JPEG, WebP or TIFF"


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
    return name.lower().endswith(ARCHIVE_SUFFIXES)
