"""The ledger and the results in SQL: who works on which document, and what was found.

    from pipeline import store

    with store.open("sqlite:///vinbatch.db") as opened:
        job = opened.jobs.ensure("june", spec, sources=[…], settings={…}, model="demo", checkpoint=…)
        opened.ledger.add(job, refs)
        for lease in opened.ledger.claim(job, worker="lane-0", limit=8, lease_seconds=120):
            opened.results.commit(lease, extraction, pages, sha256=…)
        opened.books.verify(job)

A document is `pending`, then `leased` to one worker, then `done`, `review`, `partial` or `quarantined`. A
lease ends when its time is over; the next worker gets another token, and whatever comes late under the
old token is refused with LeaseLost and leaves nothing. Results, state and page rows are written in one
transaction.

This package is the only home of SQLAlchemy. SQLite serves several processes on one machine, PostgreSQL
several machines. A connection that breaks, a busy database and a full disk are Transient: the caller
tries again. Each writing call may be repeated after a lost answer: it then finds its own work done and
changes nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from pipeline.errors import LeaseLost, Unbalanced
from pipeline.store.entities import (
    Added,
    AuditRow,
    Balance,
    Change,
    Claim,
    DocumentRow,
    FailedItem,
    FailureGroup,
    Job,
    Lease,
    Purged,
    Repair,
    Run,
    State,
    StoredExtraction,
)
from pipeline.store.query import Rows
from pipeline.store.queue import SAMPLE_EVERY, Entry
from pipeline.store.queue import Kind as QueueKind
from pipeline.store.store import Store, open
from pipeline.store.url import shown

if TYPE_CHECKING:
    from pipeline.store.decisions import Decided
    from pipeline.store.group_commit import MOST, Result
    from pipeline.store.shadows import Shadow

# Imported when they are first asked for: with them come all records and schemas, which a query does without.
_LATER = {"Decided": "decisions", "MOST": "group_commit", "Result": "group_commit", "Shadow": "shadows"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)


__all__ = [
    "MOST",
    "SAMPLE_EVERY",
    "Added",
    "AuditRow",
    "Balance",
    "Change",
    "Claim",
    "Decided",
    "DocumentRow",
    "Entry",
    "FailedItem",
    "FailureGroup",
    "Job",
    "Lease",
    "LeaseLost",
    "Purged",
    "QueueKind",
    "Repair",
    "Result",
    "Rows",
    "Run",
    "Shadow",
    "State",
    "Store",
    "StoredExtraction",
    "Unbalanced",
    "open",
    "shown",
]
