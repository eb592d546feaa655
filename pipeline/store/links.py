"""Where a person finds a document: its file, and its page in the review."""

from __future__ import annotations

from urllib.parse import quote


def of_file(uri: str) -> str | None:
    """file:// of a file of this machine, for a member that of its archive; None of what lies elsewhere."""
    if not uri.startswith("/"):
        return None
    return f"file://{_readable(uri.partition('!/')[0])}"


def of_review(base: str, document: int) -> str:
    """The page of a document, by its id in the store, where `vinbatch review` serves at `base`."""
    return f"{base.rstrip('/')}/documents/{document}"


def _readable(path: str) -> str:
    """The path as an IRI (RFC 3987): letters of all scripts stay, so that it is short and can be read."""
    return "".join(c if not c.isascii() and c.isprintable() else quote(c, safe="/:") for c in path)
