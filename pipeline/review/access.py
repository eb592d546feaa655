"""Who may come in, and what they may do.

A person comes with a token in the link that they were given; the answer is a cookie, and the link without
the token. Whoever only looks has the role "reads"; decisions need "reviews". What changes anything bears the
session's own key in a header, which no page of another site can know.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pipeline.errors import UsageError

Role = Literal["reads", "reviews"]
COOKIE = "vinbatch_review"
_SHORTEST = 20  # characters of a token that a person chose
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    role: Role

    @property
    def may_decide(self) -> bool:
        return self.role == "reviews"


@dataclass(frozen=True, slots=True)
class Session:
    """`key` goes with whatever changes something."""

    person: Person
    key: str


class Access:
    """The people by the hashes of their tokens, and the sessions of those who came."""

    def __init__(self, people: Mapping[str, Person], hosts: Sequence[str]) -> None:
        """`people` by their tokens; `hosts` are the values of the Host header that are ours, with port."""
        self._people = {_hashed(token): person for token, person in people.items()}
        self._hosts = frozenset(host.lower() for host in hosts)
        self._sessions: dict[str, Session] = {}

    def knows_host(self, host: str | None) -> bool:
        """A page elsewhere may make a browser ask us under a name of its own: then this is not our name."""
        return host is not None and host.lower() in self._hosts

    def enter(self, token: str) -> tuple[str, Session] | None:
        """The cookie and the session of whoever has this token; None for nobody's."""
        given, found = _hashed(token), None
        for known, person in self._people.items():
            if hmac.compare_digest(known, given):
                found = person
        if found is None:
            return None
        cookie = secrets.token_urlsafe(32)
        self._sessions[cookie] = session = Session(found, secrets.token_urlsafe(32))
        return cookie, session

    def session(self, cookie: str | None) -> Session | None:
        return self._sessions.get(cookie or "")

    def leave(self, cookie: str | None) -> None:
        self._sessions.pop(cookie or "", None)


def same_key(session: Session, given: str | None) -> bool:
    return hmac.compare_digest(session.key.encode(), (given or "").encode())


def fresh(reviewer: str) -> dict[str, Person]:
    """Two tokens of chance: for `reviewer`, and for somebody who only looks."""
    return {
        secrets.token_urlsafe(32): Person(reviewer, "reviews"),
        secrets.token_urlsafe(32): Person("guest", "reads"),
    }


def from_file(path: Path) -> dict[str, Person]:
    """The people of a token file: a line each of NAME ROLE TOKEN; # begins a remark.

    Raises UsageError, which names the line and never a token.
    """
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UsageError(f"{path} holds tokens and others may read it: chmod 600 {path}")
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the token file {path}: {getattr(error, 'strerror', error)}") from None
    people: dict[str, Person] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path}, line {number}"
        parts = line.split()
        if len(parts) != 3 or parts[1] not in get_args(Role):
            raise UsageError(f"{where}: a line is NAME ROLE TOKEN, and a role is reads or reviews")
        name, role, token = parts
        if len(token) < _SHORTEST or len(name) > _LONGEST_NAME:
            raise UsageError(f"{where}: a token has at least {_SHORTEST} characters, a name at most 60")
        if token in people:
            raise UsageError(f"{where}: this token is somebody else's; each person has their own")
        people[token] = Person(name, "reviews" if role == "reviews" else "reads")
    if not people:
        raise UsageError(f"{path} names nobody: a line is NAME ROLE TOKEN")
    return people


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
