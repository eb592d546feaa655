"""What a file is, by its first bytes; and what its name promises, for listings that do not open it."""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal["pdf", "png", "jpeg", "webp", "tiff", "heic", "avif", "gif", "bmp", "jp2", "xml"]

HEAD = 1024  # bytes that `sniff` wants: a PDF's mark may stand anywhere in them
SUPPORTED = "PDF, PNG, JPEG, WebP, TIFF, HEIC, AVIF, GIF, BMP, JPEG 2000 or XML"

TRUTHS = ("truth.jsonl", "metadata.jsonl")  # what is known of the documents in a folder, for `vinbatch eval`

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
# Names that promise what may hold a document, but is not read. Such a file gets a row that says so.
_UNREAD = frozenset({
    "doc", "docx", "odt", "rtf", "ppt", "pptx", "odp", "pages", "xps", "oxps", "ps", "eps", "djvu", "djv",
    "eml", "msg", "p7m", "rar", "7z", "gz", "bz2", "xz", "zst", "tbz2", "txz", "iso",
    "psd", "dng", "cr2", "cr3", "nef", "arw", "orf", "raf", "rw2",
    "part", "partial", "crdownload", "download",
})  # fmt: skip
# Names that promise what is plainly no document: it is passed over where it lies beside documents.
_OTHERS = frozenset({
    "txt", "md", "json", "jsonl", "ndjson", "csv", "tsv", "xsl", "xslt", "xsd", "html", "htm", "css", "js",
    "py", "log", "yaml", "yml", "toml", "ini", "xls", "xlsx", "xlsm", "xlsb", "ods", "svg", "ico", "mp3",
    "mp4", "mov", "avi", "wav", "m4a", "mkv", "3gp", "wmv", "webm", "parquet", "db", "sqlite", "exe", "dll",
    "so", "lnk", "url", "webloc", "desktop", "bat", "ps1", "sh", "tmp", "xmp", "aae", "thm", "nfo",
    "md5", "sha1", "sha256", "crc", "asc", "sig", "p7s",
})  # fmt: skip
_PICTURES = frozenset({
    "pdf", "png", "jpg", "jpeg", "webp", "tif", "tiff", "heic", "heif", "avif", "gif", "bmp", "jp2",
})  # fmt: skip
# What Windows, a Mac and network drives keep for themselves, thumbnails of the documents among them.
_SYSTEM = frozenset({
    "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir", "#recycle", "Icon\r",
})  # fmt: skip
# What programs and their writers lay beside files, by whole names without regard to capitals.
_NOTES = frozenset({
    "readme", "license", "licence", "copying", "notice", "changelog", "makefile", "dockerfile", "_success",
})  # fmt: skip
_FOLDER_MARK = "_$folder$"  # Hadoop's name for an empty folder in a bucket
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_AVIF = frozenset({b"avif", b"avis"})
_XML = re.compile(r"\s*<(?:\?xml\b|(?!html\b)[^\W\d][\w.-]*(?::[\w.-]+)?[\s/>])", re.IGNORECASE)
_WIDE = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be", b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes


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
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")):
        return "jp2"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    if b"%PDF-" in head[:HEAD]:
        return "pdf"
    return "xml" if _is_xml(head[:HEAD]) else None


def _of_brands(head: bytes) -> Kind | None:
    """By the brands of a file in boxes (ISO/IEC 14496-12); a film has others."""
    size = int.from_bytes(head[:4], "big")
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(size, len(head)), 4))}
    return "avif" if brands & _AVIF else "heic" if brands & _HEIC else None


def _is_xml(head: bytes) -> bool:
    """A declaration or a root element stands first, behind a byte order mark and white space at most."""
    text = head.decode(wide_coding(head) or "utf-8", "replace")
    return _XML.match(text.removeprefix("\ufeff")) is not None


def wide_coding(head: bytes) -> str | None:
    """The coding of XML whose characters have two bytes, by its first ones; None for any other."""
    return next((coding for mark, coding in _WIDE.items() if head.startswith(mark)), None)


def promises_picture(name: str) -> bool:
    """The name says that this is print or a picture of it."""
    return _suffix(name) in _PICTURES


def is_archive(name: str) -> bool:
    """A zip or tar that is listed as its members. Archives are known by name only."""
    return name.lower().endswith(_ARCHIVES)


def holds_members(name: str) -> bool:
    """An archive, or a PDF, which may be a portfolio: NAME!/member names one of what it holds."""
    return is_archive(name) or _suffix(name) == "pdf"


def promises_other(name: str) -> bool:
    """The name says that this is neither a document that is read nor an archive that is opened."""
    return _suffix(name) in _OTHERS | _UNREAD and not is_archive(name)


def is_hidden(name: str) -> bool:
    """A file or folder that nobody means when naming the folder it lies in: hidden, or the system's own.

    `name` is whole path parts, from the place that a person named.
    """
    parts = name.split("/")
    return any(part in _SYSTEM or (part.startswith(".") and part not in (".", "..")) for part in parts)


def passed_over(name: str) -> str | None:
    """Why a file is no document and meant to be none; None if it may be one. `name` as for `is_hidden`."""
    last = name.rpartition("/")[2]
    if is_hidden(name):
        return "hidden, or the system's own"
    if last in TRUTHS:
        return "what is known of the documents beside it"
    note = last.lower() in _NOTES or last.endswith(_FOLDER_MARK)
    if note or _suffix(last) in _OTHERS or last.startswith("~$"):  # an open file of Microsoft Office
        return "no document by its name"
    return None


def _suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return suffix.lower() if stem and dot else ""
