"""A listing becomes rows; what is there already stays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from pipeline.errors import Reason
from pipeline.records import DocumentRef, Failure
from pipeline.store import rows
from pipeline.store.database import Database
from pipeline.store.entities import Job

_LONGEST_URI = 2000  # bytes; an index entry of PostgreSQL holds 2,700

_INSERT = """
INSERT INTO documents (
    job_id, uri, size, etag, reason, message, traceback, retryable, state, attempts, losses, suspect,
    added_at, ready_at, scheduled_at, finished_at)
SELECT :job, uri, size, etag, reason, message, traceback, retryable,
    CASE WHEN reason IS NULL THEN 'pending' ELSE 'quarantined' END, 0, 0, false,
    @now, @now, @now, CASE WHEN reason IS NOT NULL THEN @now END
FROM json_to_recordset(CAST(:refs AS json)) AS refs(
    uri text, size bigint, etag text, reason text, message text, traceback text, retryable boolean)
WHERE true
ON CONFLICT (job_id, uri) DO NOTHING
RETURNING uri
"""
_COUNT = "UPDATE jobs SET submitted = submitted + :new WHERE id = :job"

# EXISTS, not a join: SQLite would look through all of the job's documents for each batch.
_CHANGED = """
SELECT uri FROM json_to_recordset(CAST(:refs AS json)) AS refs(uri text, etag text)
WHERE EXISTS (
    SELECT 1 FROM documents
    WHERE job_id = :job AND documents.uri = refs.uri AND documents.etag <> refs.etag)
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
    uri, failure = rows.clean(ref.uri), ref.failure
    if len(uri.encode()) > _LONGEST_URI:
        failure = Failure(
            Reason.uri_too_long, f"the name has {len(uri.encode()):,} bytes, at most {_LONGEST_URI:,}"
        )
        digest = hashlib.sha256(uri.encode()).hexdigest()
        uri = f"{uri.encode()[: _LONGEST_URI - 100].decode('utf-8', 'ignore')}…{digest}"
    return {"uri": uri, "size": ref.size, "etag": ref.etag, **rows.failure(failure)}


def insert(db: Database, connection: Connection, job: Job, items: Iterable[dict[str, Any]]) -> set[str]:
    """Adds those that are not there yet; returns their URIs."""
    new = {uri for (uri,) in db.sql(connection, _INSERT, job=job.id, refs=rows.dump(list(items)))}
    if new:
        db.sql(connection, _COUNT, job=job.id, new=len(new))
    return new


def take_on_changed(
    db: Database, connection: Connection, job: Job, items: Sequence[dict[str, Any]]
) -> list[str]:
    """The URIs of known documents that are now listed with another etag; pending ones take it on.

    Those that were given up are pending again: what is there now may be readable.
    """
    found = {uri for (uri,) in db.sql(connection, _CHANGED, job=job.id, refs=rows.dump(items))}
    changed = [item for item in items if item["uri"] in found]
    if changed:
        refs = rows.dump([{"uri": item["uri"]} for item in changed])
        db.sql(connection, _LOCK, job=job.id, refs=refs)
        db.sql(connection, _READ_AGAIN, job=job.id, refs=refs)
    for item in changed:
        db.sql(connection, _TAKE_ON, job=job.id, uri=item["uri"], etag=item["etag"], size=item["size"])
    return [item["uri"] for item in changed]
