"""How a found name becomes a DocumentRef; the same rules for folders, buckets and archives."""

from __future__ import annotations

import re

from pipeline.errors import Reason
from pipeline.filetype import SUPPORTED, promises_other
from pipeline.records import DocumentRef, Failure

_WILD = re.compile(r"[*?\[]")


def found(uri: str, size: int | None, etag: str | None) -> DocumentRef:
    """The ref of something found; with a failure if its name says that it is no document."""
    try:
        uri.encode()
    except UnicodeEncodeError:
        shown = uri.encode("utf-8", "backslashreplace").decode()
        return broken(shown, Reason.unreadable_name, "the name is not UTF-8 text: rename it")
    if promises_other(uri):
        return broken(uri, Reason.unsupported_type, f"by its name not a {SUPPORTED} file", size)
    return DocumentRef(uri, size, etag)


def broken(uri: str, reason: Reason, message: str, size: int | None = None) -> DocumentRef:
    return DocumentRef(uri, size, failure=Failure(reason, message))


def wild_start(pattern: str) -> int | None:
    """Where the first wildcard of `pattern` stands, None without one."""
    match = _WILD.search(pattern)
    return match.start() if match else None


def glob_regex(pattern: str) -> re.Pattern[str]:
    """`*` and `?` within one folder, `**` across folders, `[a-z]` and `[!a-z]` one character."""
    parts: list[str] = []
    place = 0
    while place < len(pattern):
        rest = pattern[place:]
        bracket = re.match(r"\[([!^]?)(\]?[^\]]*)\]", rest)
        if rest.startswith("**/"):
            parts.append("(?:.*/)?")
            place += 3
        elif rest.startswith("**"):
            parts.append(".*")
            place += 2
        elif rest[0] == "*":
            parts.append("[^/]*")
            place += 1
        elif rest[0] == "?":
            parts.append("[^/]")
            place += 1
        elif bracket:
            negated = "^" if bracket[1] else ""
            parts.append(f"[{negated}{re.escape(bracket[2]).replace(chr(92) + '-', '-')}]")
            place += bracket.end()
        else:
            parts.append(re.escape(rest[0]))
            place += 1
    return re.compile("".join(parts), re.DOTALL)
