"""The files of documents that have several: listed, found again, changed, put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, select, update

from pipeline.errors import Reason
from pipeline.records import DocumentRef, Failure, Part
from pipeline.store import rows
from pipeline.store.database import Database
from pipeline.store.entities import Job
from pipeline.store.failures import reopen
from pipeline.store.tables import documents, jobs, parts

Item = dict[
    str, Any
]  # a listed document as `enqueue.item` makes it; "files" are its parts, if it has several

_PUT = """
INSERT INTO parts (document_id, part, job_id, uri, size, etag, reason, message, listed_broken)
SELECT documents.id, given.part, :job, given.uri, given.size, given.etag, given.reason, given.message,
    given.listed_broken
FROM json_to_recordset(CAST(:parts AS json)) AS given(
    document text, part integer, uri text, size bigint, etag text, reason text, message text,
    listed_broken boolean)
JOIN documents ON documents.job_id = :job AND documents.uri = given.document
"""
_TOUCHED = """
SELECT document_id FROM (
    SELECT id AS document_id FROM documents
    WHERE job_id = :job AND uri IN (
        SELECT uri FROM json_to_recordset(CAST(:uris AS json)) AS uris(uri text))
    UNION
    SELECT document_id FROM parts
    WHERE job_id = :job AND uri IN (
        SELECT uri FROM json_to_recordset(CAST(:uris AS json)) AS uris(uri text))
) AS touched
ORDER BY document_id
"""
# Pages are known by their keys, wherever they stand: those of a document that becomes part of another one go
# behind its pages, and are found there when it is read.
_MOVE_PAGES = """
UPDATE pages SET document_id = :kept, page = page + (
    SELECT coalesce(max(page), 0) FROM pages AS there WHERE there.document_id = :kept)
WHERE document_id = :gone
"""
_REFRESH = """
UPDATE parts SET etag = :etag, size = :size, reason = NULL, message = NULL, listed_broken = false
WHERE document_id = :document AND uri = :uri
"""
_READ_AGAIN = ("pending", "quarantined")  # states in which other bytes are taken on


@dataclass
class _Known:
    """A document that the ledger has, and its files by name."""

    id: int
    uri: str
    etags: dict[str, str | None] = field(default_factory=dict)
    failed: dict[str, bool] = field(default_factory=dict)  # that could not be had: whether by their entry

    def holds(self, uri: str) -> bool:
        """Whether the file is this document's: not one that it wants and that was not to be had."""
        return uri in self.etags and not self.failed.get(uri, False)


@dataclass
class Told:
    """What became of listed documents of several files; those that are `fresh` are not there yet."""

    fresh: list[Item] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)  # known ones that are not as they were
    reopened: int = 0  # of them, because a file came


def items(ref: DocumentRef) -> list[Item]:
    """The parts of a listed document, as columns."""
    made = []
    for number, part in enumerate(ref.parts, 1):
        uri, failure = rows.uri(part.uri, part.failure)
        why = rows.failure(failure)
        columns = {"part": number, "uri": uri, "size": part.size, "etag": part.etag}
        broken = {"listed_broken": failure is not None}
        made.append({**columns, "reason": why["reason"], "message": why["message"], **broken})
    return made


def found(number: int, part: Part) -> Item:
    """What an attempt found of a part, as columns."""
    why = rows.failure(part.failure)
    columns = {"part": number, "size": part.size, "etag": part.etag, "sha256": part.sha256}
    return {**columns, "pages": part.pages, "reason": why["reason"], "message": why["message"]}


def put(db: Database, connection: Connection, job: int, groups: Iterable[Item]) -> None:
    """The parts of documents that are there."""
    given = [{"document": group["uri"], **part} for group in groups for part in group["files"]]
    if given:
        db.sql(connection, _PUT, job=job, parts=given)


def of(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[DocumentRef, ...]]:
    """The files of those documents that have several, as they are to be fetched."""
    refs: dict[int, list[DocumentRef]] = {}
    query = select(parts).where(parts.c.document_id.in_(ids)).order_by(parts.c.document_id, parts.c.part)
    for row in connection.execute(query).mappings():
        broken = Failure(Reason(row["reason"]), row["message"]) if row["listed_broken"] else None
        ref = DocumentRef(row["uri"], row["size"], row["etag"], broken)
        refs.setdefault(row["document_id"], []).append(ref)
    return {id: tuple(several) for id, several in refs.items()}


def stored(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[Part, ...]]:
    """The files of those documents that have several, as they were found last."""
    there: dict[int, list[Part]] = {}
    query = select(parts).where(parts.c.document_id.in_(ids)).order_by(parts.c.document_id, parts.c.part)
    for row in connection.execute(query).mappings():
        why = None if row["reason"] is None else Failure(Reason(row["reason"]), row["message"])
        part = Part(row["uri"], row["sha256"], row["etag"], row["size"], row["pages"] or 1, why)
        there.setdefault(row["document_id"], []).append(part)
    return {id: tuple(several) for id, several in there.items()}


def without_overlap(groups: Iterable[Item]) -> Iterator[list[Item]]:
    """The groups in runs in which no file comes twice."""
    run: list[Item] = []
    taken: set[str] = set()
    for group in groups:
        uris = _uris(group)
        if uris & taken:
            yield run
            run, taken = [], set()
        run.append(group)
        taken |= uris
    if run:
        yield run


def take_on(db: Database, connection: Connection, job: Job, groups: Sequence[Item]) -> Told:
    """Hold listed documents of several files, no file twice among them, against what the ledger has.

    A known one with a file more than before, or with one that could not be had and may be there now, is read
    again whatever its state, and documents that are files of it now go up in it. Where only bytes have
    changed it is what a replaced document is: it takes them on while it is pending, is read again if it was
    given up, and is told. A file that belongs to another document stays there, and the listed one says so.
    """
    told = Told()
    known = _touched(db, connection, job, [uri for group in groups for uri in _uris(group)])
    holders: dict[str, list[_Known]] = defaultdict(list)
    for document in known:
        for uri in document.etags:
            holders[uri].append(document)
    for group in groups:
        mine = {document.id: document for uri in _uris(group) for document in holders[uri]}
        _compare(db, connection, job, group, [mine[id] for id in sorted(mine)], told)
    return told


def _uris(group: Item) -> set[str]:
    return {part["uri"] for part in group["files"]}


def _touched(db: Database, connection: Connection, job: Job, uris: Sequence[str]) -> list[_Known]:
    """The documents that have any of these files."""
    given = [{"uri": uri} for uri in uris]
    ids = [id for (id,) in db.sql(connection, _TOUCHED, job=job.id, uris=given)]
    query = select(documents.c.id, documents.c.uri, documents.c.etag).where(documents.c.id.in_(ids))
    known = {row.id: _Known(row.id, row.uri, {row.uri: row.etag}) for row in connection.execute(query)}
    for row in connection.execute(select(parts).where(parts.c.document_id.in_(ids))).mappings():
        document = known[row["document_id"]]
        document.etags[row["uri"]] = row["etag"]
        if row["reason"] is not None:
            document.failed[row["uri"]] = bool(row["listed_broken"])
    return list(known.values())


def _compare(
    db: Database, connection: Connection, job: Job, group: Item, mine: Sequence[_Known], told: Told
) -> None:
    """One listed document with those that have any of its files."""
    uris = _uris(group)
    same = next((document for document in mine if document.etags.keys() >= uris), None)
    # What a document wants and never had is nobody's: it may have come under another spelling of its name.
    others = [
        document for document in mine if any(document.holds(uri) for uri in document.etags.keys() - uris)
    ]
    if not mine:
        told.fresh.append(group)
    elif same is not None and (same.etags.keys() > uris or len(mine) == 1 or others):
        own = [part for part in group["files"] if not any(d.holds(part["uri"]) for d in others if d != same)]
        if any(_came(same, part) for part in own):
            _complete(db, connection, own, same, told)
        elif any(_replaced(same, part) for part in own):
            _replace(db, connection, own, same, told)
    elif not others:
        kept = next((document for document in mine if document.uri == group["uri"]), mine[0])
        _regroup(db, connection, job, group, kept, [d for d in mine if d is not kept], told)
    elif rest := _without(group, others):
        _compare(db, connection, job, rest, [d for d in mine if d not in others], told)


def _came(document: _Known, part: Item) -> bool:
    """Whether a file that could not be had may be there now."""
    uri, etag = part["uri"], part["etag"]
    if uri not in document.failed or part["listed_broken"]:
        return False
    return document.failed[uri] or (etag is not None and etag != document.etags[uri])


def _replaced(document: _Known, part: Item) -> bool:
    etag, before = part["etag"], document.etags[part["uri"]]
    return None not in (etag, before) and etag != before


def _replace(db: Database, connection: Connection, own: Sequence[Item], document: _Known, told: Told) -> None:
    """Other bytes under the same names."""
    told.changed.append(document.uri)
    state = _locked(db, connection, [document.id]).get(document.id)
    if state in _READ_AGAIN:
        _refresh(db, connection, own, document)
    if state == "quarantined":
        _read_again(db, connection, document.id)


def _complete(
    db: Database, connection: Connection, own: Sequence[Item], document: _Known, told: Told
) -> None:
    """A file that the document lacked may be there now."""
    if document.id in _locked(db, connection, [document.id]):
        told.changed.append(document.uri)
        told.reopened += 1
        _refresh(db, connection, own, document)
        _read_again(db, connection, document.id)


def _regroup(
    db: Database,
    connection: Connection,
    job: Job,
    group: Item,
    kept: _Known,
    gone: Sequence[_Known],
    told: Told,
) -> None:
    """The document has other files than before: those of documents that are `gone` into it are among them."""
    if _locked(db, connection, [kept.id, *(document.id for document in gone)]).keys() != {
        kept.id,
        *(document.id for document in gone),
    }:
        return  # somebody has purged one meanwhile; the next listing finds it as it is then
    for document in gone:
        db.sql(connection, _MOVE_PAGES, kept=kept.id, gone=document.id)
    connection.execute(delete(documents).where(documents.c.id.in_([document.id for document in gone])))
    submitted = jobs.c.submitted - len(gone)
    connection.execute(update(jobs).where(jobs.c.id == job.id).values(submitted=submitted))
    columns = {name: group[name] for name in ("uri", "size", "etag", "parts")}
    connection.execute(update(documents).where(documents.c.id == kept.id).values(**columns))
    connection.execute(delete(parts).where(parts.c.document_id == kept.id))
    put(db, connection, job.id, [group])
    _read_again(db, connection, kept.id)
    told.changed.append(group["uri"])
    told.reopened += 1


def _without(group: Item, others: Sequence[_Known]) -> Item | None:
    """What is left of a listed document where some of its files belong to others; None if they all do."""
    holder = {uri: document.uri for document in others for uri in document.etags if document.holds(uri)}
    free = [part for part in group["files"] if part["uri"] not in holder]
    if not free:
        return None
    files = [
        part
        if part["uri"] not in holder
        else {
            **part,
            "reason": str(Reason.manifest_line),
            "message": f"{part['uri']} is a part of the document {holder[part['uri']]} already",
            "listed_broken": True,
        }
        for part in group["files"]
    ]
    return {**group, "uri": free[0]["uri"], "etag": free[0]["etag"], "files": files}


def _locked(db: Database, connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """The states of those documents that are still there, which nobody else changes any more."""
    there = db.locked(connection, select(documents.c.id).where(documents.c.id.in_(ids)), documents.c.id)
    query = select(documents.c.id, documents.c.state).where(documents.c.id.in_(there))
    return {row.id: row.state for row in connection.execute(query)}


def _refresh(db: Database, connection: Connection, own: Sequence[Item], document: _Known) -> None:
    for part in own:
        if not part["listed_broken"] and (_came(document, part) or _replaced(document, part)):
            values = {name: part[name] for name in ("etag", "size", "uri")}
            db.sql(connection, _REFRESH, document=document.id, **values)


def _read_again(db: Database, connection: Connection, document: int) -> None:
    reopen(db, connection, [document])
    fresh = {"suspect": False, "reason": None, "message": None, "traceback": None, "retryable": None}
    connection.execute(update(documents).where(documents.c.id == document).values(**fresh))
