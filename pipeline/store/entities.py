"""The frozen records that the store hands out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.records import Decision, DocumentRef, Extraction, Failure, Part
    from schemas.shape import Sql

State = Literal["pending", "leased", "done", "review", "partial", "quarantined"]
STATES: tuple[State, ...] = ("pending", "leased", "done", "review", "partial", "quarantined")
FINISHED: tuple[State, ...] = ("done", "review", "partial")  # these have an extraction, the others have none


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a typed view. `path` leads to the value in the record; () stands for the list's item
    itself. `label` is what the schema calls it for people; jobs of an older Vinbatch have none.
    """

    name: str
    path: tuple[str, ...]
    kind: Sql | Literal["json"]
    label: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class View:
    """A typed view of one schema version: a row a document or, where `list_path` is set, a row a line."""

    name: str
    columns: tuple[Column, ...]
    list_path: tuple[str, ...] | None = None
    label: str | None = field(default=None, compare=False)  # of the list

    @classmethod
    def all_of(cls, stored: Sequence[Mapping[str, Any]]) -> tuple[View, ...]:
        """Those of a job, as its row has them."""
        return tuple(
            cls(
                item["name"],
                tuple(Column(name, tuple(path), *told) for name, path, *told in item["columns"]),
                None if item["list"] is None else tuple(item["list"]),
                item.get("label"),  # views of an older Vinbatch have none
            )
            for item in stored
        )


@dataclass(frozen=True, slots=True)
class Job:
    """What was asked for. `settings` is everything, besides schema and model, that can change a result."""

    id: int
    name: str
    schema: str  # "invoice@1"
    schema_hash: str
    schema_reference: str  # as the person named it: "invoice@1" or "file.py:Model"
    model: str  # as the person named it
    checkpoint: str  # hash of the weights
    settings: Mapping[str, Any]
    sources: tuple[str, ...]
    views: tuple[View, ...]
    created_at: datetime
    shadow_of: int | None = None  # id of the job whose documents it reads as a candidate
    shadow_share: float | None = None
    weight: float = 1.0
    priority: int = 0
    cancelled_at: datetime | None = None  # and nobody has run it since

    @property
    def server(self) -> str | None:
        """The URL of the server that reads its pages; None: our own engine does."""
        found: str | None = self.settings.get("server")
        return found

    @property
    def reader(self) -> str:
        """The model, and where it is if it is not ours, for people."""
        return self.model if self.server is None else f"{self.model} at openai:{self.server}"

    @property
    def flags(self) -> tuple[str, ...]:
        """What `vinbatch run` is given to read documents as this job does."""
        engine = () if self.server is None else (f"--engine=openai:{self.server}",)
        return f"--schema={self.schema_reference}", f"--model={self.model}", *engine


@dataclass(frozen=True, slots=True)
class Run:
    """One driver at work on a job.

    pool      the machines whose lanes it divides with other runs; None: it has no lanes
    room      lanes of its kind that all of those machines would hold
    wanted    lanes that it has use for
    """

    id: int
    job_id: int
    job: str
    weight: float
    priority: int
    driver: str
    pool: str | None
    room: int
    wanted: int
    lanes: int  # at work
    started_at: datetime
    ended_at: datetime | None = None
    cancelled: bool = False
    alive: bool = True  # it said so not long ago, and has not ended


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a listing: new documents, documents that were there already, entries that are broken.

    `changed` counts known documents whose etag in the listing is no longer the one on record. A pending one
    takes the new etag; a finished one is left as it is, and the first twenty such URIs are named. Those of
    several files to which a file came are read again; `reopened` counts them.
    """

    added: int
    known: int
    failed: int
    changed: int = 0
    changed_uris: tuple[str, ...] = ()
    reopened: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one document until `expires`, by the database's clock.

    A worker measures its own time from before the claim, and renews well before the end. `token` fences: the
    store refuses a lease whose document has since been given to somebody else.
    attempt   which try of the document this is, from 1; tries given back without a failure are not counted
    losses    how often a worker vanished while it held this document
    suspect   a worker died with it: it was claimed alone and is to be worked on alone
    size      bytes, as listed, of all files together
    parts     the files of a document that has several, in order
    """

    job_id: int
    document_id: int
    uri: str
    etag: str | None  # as listed, or as fetched by an earlier try
    token: str
    attempt: int
    expires: datetime
    losses: int = 0
    suspect: bool = False
    size: int | None = None
    parts: tuple[DocumentRef, ...] = ()

    @property
    def tries(self) -> int:
        """Which try this is in the ledger's count, from 1: a worker that vanished is no try."""
        return self.attempt - self.losses


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the books do not add up."""

    kind: Literal[
        "submitted",
        "no_extraction",
        "orphan_extraction",
        "page_rows",
        "part_rows",
        "field_rows",
        "decision_rows",
    ]
    message: str
    uri: str | None = None


@dataclass(frozen=True, slots=True)
class Repair:
    """One kind of thing that was put right in the books of a job, in words, and how many there were."""

    message: str
    number: int


@dataclass(frozen=True, slots=True)
class Balance:
    """The books of a job: submitted = done + review + partial + quarantined + pending + leased.

    `differences` names at most a hundred; `difference_count` is how many there are.
    """

    submitted: int
    done: int
    review: int
    partial: int
    quarantined: int
    pending: int
    leased: int
    differences: tuple[Difference, ...]
    difference_count: int

    @property
    def balanced(self) -> bool:
        return self.difference_count == 0

    @property
    def unfinished(self) -> int:
        return self.pending + self.leased


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """All failures of a job with one reason: whole documents, and pages of documents that are partial."""

    reason: str
    documents: int
    pages: int
    example: str  # the URI of one of them


@dataclass(frozen=True, slots=True)
class FailedItem:
    """A quarantined document (`page` is None), or a failed page of a partial one. `files` are its parts."""

    uri: str
    files: tuple[str, ...]
    failure: Failure
    attempts: int
    losses: int
    worker: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document as the ledger knows it."""

    uri: str
    state: State
    reason: str | None
    message: str | None
    sha256: str | None
    etag: str | None
    pages: int | None
    attempts: int
    parts: tuple[Part, ...] = ()  # its files, where they are several


@dataclass(frozen=True, slots=True)
class StoredExtraction:
    """A document's result as it was committed.

    `extraction` has record, checks and state with what people decided, and the fields as they were read.
    `decisions` are those that stand, in the order they were made; `reading` is the extraction before them.
    """

    uri: str
    sha256: str | None
    extraction: Extraction
    parts: tuple[Part, ...] = ()  # its files, where they are several
    decisions: tuple[Decision, ...] = ()
    before: Extraction | None = None  # None: nobody decided anything
    id: int | None = None  # of the document, in the store

    @property
    def reading(self) -> Extraction:
        """What was read, without any decision."""
        return self.extraction if self.before is None else self.before

    @property
    def decided(self) -> Extraction:
        """The extraction with its fields as people decided them, named as in the record."""
        if not self.decisions:
            return self.extraction
        from pipeline.deciding import decided_fields  # with the schemas, which few who use the store need

        return replace(self.extraction, fields=decided_fields(self.extraction.fields, self.decisions))


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to decide about one document until `expires`, by the database's clock."""

    document_id: int
    reviewer: str
    token: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what; never a value."""

    at: datetime
    who: str
    action: str
    document_id: int | None
    field: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two jobs over the same documents.

    `path` is a field's path, or None where the documents themselves differ: `before` and `after` are then
    their states, None where a job does not have the document.
    """

    uri: str
    path: str | None
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge removed, in rows; or, when it was only asked, what it would remove.

    `copies` are other documents that hold the same bytes under another name, and are still there.
    """

    documents: int
    pages: int
    extractions: int
    fields: int
    checks: int
    witnesses: int
    parts: int = 0
    decisions: int = 0
    claims: int = 0
    readings: int = 0
    copies: tuple[str, ...] = ()
