"""What can go wrong, as types. Whether to try again is a type; why it failed is a reason code.

    VinbatchError
    ├── UsageError          the person asked for something impossible (exit code 2)
    ├── Unavailable         the model or the store is not there now (exit code 4)
    ├── ModelNeeded         what was to be read without the model cannot be
    ├── LeaseLost           another worker has the document now; leave it alone and claim the next
    ├── Unbalanced          the ledger's books do not add up; the message names the documents
    ├── Transient           try again, with a bound: the network, a busy store, a lost worker
    │   └── ReplicaLost     the process that held the model died
    ├── Permanent           trying again cannot help: the document is quarantined
    └── NoRoom              the document is larger than the room that was made for it

Every error keeps its fields through pickling, because Ray carries errors between processes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Why a document or page has no result: the code in `documents.reason` and `pages.reason`."""

    # the source
    object_missing = "object_missing"
    object_changed = "object_changed"
    access_denied = "access_denied"
    bucket_missing = "bucket_missing"
    wrong_region = "wrong_region"
    requester_pays = "requester_pays"
    object_archived = "object_archived"
    customer_key = "customer_key"
    checksum_mismatch = "checksum_mismatch"
    store_unreachable = "store_unreachable"
    manifest_line = "manifest_line"
    manifest_form = "manifest_form"
    outside_root = "outside_root"
    archive_member = "archive_member"
    archive_damaged = "archive_damaged"
    too_many_bytes = "too_many_bytes"
    unreadable_name = "unreadable_name"
    passed_over = "passed_over"  # hidden, or meant to be no document: only a plan names it
    # the file
    empty_file = "empty_file"
    unsupported_type = "unsupported_type"
    pdf_encrypted = "pdf_encrypted"
    pdf_damaged = "pdf_damaged"
    pdf_no_pages = "pdf_no_pages"
    image_damaged = "image_damaged"
    too_many_pixels = "too_many_pixels"
    too_many_pages = "too_many_pages"
    xml_damaged = "xml_damaged"
    xml_unsafe = "xml_unsafe"
    xml_too_large = "xml_too_large"
    xml_other = "xml_other"  # it is another document than the schema reads
    schema_without_xml = "schema_without_xml"
    render_timeout = "render_timeout"
    render_memory = "render_memory"
    render_crashed = "render_crashed"
    # the model
    prompt_too_long = "prompt_too_long"
    output_truncated = "output_truncated"
    generation_loop = "generation_loop"
    grammar_error = "grammar_error"
    schema_mismatch = "schema_mismatch"
    server_refused = "server_refused"  # the server that is to read this page will not
    server_failed = "server_failed"  # it breaks or falls silent on this page, and on no other
    # people
    rejected = "rejected"  # somebody decided that the document is none that belongs here
    # the machines
    worker_lost = "worker_lost"
    out_of_memory = "out_of_memory"
    internal_error = "internal_error"
    # the ledger
    ledger_unreachable = "ledger_unreachable"
    ledger_busy = "ledger_busy"
    disk_full = "disk_full"
    uri_too_long = "uri_too_long"


class VinbatchError(Exception):
    """`message` is one line a person can act on: what was wrong, where, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UsageError(VinbatchError):
    """Wrong use of the command line, a setting, a schema or a checkpoint; nothing was started."""


class Unavailable(VinbatchError):
    """What a command stands on is not there now: the model's hub or the store. Nothing was started."""


class ModelNeeded(VinbatchError):
    """A page that only the model can read, where there is none. Nothing was done."""


class LeaseLost(VinbatchError):
    """The lease is over and the document is no longer this worker's; what it offered was not kept."""


class Unbalanced(VinbatchError):
    """A document is missing, doubled, or its state and its rows disagree."""


class Coded(VinbatchError):
    """An error with a reason code; `details` are figures and names that help to repeat it."""

    def __init__(self, reason: Reason, message: str, **details: Any) -> None:
        super().__init__(message)
        self.reason = reason
        self.details = details

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.reason, self.message, self.details)


class Transient(Coded):
    """Worth another try."""


class ReplicaLost(Transient):
    """The replica that held the request is gone; nothing is known of the request's result."""


class Permanent(Coded):
    """The same bytes and settings will fail again."""


class NoRoom(Coded):
    """Nothing was fetched: the document has details["size"] bytes. Make that much room, then ask again."""


def _rebuild(kind: type[Coded], reason: Reason, message: str, details: dict[str, Any]) -> Coded:
    return kind(reason, message, **details)


def one_line(error: Exception) -> str:
    """What an exception says, in one line; its type where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
