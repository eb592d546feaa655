"""How an attempt at a document ends in the ledger, whoever made it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pipeline.reading import Commit, Quarantine, Retry, Verdict
from pipeline.records import DocumentRef, Part
from pipeline.store import Lease, Result, State, Store
from workers.flow_control import CircuitBreaker
from workers.lane import LaneReport
from workers.logs import fields

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0  # before a document is tried again; doubles with each try


def end(
    store: Store, lease: Lease, verdict: Retry | Quarantine, parts: Sequence[Part], attempts: int
) -> State:
    """Tell the ledger of a document without a result; the state that it has left it in.

    The same again changes nothing.
    `parts` are the files as they were found, as far as they were. Raises LeaseLost, and Transient when the
    store does not answer.
    """
    members = _members(parts)  # whatever becomes of the page before them
    if isinstance(verdict, Retry):
        delay = _RETRY_SECONDS * 2 ** (lease.tries - 1)
        return store.ledger.release(lease, verdict.why, delay=delay, attempts=attempts, members=members)
    sha256 = parts[0].sha256 if parts else None
    return store.ledger.quarantine(lease, verdict.why, sha256=sha256, members=members)


def result(lease: Lease, verdict: Commit, parts: Sequence[Part]) -> Result:
    """A document's result as the store takes it, alone or with others."""
    if not parts:
        raise RuntimeError("a document was read that was never fetched")
    first = parts[0]
    return Result(
        lease,
        verdict.extraction,
        verdict.pages,
        first.sha256,
        first.etag,
        parts if lease.parts else (),
        members=_members(parts),
    )


def _members(parts: Sequence[Part]) -> tuple[DocumentRef, ...]:
    """The documents that portfolios among the files hold."""
    return tuple(member for part in parts for member in part.members)


def report(to: LaneReport, breaker: CircuitBreaker, lease: Lease, verdict: Verdict, state: State) -> None:
    """Note how it ended, and say so where the document has no result.

    Raises SourceRefuses when its source has refused too many.
    """
    if isinstance(verdict, Commit):
        to.ended(state, (page.failure for page in verdict.pages if page.failure is not None))
        return
    _LOG.warning(
        "the document will be tried again" if state == "pending" else "the document is quarantined",
        extra=fields(
            document=lease.uri, page=verdict.why.page, reason=verdict.why.reason, attempt=lease.tries
        ),
    )
    to.ended(state, [verdict.why])
    breaker.failed(verdict.why)
