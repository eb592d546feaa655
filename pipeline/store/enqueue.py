"""A listing becomes rows; what is there already stays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from pipeline.records import DocumentRef
from pipeline.store import files, rows
from pipeline.store.database import Database

_INSERT = """
INSERT INTO documents (
    job_id, uri, size, etag, parts, reason, message, traceback, retryable, state, attempts, losses, suspect,
    added_at, ready_at, scheduled_at, finished_at)
SELECT :job, uri, size, etag, parts, reason, message, traceback, retryable,
    CASE WHEN reason IS NULL THEN 'pending' ELSE 'quarantined' END, 0, 0, false,
    @now, @now, @now, CASE WHEN reason IS NOT NULL THEN @now END
FROM json_to_recordset(CAST(:refs AS json)) AS refs(
    uri text, size bigint, etag text, parts integer, reason text, message text, traceback text,
    retryable boolean)
WHERE parts IS NOT NULL OR NOT EXISTS (
    SELECT 1 FROM parts AS files WHERE files.job_id = :job AND files.uri = refs.uri)
ON CONFLICT (job_id, uri) DO NOTHING
RETURNING uri
"""
_COUNT = "UPDATE jobs SET submitted = submitted + :new WHERE id = :job"

# EXISTS, not a join: SQLite would look through all of the job's documents for each batch.
_CHANGED = """
SELECT uri FROM json_to_recordset(CAST(:refs AS json)) AS refs(uri text, etag text)
WHERE EXISTS (
    SELECT 1 FROM documents
    WHERE job_id = :job AND documents.uri = refs.uri AND parts IS NULL AND (
        documents.etag <> refs.etag
        OR (documents.etag IS NULL AND refs.etag IS NOT NULL AND sha256 IS NOT NULL
            AND state IN ('pending', 'quarantined'))))
"""
# Those of which another try was asked for have no etag until they are listed or read again.
_PINNED = """
SELECT uri FROM documents
WHERE job_id = :job AND etag IS NOT NULL AND uri IN (
    SELECT uri FROM json_to_recordset(CAST(:refs AS json)) AS refs(uri text))
"""
_LOCK = """
SELECT id FROM documents
WHERE job_id = :job AND uri IN (
    SELECT uri FROM json_to_recordset(CAST(:refs AS json)) AS refs(uri text))
ORDER BY id
FOR UPDATE
"""
_READ_AGAIN = """
UPDATE documents
SET state = 'pending', attempts = 0, losses = 0, suspect = false, lease_token = NULL,
    reason = NULL, message = NULL, traceback = NULL, retryable = NULL,
    finished_at = NULL, ready_at = @now, scheduled_at = @now
WHERE job_id = :job AND state = 'quarantined' AND uri IN (
    SELECT uri FROM json_to_recordset(CAST(:refs AS json)) AS refs(uri text))
"""
_TAKE_ON = """
UPDATE documents SET etag = :etag, size = :size WHERE job_id = :job AND uri = :uri AND state = 'pending'
"""


def item(ref: DocumentRef) -> dict[str, Any]:
    """What is listed, as columns."""
    uri, failure = rows.uri(ref.uri, ref.failure)
    listed = {"uri": uri, "size": ref.size, "etag": ref.etag, "parts": len(ref.parts) or None}
    return {**listed, **rows.failure(failure), "files": files.items(ref)}


def add(db: Database, connection: Connection, job: int, refs: Sequence[DocumentRef]) -> None:
    """Adds documents that were found within another one; known ones are as with a listing."""
    items = [item(ref) for ref in refs]
    new = insert(db, connection, job, items) if items else set()
    if old := [one for one in items if one["uri"] not in new and not one["files"]]:
        take_on_changed(db, connection, job, old)


def insert(db: Database, connection: Connection, job: int, items: Iterable[dict[str, Any]]) -> set[str]:
    """Adds those that are not there yet, as documents or as files of one; returns their URIs."""
    items = list(items)
    new = {uri for (uri,) in db.sql(connection, _INSERT, job=job, refs=items)}
    if new:
        files.put(db, connection, job, [item for item in items if item["files"] and item["uri"] in new])
        db.sql(connection, _COUNT, job=job, new=len(new))
    return new


def take_on_changed(
    db: Database, connection: Connection, job: int, items: Sequence[dict[str, Any]]
) -> list[str]:
    """The URIs of known documents that are now listed with another etag; pending ones take it on.

    Those that were given up are pending again: what is there now may be readable.
    """
    found = {uri for (uri,) in db.sql(connection, _CHANGED, job=job, refs=[*items])}
    changed = [item for item in items if item["uri"] in found]
    pinned: set[str] = set()
    if changed:
        refs = rows.dump([{"uri": item["uri"]} for item in changed])
        pinned = {uri for (uri,) in db.sql(connection, _PINNED, job=job, refs=refs)}
        db.sql(connection, _LOCK, job=job, refs=refs)
        db.sql(connection, _READ_AGAIN, job=job, refs=refs)
    for item in changed:
        db.sql(connection, _TAKE_ON, job=job, uri=item["uri"], etag=item["etag"], size=item["size"])
    return [item["uri"] for item in changed if item["uri"] in pinned]
