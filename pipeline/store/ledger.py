"""Who works on which document: add, claim, renew, release, quarantine.

The state and the token are always looked at and changed by one statement. So two workers never hold one
document, and what comes late finds that the token is another. The statements are PostgreSQL's SQL;
`Database.sql` says how SQLite gets them, and what `@now` is.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from pipeline.errors import LeaseLost, Reason
from pipeline.records import DocumentRef, Failure
from pipeline.store import enqueue, files, rows
from pipeline.store.database import Database
from pipeline.store.entities import Added, Job, Lease, State
from pipeline.store.tables import moment

_CLOCK_STEP = 600.0  # seconds; a clock that goes back by less makes nobody wait long, and is left alone
_SUSPICIOUS = (Reason.worker_lost, Reason.out_of_memory)

# A lease counts for as long as this is true of its document.
HELD = "id = :document AND state = 'leased' AND lease_token = :token"

# Materialized: PostgreSQL may not run the choice a second time, with a second LIMIT.
_CLAIM = """
WITH chosen AS MATERIALIZED (
    SELECT id FROM documents
    WHERE job_id = :job AND state = 'pending' AND suspect = :suspect AND ready_at <= @now
    ORDER BY ready_at, id
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
UPDATE documents
SET state = 'leased', lease_token = :token, worker = :worker, attempts = attempts + 1,
    ready_at = @end, scheduled_at = @now
FROM chosen WHERE documents.id = chosen.id
RETURNING job_id, documents.id, uri, etag, lease_token, attempts, ready_at, losses, suspect, size, parts
"""

_DUE = """
SELECT uri FROM documents
WHERE job_id = :job AND state = 'pending' AND suspect = false AND ready_at <= @now
ORDER BY ready_at, id
LIMIT :limit
"""

# Documents whose lease is over become pending again, as suspects, or are given up.
_TAKE_BACK = """
WITH chosen AS MATERIALIZED (
    SELECT id FROM documents
    WHERE job_id = :job AND state = 'leased' AND ready_at <= @now
    ORDER BY ready_at
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
)
UPDATE documents
SET state = CASE WHEN losses + 1 >= :max_losses THEN 'quarantined' ELSE 'pending' END,
    losses = losses + 1, suspect = true, lease_token = NULL,
    reason = 'worker_lost', retryable = true, traceback = NULL, failed_page = NULL,
    message = 'lost its worker ' || (losses + 1) || ' times, the last was ' || worker,
    ready_at = @now, scheduled_at = @now,
    finished_at = CASE WHEN losses + 1 >= :max_losses THEN @now END
FROM chosen WHERE documents.id = chosen.id
"""

# What was scheduled in the future is due now: the clock was put back meanwhile. How far ahead a document is
# due says nothing, for another lane's leases may be of any length. The conditions on `suspect` and `ready_at`
# are true of each such row; they are there so that an index is used.
_MEND_CLOCK = """
WITH chosen AS MATERIALIZED (
    SELECT id FROM documents
    WHERE job_id = :job AND state = '{state}' AND suspect IN (false, true) AND ready_at > @ahead
      AND coalesce(scheduled_at, added_at) > @ahead
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
)
UPDATE documents SET ready_at = @now, scheduled_at = @now
FROM chosen WHERE documents.id = chosen.id
"""
_MEND_CLOCKS = tuple(_MEND_CLOCK.format(state=state) for state in ("pending", "leased"))

# Everybody waits for rows in the order of their ids, so that no two ever wait for each other.
_LOCK_HELD = """
SELECT id FROM documents
WHERE state = 'leased' AND (id, lease_token) IN (
    SELECT id, token FROM json_to_recordset(CAST(:leases AS json)) AS leases(id bigint, token text))
ORDER BY id
FOR UPDATE
"""
_RENEW = """
UPDATE documents SET ready_at = @end, scheduled_at = @now
WHERE id IN (SELECT id FROM json_to_recordset(CAST(:leases AS json)) AS leases(id bigint))
"""

_GIVE_BACK = f"""
UPDATE documents
SET state = 'pending', attempts = attempts - 1, ready_at = @due, scheduled_at = @now
WHERE {HELD}
RETURNING state
"""
_FAIL = f"""
UPDATE documents
SET state = CASE WHEN attempts - losses >= :attempts THEN 'quarantined' ELSE 'pending' END,
    reason = :reason, message = :message, traceback = :traceback, retryable = :retryable,
    failed_page = :failed_page, suspect = (suspect OR :suspect),
    ready_at = @due, scheduled_at = @now,
    finished_at = CASE WHEN attempts - losses >= :attempts THEN @now END
WHERE {HELD}
RETURNING state
"""
_QUARANTINE = f"""
UPDATE documents
SET state = 'quarantined', reason = :reason, message = :message, traceback = :traceback,
    retryable = :retryable, failed_page = :failed_page, sha256 = coalesce(:sha256, sha256),
    finished_at = @now
WHERE {HELD}
RETURNING state
"""
_STATE_LEFT = "SELECT state FROM documents WHERE id = :document AND lease_token = :token"

# One each for the start of an index.
_NEXT_DUE = """
SELECT min(due), @now FROM (
    SELECT min(ready_at) AS due FROM documents WHERE job_id = :job AND state = 'pending' AND suspect = false
    UNION ALL
    SELECT min(ready_at) FROM documents WHERE job_id = :job AND state = 'pending' AND suspect = true
    UNION ALL
    SELECT min(ready_at) FROM documents WHERE job_id = :job AND state = 'leased'
) AS firsts
"""


class Ledger:
    """The documents of all jobs, and who holds them."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, job: Job, refs: Iterable[DocumentRef], batch: int = 1000) -> Added:
        """Adds the documents of a listing, a batch a transaction, in bounded memory. Known ones stay as they
        are.

        A ref with a failure becomes a quarantined row at once.
        """
        added = known = failed = changed = reopened = 0
        uris: list[str] = []
        for chunk in _batches(refs, batch):
            listed = [enqueue.item(ref) for ref in chunk]
            items = {item["uri"]: item for item in listed if not item["files"]}
            with self._db.write(durable=True) as connection:
                told, new = self._add_groups(connection, job, [item for item in listed if item["files"]])
                single = enqueue.insert(self._db, connection, job.id, items.values())
                old = [item for uri, item in items.items() if uri not in single]
                other = enqueue.take_on_changed(self._db, connection, job.id, old) if old else []
            broken = [*(item for item in new if item["reason"]), *(u for u in single if items[u]["reason"])]
            other = [*told.changed, *other]
            added += len(new) + len(single)
            known += len(chunk) - len(new) - len(single)
            failed += len(broken)
            changed += len(other)
            reopened += told.reopened
            uris += other[: 20 - len(uris)]
        return Added(added, known, failed, changed, tuple(uris), reopened)

    def _add_groups(
        self, connection: Connection, job: Job, groups: Sequence[files.Item]
    ) -> tuple[files.Told, list[files.Item]]:
        """Documents of several files: what became of known ones, and those that are new."""
        told = files.Told()
        new: list[files.Item] = []
        for run in files.without_overlap(groups):
            one = files.take_on(self._db, connection, job, run)
            added = enqueue.insert(self._db, connection, job.id, one.fresh) if one.fresh else set()
            new += [item for item in one.fresh if item["uri"] in added]
            told.changed += one.changed
            told.reopened += one.reopened
        return told, new

    def claim(
        self,
        job: Job,
        worker: str,
        limit: int,
        lease_seconds: float,
        *,
        max_losses: int = 5,
        suspects: bool = True,
    ) -> list[Lease]:
        """Up to `limit` documents to work on; none when nothing is due now (see `next_due`).

        First takes back what vanished workers held: those documents become suspects or, after
        `max_losses` vanished workers, are quarantined as worker_lost. With `suspects` a suspect that is
        due comes first and comes alone, so that one deadly document takes no neighbours with it; a lane
        that still holds other documents asks with suspects=False.
        """
        if limit < 1:
            return []
        asked = {"job": job.id, "worker": worker, "token": secrets.token_hex(16), "end": lease_seconds}
        found: Sequence[Sequence[Any]] = ()
        with self._db.write() as connection:
            self._db.sql(connection, _TAKE_BACK, job=job.id, max_losses=max_losses)
            if suspects:
                found = self._db.sql(connection, _CLAIM, **asked, suspect=True, limit=1)
            if not found:
                found = self._db.sql(connection, _CLAIM, **asked, suspect=False, limit=limit)
            if not found:
                for mend in _MEND_CLOCKS:
                    self._db.sql(connection, mend, job=job.id, ahead=_CLOCK_STEP)
            several = [row[1] for row in found if row[-1]]
            parts = files.of(connection, several) if several else {}
        leases = [_lease(row, parts.get(row[1], ())) for row in found]
        return sorted(leases, key=lambda lease: lease.document_id)

    def due(self, job: Job, limit: int) -> list[str]:
        """The URIs of the documents that `claim` would give next, without a claim."""
        with self._db.read() as connection:
            return [uri for (uri,) in self._db.sql(connection, _DUE, job=job.id, limit=limit)]

    def renew(self, leases: Sequence[Lease], lease_seconds: float) -> list[Lease]:
        """Lengthens leases from now; returns those that are lost, whose work is to be dropped."""
        if not leases:
            return []
        mine = [{"id": lease.document_id, "token": lease.token} for lease in leases]
        with self._db.write() as connection:
            held = {id for (id,) in self._db.sql(connection, _LOCK_HELD, leases=mine)}
            self._db.sql(connection, _RENEW, leases=[{"id": id} for id in held], end=lease_seconds)
        return [lease for lease in leases if lease.document_id not in held]

    def release(
        self,
        lease: Lease,
        failure: Failure | None = None,
        *,
        delay: float = 0.0,
        attempts: int = 3,
        members: Sequence[DocumentRef] = (),
    ) -> State:
        """Gives a document back, to be tried again after `delay` seconds; returns the state it is in now.

        Without a failure (a lane that stops) the try is not counted. With one, the document is
        quarantined for that reason once it has been tried `attempts` times; after worker_lost or
        out_of_memory it is a suspect. `members`, documents that were found within it, are added to the job.
        Raises LeaseLost.
        """
        if failure is None:
            return self._end(lease, _GIVE_BACK, ("pending",), due=delay)
        suspect = failure.reason in _SUSPICIOUS
        why = {**_why(failure), "suspect": suspect, "attempts": attempts}
        return self._end(lease, _FAIL, ("pending", "quarantined"), members, **why, due=delay)

    def quarantine(
        self,
        lease: Lease,
        failure: Failure,
        *,
        sha256: str | None = None,
        members: Sequence[DocumentRef] = (),
    ) -> State:
        """Ends a document with a reason; returns the state it is in now. Its saved pages stay. `members` as
        for `release`.

        Raises LeaseLost.
        """
        return self._end(lease, _QUARANTINE, ("quarantined",), members, **_why(failure), sha256=sha256)

    def next_due(self, job: Job) -> float | None:
        """Seconds until something unfinished may be claimable: 0.0 for now, None when all documents are
        finished.
        """
        with self._db.read() as connection:
            [(due, now)] = self._db.sql(connection, _NEXT_DUE, job=job.id)
        return None if due is None else max(0.0, (moment(due) - moment(now)).total_seconds())

    def now(self) -> datetime:
        """The clock that leases go by."""
        return self._db.read_clock()

    def _end(
        self,
        lease: Lease,
        statement: str,
        outcomes: Sequence[State],
        members: Sequence[DocumentRef] = (),
        **values: Any,
    ) -> State:
        held = {"document": lease.document_id, "token": lease.token}
        with self._db.write() as connection:
            ended = self._db.sql(connection, statement, **held, **values)
            # The same call again, after its answer was lost on the way, has nothing left to do.
            left: State | None = ended[0][0] if ended else state_left_by(self._db, connection, lease)
            if left is None or left not in outcomes:
                raise lost(lease)
            if ended:
                enqueue.add(self._db, connection, lease.job_id, members)
            return left


def state_left_by(db: Database, connection: Connection, lease: Lease) -> State | None:
    """The state in which this very lease left its document; None when another one has had it since."""
    found = db.sql(connection, _STATE_LEFT, document=lease.document_id, token=lease.token)
    return found[0][0] if found else None


def lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"{lease.uri}: this lease is over; another worker may have the document")


def _lease(row: Sequence[Any], parts: tuple[DocumentRef, ...]) -> Lease:
    job, document, uri, etag, token, attempt, expires, losses, suspect, size, _ = row
    return Lease(
        job, document, uri, etag, token, attempt, moment(expires), losses, bool(suspect), size, parts
    )


def _why(failure: Failure) -> dict[str, Any]:
    return {**rows.failure(failure), "failed_page": failure.page}


def _batches(refs: Iterable[DocumentRef], size: int) -> Iterator[list[DocumentRef]]:
    remaining = iter(refs)
    while chunk := list(islice(remaining, size)):
        yield chunk
