"""What is typed on a command line can be read by all, in `ps` and on Ray's dashboard."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

_FLAG = "--store"


def hide_password() -> None:
    """If the URL of the store was typed with a password, start over with it in the environment instead."""
    kept, url = without_store(sys.orig_argv)
    if url is not None and has_password(url):
        os.execve(sys.executable, kept, {**os.environ, "VINBATCH_STORE": url})


def without_store(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """The arguments less every --store, and the URL of the last."""
    kept: list[str] = []
    url = None
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, value = argument.partition("=")
        if name == _FLAG:
            url = value if equals else next(remaining, None)
        else:
            kept.append(argument)
    return kept, url


def has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.password is not None or "password" in parse_qs(parts.query)
