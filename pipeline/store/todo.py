"""What to look at first in a job, and why: groups of documents, each with the command to run next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.advice import advice
from pipeline.errors import Reason
from pipeline.store import duplicates
from pipeline.store.database import Database
from pipeline.store.entities import Job
from pipeline.store.failures import Failures
from pipeline.store.figures import Figures
from pipeline.store.jobs import Jobs

_LOWEST = 5
_SAMPLE = 5


@dataclass(frozen=True, slots=True)
class Todo:
    """One group.

    kind      unread, failed, check, duplicate, unsure or accepted
    what      what they have in common: a state, a reason, the code of a check
    documents how many they are; `examples` are URIs of some of them
    why       a sentence for people, with a value of a document where a check's message has one
    next      what to type after `vinbatch`
    """

    kind: Literal["unread", "failed", "check", "duplicate", "unsure", "accepted"]
    what: str
    documents: int
    why: str
    examples: tuple[str, ...]
    next: tuple[str, ...]
    pages: int = 0  # that failed in partial documents


def todo(db: Database, job: Job) -> list[Todo]:
    """The groups, first those whose documents have no values, then by how many documents one thing stops."""
    first = [*_unread(db, job), *_failed(db, job), *_checks(db, job), *_duplicates(db, job)]
    return [*first, *_unsure(db, job), *_accepted(db, job)]


def _unread(db: Database, job: Job) -> Iterator[Todo]:
    [(number, example)] = _rows(db, _UNREAD, job)
    if number:
        first, more = (job, ()) if job.shadow_of is None else _shadowed(db, job)
        named = *first.flags, f"--job={first.name}"
        run = ("run", *named, *more, "--")
        why = "they wait to be read, or to be read again: the same command goes on where it stopped"
        yield Todo("unread", "not read", int(number), why, (example,), (*run, *job.sources))


def _shadowed(db: Database, shadow: Job) -> tuple[Job, tuple[str, ...]]:
    """The job whose run goes on with a shadow, and what it is to be told of that."""
    first = next(job for job in Jobs(db).all() if job.id == shadow.shadow_of)
    return first, (f"--shadow={shadow.model}", f"--share={shadow.shadow_share:g}")


def _failed(db: Database, job: Job) -> Iterator[Todo]:
    for group in Failures(db).groups(job):
        again: tuple[str, ...] = ("retry", "--job", job.name, "--reason", group.reason)
        if group.reason == Reason.rejected:
            again = ("review", "--job", job.name)
        found = group.documents, advice(group.reason), (group.example,)
        yield Todo("failed", group.reason, *found, again, group.pages)


def _checks(db: Database, job: Job) -> Iterator[Todo]:
    stops = Figures(db).stops(job)
    for stop in sorted(stops, key=lambda stop: (-stop.alone, -stop.documents, stop.code)):
        alone = f"nothing else stops {stop.alone} of them; " if stop.alone else ""
        yield Todo(
            "check", stop.code, stop.documents, f"{alone}for example: {stop.message}", (stop.uri,),
            ("show", "--job", job.name, "--", stop.uri),
        )  # fmt: skip


def _duplicates(db: Database, job: Job) -> Iterator[Todo]:
    """Also those that were there first, which no check stops."""
    found = duplicates.repeated(db, job)
    if found.documents:
        why = "another document of the store shows the same invoice; each is paid and declared once"
        ask = ("query", "--named", "duplicate-invoices")
        yield Todo("duplicate", "same invoice", found.documents, why, found.examples, ask)


def _unsure(db: Database, job: Job) -> Iterator[Todo]:
    found = _rows(db, _LEAST, job, limit=_LOWEST)
    if found:
        whole = int(found[0][2])
        why = f"they wait for a person and are the least sure, from {found[0][1]:.3f} on"
        uris = tuple(uri for uri, *_ in found)
        yield Todo("unsure", "least sure", whole, why, uris, ("review", "--job", job.name))


def _accepted(db: Database, job: Job) -> Iterator[Todo]:
    """The same ones each time until somebody has looked at them."""
    found = _rows(db, _SAMPLED, job, limit=_SAMPLE)
    if found:
        why = (
            "nobody has looked at them: a sample of what passed shows whether it is as right as it should be"
        )
        uris = tuple(uri for uri, _ in found)
        yield Todo("accepted", "passed", int(found[0][1]), why, uris, ("review", "--job", job.name))


def _rows(db: Database, statement: str, job: Job, **values: Any) -> Sequence[Sequence[Any]]:
    with db.read() as connection:
        return db.sql(connection, statement, job=job.id, **values)


_UNREAD = "SELECT count(*), min(uri) FROM documents WHERE job_id = :job AND state IN ('pending', 'leased')"
_UNDECIDED = """NOT EXISTS (
    SELECT 1 FROM decisions WHERE decisions.document_id = documents.id AND decisions.undone_at IS NULL)"""
_LEAST = f"""
SELECT uri, sure, count(*) OVER () FROM (
    SELECT documents.id, uri, coalesce(extractions.score,
        (SELECT min(confidence) FROM fields WHERE fields.document_id = documents.id)) AS sure
    FROM documents JOIN extractions ON extractions.document_id = documents.id
    WHERE documents.job_id = :job AND documents.state IN ('review', 'partial') AND {_UNDECIDED}
) AS waiting
WHERE sure IS NOT NULL
ORDER BY sure, id
LIMIT :limit
"""
# Scattered by their ids, as a hash would.
_SAMPLED = f"""
SELECT uri, count(*) OVER () FROM documents
WHERE job_id = :job AND state = 'done' AND {_UNDECIDED}
ORDER BY (id * 2654435761) - (id * 2654435761) / 4294967296 * 4294967296, id
LIMIT :limit
"""
