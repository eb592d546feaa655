"""Which documents a person looks at first.

First where the most wrong values are found in the least time: the sum of what is not sure of the values,
against the seconds that looking at a document and at each doubtful value takes. Between them comes a sampled
share of the documents that passed by themselves: what is found there says whether the promise is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import bindparam, select, text

from pipeline.store.database import Database
from pipeline.store.entities import Job, State
from pipeline.store.tables import Instant

Kind = Literal["doubtful", "sample", "decided", "rejected", "all"]
_LONGEST = 20_000  # documents that are put in order at a time
SAMPLE_EVERY = 8  # of so many documents one is of the sample
_SHARE_OF = 100_000
# Knuth's multiplicative hash of the id: the same documents are in the sample whenever it is asked for.
_SAMPLED = f"(d.id * 2654435761) % 4294967296 % {_SHARE_OF} < :sampled"
_NO_DECISION = "NOT EXISTS (SELECT 1 FROM decisions x WHERE x.document_id = d.id AND x.undone_at IS NULL)"
_WHICH = {
    "doubtful": "d.state IN ('review', 'partial')",
    "sample": f"d.state = 'done' AND {_NO_DECISION} AND {_SAMPLED}",
    "decided": "EXISTS (SELECT 1 FROM decisions x WHERE x.document_id = d.id AND x.undone_at IS NULL)",
    "rejected": "d.state = 'quarantined' AND d.reason = 'rejected'",
    "all": "(d.state IN ('done', 'review', 'partial') OR d.reason = 'rejected')",
}
_LOOK, _EACH = 4.0, 1.5  # seconds for a document, and for each value that is not sure
_UNSURE = 0.95

_ENTRIES = """
SELECT d.id AS document_id, d.uri, d.state, e.score, e.tier,
    coalesce(f.unsure, 0) AS unsure, coalesce(f.wrong, 0.0) AS wrong, coalesce(c.failed, 0) AS failed,
    k.reviewer
FROM (SELECT * FROM documents d WHERE d.job_id = :job AND {which} AND {search} ORDER BY d.id LIMIT :longest) d
LEFT JOIN extractions e ON e.document_id = d.id
LEFT JOIN claims k ON k.document_id = d.id AND k.expires_at > :now
LEFT JOIN {of_fields}
LEFT JOIN {of_checks}
"""
_OF_FIELDS = """(
    SELECT document_id, count(*) AS unsure, sum(1 - coalesce(score, confidence, 0)) AS wrong FROM fields
    WHERE coalesce(score, confidence, 0) < :unsure
      AND document_id IN (SELECT d.id FROM documents d WHERE d.job_id = :job AND {which} AND {search}
                          ORDER BY d.id LIMIT :longest)
    GROUP BY document_id) f ON f.document_id = d.id"""
_OF_CHECKS = """(
    SELECT document_id, count(*) AS failed FROM checks
    WHERE NOT passed AND severity <> 'info'
      AND document_id IN (SELECT d.id FROM documents d WHERE d.job_id = :job AND {which} AND {search}
                          ORDER BY d.id LIMIT :longest)
    GROUP BY document_id) c ON c.document_id = d.id"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A document in the queue.

    unsure   values that are less sure than 0.95
    wrong    how many of them are expected to be wrong
    failed   failed checks that nobody has settled
    reviewer who looks at it now
    sample   it passed by itself, and is looked at to keep the promise honest
    """

    document_id: int
    uri: str
    state: State
    score: float | None
    tier: str | None
    unsure: int
    wrong: float
    failed: int
    reviewer: str | None
    sample: bool = False

    @property
    def gain(self) -> float:
        """Expected wrong values for a second of a person's time; a failed check counts as a third of one."""
        return (self.wrong + self.failed / 3) / (_LOOK + _EACH * self.unsure)


class Queue:
    """The documents of a job in the order in which people should look at them."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def entries(
        self, job: Job, kind: Kind = "doubtful", *, share: float = 0.0, search: str = ""
    ) -> list[Entry]:
        """`share` of the documents that passed come between those that are "doubtful", or alone as "sample".

        `search` is a part of the URI.
        """
        if kind == "doubtful":
            first = sorted(self._entries(job, kind, share, search), key=_order)
            return _between(first, self._entries(job, "sample", share, search)) if share else first
        found = self._entries(job, kind, share, search)
        return sorted(found, key=_order) if kind == "all" else found

    def place(self, document: int) -> tuple[int, str, State, str | None] | None:
        """(job's id, URI, state, reason) of a document."""
        query = "SELECT job_id, uri, state, reason FROM documents WHERE id = :document"
        with self._db.read() as connection:
            row = connection.execute(text(query), {"document": document}).first()
        return None if row is None else (row.job_id, row.uri, row.state, row.reason)

    def _entries(self, job: Job, kind: Kind, share: float, search: str) -> list[Entry]:
        found = "d.uri LIKE :pattern ESCAPE '!'" if search else "1 = 1"
        chosen = {"which": _WHICH[kind], "search": found}
        parts = {"of_fields": _OF_FIELDS.format(**chosen), "of_checks": _OF_CHECKS.format(**chosen)}
        values = {
            "job": job.id,
            "longest": _LONGEST,
            "unsure": _UNSURE,
            "sampled": round(share * _SHARE_OF),
            "pattern": f"%{_escaped(search)}%",
        }
        query = text(_ENTRIES.format(**chosen, **parts))
        with self._db.read() as connection:
            used = {name: value for name, value in values.items() if f":{name}" in query.text}
            now = connection.execute(select(self._db.now())).scalar_one()
            query = query.bindparams(bindparam("now", now, Instant))
            rows = connection.execute(query, used).mappings().all()
        return [Entry(**row, sample=kind == "sample") for row in rows]


def _escaped(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _order(entry: Entry) -> tuple[bool, float, int]:
    """Partial documents last: another run may read what failed."""
    return entry.state == "partial", -entry.gain, entry.document_id


def _between(first: Sequence[Entry], sample: Sequence[Entry]) -> list[Entry]:
    """One of the sample after each few of the others, what is left of it at the end."""
    mixed: list[Entry] = []
    left = list(sample)
    for number, entry in enumerate(first, 1):
        mixed.append(entry)
        if number % (SAMPLE_EVERY - 1) == 0 and left:
            mixed.append(left.pop(0))
    return [*mixed, *left]
