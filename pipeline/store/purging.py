"""Removing what was read: by document, by age, by the person it is about."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    union,
    union_all,
    update,
)

from pipeline.errors import UsageError
from pipeline.store.database import Database
from pipeline.store.entities import Job, Purged
from pipeline.store.failures import named
from pipeline.store.tables import (
    checks,
    claims,
    decisions,
    documents,
    extractions,
    fields,
    invoice_index,
    jobs,
    pages,
    parts,
    readings,
    witnesses,
)

_BATCH = 2000  # documents removed in one transaction
# A document's rows, those that refer to others first.
_OWNED = (witnesses, checks, fields, extractions, pages, parts, decisions, readings, claims)
_SHORTEST_SUBJECT = 4  # characters


def purge(
    db: Database,
    *,
    job: Job | None = None,
    document: str | None = None,
    older_than: timedelta | None = None,
    subject: str | None = None,
    dry_run: bool = False,
) -> Purged:
    """Removes documents with their pages, cached results, extractions, fields, checks, testimony and
    what people decided.

    At most one of: `document`, a URI, of any of its files, which takes with it what was read of files within
    that one (of a portfolio, an archive); `older_than`, finished that long ago; `subject`, a
    value such as a person's number or name, looked for in fields, in what the model wrote, in codes and in
    file names, as a whole word and without regard to case. In all jobs, or in `job`, which alone means all of
    its documents. With dry_run nothing is removed. A document that somebody works on is removed too: that
    worker's lease is lost.
    """
    given = sum(one is not None for one in (document, older_than, subject))
    if given > 1 or (not given and job is None):
        raise UsageError("say what to purge: a document, an age or a subject, and only one of them, or a job")
    chosen = select(documents.c.id)
    if job is not None:
        chosen = chosen.where(documents.c.job_id == job.id)
    if document is not None:
        chosen = chosen.where(_meant(document))
    elif older_than is not None:
        chosen = chosen.where(documents.c.finished_at < db.later(-older_than.total_seconds()))
    elif subject is not None:
        chosen = chosen.where(_mentions(subject))
    copies = () if document is None else _copies(db, document)
    removed = {table.name: 0 for table in (documents, *_OWNED)}
    last = 0
    while True:
        # The search is a transaction of its own: it may take long, and must not keep others from writing.
        with db.read() as connection:
            batch = chosen.where(documents.c.id > last).order_by(documents.c.id).limit(_BATCH)
            ids = connection.execute(batch).scalars().all()
        if not ids:
            break
        for table, number in (_count(db, ids) if dry_run else _remove(db, chosen, ids)).items():
            removed[table] += number
        last = ids[-1]
    if not dry_run and removed["documents"]:
        _forget(db)
    return Purged(**removed, copies=copies)


def _count(db: Database, ids: Sequence[int]) -> dict[str, int]:
    """Rows that would be removed, by table."""
    mine: list[tuple[Table, Any]] = [(table, table.c.document_id.in_(ids)) for table in _OWNED]
    mine.append((documents, documents.c.id.in_(ids)))
    with db.read() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table).where(those)).scalar_one()
            for table, those in mine
        }


def _remove(db: Database, chosen: Select[tuple[int]], ids: Sequence[int]) -> dict[str, int]:
    """Rows removed, by table: of those documents that are still there and still meant."""
    with db.write(durable=True) as connection:
        ids = db.locked(connection, chosen.where(documents.c.id.in_(ids)), documents.c.id)
        gone = {
            table.name: connection.execute(delete(table).where(table.c.document_id.in_(ids))).rowcount
            for table in _OWNED
        }
        deleted = delete(documents).where(documents.c.id.in_(ids)).returning(documents.c.job_id)
        by_job = Counter(connection.execute(deleted).scalars())
        # The books: what is purged was never submitted.
        for job_id, number in sorted(by_job.items()):
            submitted = jobs.c.submitted - number
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(submitted=submitted))
        return {**gone, documents.name: by_job.total()}


def _meant(uri: str) -> ColumnElement[bool]:
    """The document of this name, or with a file of this name, and those with a file within it."""
    within, mine = (and_(table.c.uri > f"{uri}!/", table.c.uri < f"{uri}!0") for table in (documents, parts))
    return or_(named(uri), within, documents.c.id.in_(select(parts.c.document_id).where(mine)))


def _copies(db: Database, uri: str) -> tuple[str, ...]:
    """Up to a hundred other URIs under which the same bytes stand in the store."""
    meant = select(documents.c.id).where(_meant(uri))
    # Each file by its bytes: of a document of several, the row itself has those of the first.
    columns = ((documents.c.id, documents.c), (parts.c.document_id, parts.c))
    same = union_all(*(select(c.sha256).where(id.in_(meant), c.sha256.is_not(None)) for id, c in columns))
    others = union(
        *(select(c.uri).where(id.not_in(meant), c.sha256.in_(same)) for id, c in columns)
    ).subquery()
    query = select(others.c.uri).order_by(others.c.uri).limit(100)
    with db.read() as connection:
        return tuple(connection.execute(query).scalars())


def _forget(db: Database) -> None:
    """What was removed leaves the files too: SQLite's log is emptied, PostgreSQL's dead rows are cleared."""
    tables = ", ".join(table.name for table in (documents, *_OWNED, invoice_index))
    statement = "PRAGMA wal_checkpoint(TRUNCATE)" if db.is_sqlite else f"VACUUM {tables}"
    with db.errors(), db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(statement)


# finding a person


def _mentions(subject: str) -> ColumnElement[bool]:
    """Documents whose name, fields, codes or model output hold the subject."""
    pattern = subject_pattern(subject)
    in_pages = exists().where(
        pages.c.document_id == documents.c.id,
        or_(pages.c.output.regexp_match(pattern), pages.c.record.regexp_match(pattern)),
    )
    in_fields = exists().where(
        fields.c.document_id == documents.c.id,
        or_(fields.c.raw.regexp_match(pattern), fields.c.value.regexp_match(pattern)),
    )
    in_names = exists().where(
        parts.c.document_id == documents.c.id,
        or_(parts.c.uri.regexp_match(pattern), parts.c.message.regexp_match(pattern)),
    )
    in_decisions = exists().where(
        decisions.c.document_id == documents.c.id,
        or_(
            decisions.c.raw.regexp_match(pattern),
            decisions.c.value.regexp_match(pattern),
            decisions.c.was.regexp_match(pattern),
        ),
    )
    return or_(documents.c.uri.regexp_match(pattern), in_names, in_fields, in_pages, in_decisions)


def subject_pattern(subject: str) -> str:
    """A regular expression, for Python and PostgreSQL alike, of the ways a value stands in documents.

    A number may be printed with spaces and, in an MRZ, directly after other digits. A name may be composed or
    decomposed Unicode, in any case and, in an MRZ, without accents. Anything but a number is looked for as
    whole words. Raises UsageError for a subject so short that it would hit many others.
    """
    words = unicodedata.normalize("NFC", subject).split()
    if len("".join(words)) < _SHORTEST_SUBJECT:
        raise UsageError(
            f"a subject has at least {_SHORTEST_SUBJECT} characters; {len(''.join(words))} hit too many"
        )
    digits = "".join(words)
    if digits.isascii() and digits.isdecimal():
        return (
            _BEFORE * (len(digits) < _LONG_NUMBER) + " ?".join(digits) + _AFTER * (len(digits) < _LONG_NUMBER)
        )
    forms = [_SPACE.join(map(_any_case, words))]
    forms.append(_SPACE.join(_any_case(unicodedata.normalize("NFD", word)) for word in words))
    forms.append("<+".join(map(re.escape, (_plain(word) for word in words))))
    return f"{_BEFORE}(?:{'|'.join(dict.fromkeys(forms))}){_AFTER}"


_LONG_NUMBER = 9  # digits: from here a number is found inside others, as it stands in an MRZ
_SPACE = r"\s+"
_LETTER = "0-9A-Za-zÀ-ỹ"  # not the database's idea of a letter, which depends on its locale
_BEFORE = f"(?:^|[^{_LETTER}])"
_AFTER = f"(?:$|[^{_LETTER}])"


def _any_case(word: str) -> str:
    return "".join(
        f"[{letter.lower()}{letter.upper()}]" if letter.lower() != letter.upper() else re.escape(letter)
        for letter in word
    )


def _plain(word: str) -> str:
    """As an MRZ writes it: NGUYEN for Nguyễn."""
    letters = unicodedata.normalize("NFD", word.replace("đ", "d").replace("Đ", "D"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).upper()
