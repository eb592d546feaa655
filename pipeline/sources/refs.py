"""How a found name becomes a DocumentRef; the same rules for folders, buckets and archives."""

from __future__ import annotations

import re
from collections.abc import Callable

from pipeline import filetype
from pipeline.errors import Reason
from pipeline.filetype import SUPPORTED, holds_members, is_archive, promises_other
from pipeline.records import DocumentRef, Failure

_WILD = re.compile(r"[*?\[]")


def found(uri: str, size: int | None, etag: str | None) -> DocumentRef:
    """The ref of something found; with a failure if its name says that it is no document."""
    try:
        uri.encode()
    except UnicodeEncodeError:
        shown = uri.encode("utf-8", "backslashreplace").decode()
        return broken(shown, Reason.unreadable_name, "the name is not UTF-8 text: rename it")
    if "\0" in uri:
        shown = uri.replace("\0", "\\0")
        return broken(shown, Reason.unreadable_name, "the name holds a zero byte: rename it")
    if promises_other(uri):
        return broken(uri, Reason.unsupported_type, f"by its name not a {SUPPORTED} file", size)
    return DocumentRef(uri, size, etag)


def broken(uri: str, reason: Reason, message: str, size: int | None = None) -> DocumentRef:
    return DocumentRef(uri, size, failure=Failure(reason, message))


def passed_over(uri: str, why: str, size: int | None = None) -> DocumentRef:
    """What is no document and meant to be none; `list_documents` leaves it out unless it is asked for."""
    return broken(uri, Reason.passed_over, why, size)


def passed_over_under(prefix: str, key: str) -> str | None:
    """Why `key`, which begins with `prefix`, is passed over where a person named `prefix`; None if it is not.

    Whole path parts are judged: of s3://b/p/a the key p/a.pdf is "a.pdf". What the prefix itself spells with
    a dot ("p/.hid") was named.
    """
    if key == prefix:
        return None
    begun = prefix.rpartition("/")[2]
    rest = key.removeprefix(folder_of(prefix))
    return filetype.passed_over(rest.removeprefix(".") if begun.startswith(".") else rest)


def folder_of(name: str) -> str:
    """The folder that `name` lies in, with its closing "/", or empty."""
    return "".join(name.rpartition("/")[:2])


def split_member(uri: str) -> tuple[str, str]:
    """(archive, member) of ARCHIVE!/member, the archive being a portfolio too, which may itself be a member
    of an archive; (uri, "") of anything else.
    """
    place = _end(uri, 0, holds_members)
    if place is None:
        return uri, ""
    if is_archive(uri[:place]):
        place = _end(uri, place + 2, lambda name: holds_members(name) and not is_archive(name)) or place
    return uri[:place], uri[place + 2 :]


def file_of(uri: str) -> str:
    """The file or object that a URI lies in, or is."""
    while (outer := split_member(uri)[0]) != uri:
        uri = outer
    return uri


def _end(uri: str, start: int, holds: Callable[[str], bool]) -> int | None:
    """Where the first name from `start` on ends that says that it `holds` members."""
    place = uri.find("!/", start)
    while place >= 0:
        if holds(uri[start:place]):
            return place
        place = uri.find("!/", place + 1)
    return None


def wild_start(pattern: str) -> int | None:
    """Where the first wildcard of `pattern` stands, None without one."""
    match = _WILD.search(pattern)
    return match.start() if match else None


def wild_base(pattern: str) -> str:
    """The folder (with its closing "/", or empty) in which the first wildcard of `pattern` stands."""
    return folder_of(pattern[: wild_start(pattern)])


def names_hidden(pattern: str) -> bool:
    """Whether a glob spells a dot at the start of a path part, and so means hidden files."""
    return any(part.startswith(".") for part in pattern[len(wild_base(pattern)) :].split("/"))


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
