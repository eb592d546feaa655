"""Who works on which document: claim, renew, release, quarantine.

The state and the token are always looked at and changed by one statement. So two workers never hold one
document, and what comes late finds that the token is another.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Text,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    null,
    select,
    true,
    tuple_,
    union_all,
    update,
)

from pipeline.errors import LeaseLost, Reason
from pipeline.records import Failure
from pipeline.store import rows
from pipeline.store.database import Database
from pipeline.store.records import Job, Lease, State
from pipeline.store.tables import documents

# Written into the SQL as they stand, not sent as parameters: only so can a partial index be used.
PENDING = literal_column("'pending'", Text)
LEASED = literal_column("'leased'", Text)

_CLOCK_STEP = 600.0  # seconds; a clock that goes back by less makes nobody wait long, and is left alone
_SUSPICIOUS = (Reason.worker_lost, Reason.out_of_memory)


# claiming

_CLAIMED = (
    documents.c.id,
    documents.c.uri,
    documents.c.etag,
    documents.c.size,
    documents.c.attempts,
    documents.c.losses,
    documents.c.suspect,
    documents.c.ready_at,
)


def claim(
    db: Database,
    job: Job,
    worker: str,
    limit: int,
    lease_seconds: float,
    max_losses: int,
    suspects: bool,
) -> list[Lease]:
    if limit < 1:
        return []
    token = secrets.token_hex(16)
    with db.write() as connection:
        _take_back(db, connection, job, max_losses)
        claimed: Sequence[RowMapping] = []
        if suspects:
            claimed = _pick(db, connection, job, worker, token, 1, lease_seconds, suspect=True)
        if not claimed:
            claimed = _pick(db, connection, job, worker, token, limit, lease_seconds, suspect=False)
        if not claimed:
            _mend_clock(db, connection, job)
    leases = [
        Lease(
            job_id=job.id,
            document_id=row["id"],
            uri=row["uri"],
            etag=row["etag"],
            token=token,
            attempt=row["attempts"],
            expires=row["ready_at"],
            losses=row["losses"],
            suspect=bool(row["suspect"]),
            size=row["size"],
        )
        for row in claimed
    ]
    return sorted(leases, key=lambda lease: lease.document_id)


def _pick(
    db: Database,
    connection: Connection,
    job: Job,
    worker: str,
    token: str,
    limit: int,
    lease_seconds: float,
    *,
    suspect: bool,
) -> Sequence[RowMapping]:
    due = (
        select(documents.c.id)
        .where(
            documents.c.job_id == job.id,
            documents.c.state == PENDING,
            documents.c.suspect == (true() if suspect else false()),
            documents.c.ready_at <= db.now(),
        )
        .order_by(documents.c.ready_at, documents.c.id)
        .limit(limit)
    )
    statement = (
        _of(db, due)
        .values(
            state="leased",
            lease_token=token,
            worker=worker,
            attempts=documents.c.attempts + 1,
            **scheduled(db, lease_seconds),
        )
        .returning(*_CLAIMED)
    )
    return connection.execute(statement).mappings().all()


def _take_back(db: Database, connection: Connection, job: Job, max_losses: int) -> None:
    """Documents whose lease is over become pending again, as suspects, or are given up."""
    over = (
        select(documents.c.id)
        .where(documents.c.job_id == job.id, documents.c.state == LEASED, documents.c.ready_at <= db.now())
        .order_by(documents.c.ready_at)
        .limit(1000)
    )
    losses = documents.c.losses + 1
    given_up = losses >= max_losses
    message = (
        literal("lost its worker ")
        + cast(losses, Text)
        + literal(" times, the last was ")
        + documents.c.worker
    )
    connection.execute(
        _of(db, over).values(
            state=case((given_up, "quarantined"), else_="pending"),
            losses=losses,
            suspect=True,
            lease_token=null(),
            reason=str(Reason.worker_lost),
            message=message,
            traceback=null(),
            failed_page=null(),
            retryable=True,
            **scheduled(db),
            finished_at=case((given_up, db.now())),
        )
    )


def _mend_clock(db: Database, connection: Connection, job: Job) -> None:
    """What was scheduled in the future is due now: the clock was put back meanwhile.

    How far ahead a document is due says nothing, for another lane's leases may be of any length.
    """
    ahead = db.later(_CLOCK_STEP)
    for state in (PENDING, LEASED):
        late = (
            select(documents.c.id)
            .where(
                documents.c.job_id == job.id,
                documents.c.state == state,
                documents.c.suspect.in_((false(), true())),  # so that the index on pending ones is used
                documents.c.ready_at
                > ahead,  # so that the index is used: none is due before it was scheduled
                func.coalesce(documents.c.scheduled_at, documents.c.added_at) > ahead,
            )
            .limit(1000)
        )
        connection.execute(_of(db, late).values(**scheduled(db)))


def scheduled(db: Database, seconds: float = 0.0) -> dict[str, ColumnElement[datetime]]:
    """The columns that say when a document may be claimed or taken back: that many seconds from now."""
    return {"ready_at": db.later(seconds), "scheduled_at": db.now()}


def _of(db: Database, chosen: Select[tuple[int]]) -> Any:
    """An UPDATE of the chosen documents, of which no two workers choose the same."""
    if db.is_sqlite:  # it has one writer at a time, and ignores FOR UPDATE
        return update(documents).where(documents.c.id.in_(chosen))
    # Materialized: the plan may not run the choice a second time, with a second LIMIT.
    picked = chosen.with_for_update(skip_locked=True).cte("chosen").prefix_with("MATERIALIZED")
    return update(documents).where(documents.c.id == picked.c.id)


# holding and giving back


def renew(db: Database, leases: Sequence[Lease], lease_seconds: float) -> list[Lease]:
    if not leases:
        return []
    asked = db.rows("leases", {"id": BigInteger(), "token": Text()})
    held = select(documents.c.id).where(
        tuple_(documents.c.id, documents.c.lease_token).in_(select(asked.c.id, asked.c.token)),
        documents.c.state == LEASED,
    )
    mine = [{"id": lease.document_id, "token": lease.token} for lease in leases]
    with db.write() as connection:
        ids = db.locked(connection, held, documents.c.id, {"leases": rows.dump(mine)})
        longer = update(documents).where(documents.c.id.in_(ids)).values(**scheduled(db, lease_seconds))
        connection.execute(longer)
    kept = set(ids)
    return [lease for lease in leases if lease.document_id not in kept]


def release(db: Database, lease: Lease, failure: Failure | None, delay: float, attempts: int) -> State:
    if failure is None:
        again = documents.c.attempts - 1
        return _end(db, lease, ("pending",), "pending", attempts=again, **scheduled(db, delay))
    given_up = documents.c.attempts - documents.c.losses >= attempts
    return _end(
        db,
        lease,
        ("pending", "quarantined"),
        case((given_up, "quarantined"), else_="pending"),
        **_why(failure),
        suspect=True if failure.reason in _SUSPICIOUS else documents.c.suspect,
        **scheduled(db, delay),
        finished_at=case((given_up, db.now())),
    )


def quarantine(db: Database, lease: Lease, failure: Failure, sha256: str | None) -> State:
    known = {} if sha256 is None else {"sha256": sha256}
    return _end(db, lease, ("quarantined",), "quarantined", **_why(failure), **known, finished_at=db.now())


def _why(failure: Failure) -> dict[str, Any]:
    return {**rows.failure(failure), "failed_page": failure.page}


def _end(db: Database, lease: Lease, outcomes: Sequence[State], state: Any, **values: Any) -> State:
    """The state in which the document is now."""
    statement = (
        update(documents)
        .where(*held_by(lease.document_id, lease.token))
        .values(state=state, **values)
        .returning(documents.c.state)
    )
    with db.write() as connection:
        # The same call again, after its answer was lost on the way, has nothing left to do.
        ended: State | None = connection.execute(statement).scalar_one_or_none()
        left = ended or state_left_by(connection, lease)
        if left is None or left not in outcomes:
            raise lost(lease)
        return left


def state_left_by(connection: Connection, lease: Lease) -> State | None:
    """The state in which this very lease left its document; None when another one has had it since."""
    query = select(documents.c.state).where(
        documents.c.id == lease.document_id, documents.c.lease_token == lease.token
    )
    state: State | None = connection.execute(query).scalar_one_or_none()
    return state


def held_by(document: Any, token: Any) -> tuple[ColumnElement[bool], ...]:
    """What must be true of a document for a lease to count."""
    return documents.c.id == document, documents.c.state == LEASED, documents.c.lease_token == token


def lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"{lease.uri}: this lease is over; another worker may have the document")


def next_due(db: Database, job: Job) -> float | None:
    ours = documents.c.job_id == job.id
    waiting = (documents.c.state == PENDING, documents.c.state == LEASED)
    firsts = [
        select(documents.c.ready_at)
        .where(ours, *condition)
        .order_by(documents.c.ready_at)
        .limit(1)
        .subquery()
        for condition in (
            (waiting[0], documents.c.suspect == false()),
            (waiting[0], documents.c.suspect == true()),
            (waiting[1],),
        )
    ]
    soonest = union_all(*(select(first.c.ready_at) for first in firsts))
    with db.read() as connection:
        due = connection.execute(soonest).scalars().all()
        now = connection.execute(select(db.now())).scalar_one()
    return max(0.0, (min(due) - now).total_seconds()) if due else None
