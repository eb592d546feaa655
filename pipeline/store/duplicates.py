"""An invoice that the store has from another file already: told in the transaction that ends a document.

Papers of one identity (`schemas.identity`) wait for each other, so that of two that are read at the same
moment one sees the other. The first of all stands for the invoice, and each later one gets a failed check.
Another reading of the same file is no other paper: of a file the newest reading counts, in whatever job.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from pipeline.records import Extraction
from pipeline.store import invoices, rows
from pipeline.store.database import Database
from pipeline.store.entities import Job

INVOICE = "duplicate_invoice"  # another file shows the same invoice
FILE = "duplicate_file"  # another file of the same bytes does
CODES = (INVOICE, FILE)

_SAID = {
    INVOICE: "another document of this store shows the same invoice (seller, form, series and number): {}",
    FILE: "another document of this store is the same file, byte by byte: {}",
}


@dataclass(frozen=True, slots=True)
class Repeated:
    """Documents of a job whose invoice other documents show too, with some of them, of both kinds."""

    documents: int
    examples: tuple[str, ...]


def mark(
    db: Database,
    connection: Connection,
    found: Mapping[int, Mapping[str, Any]],
    settled: Collection[int] = (),
    *,
    new: bool = True,
) -> set[int]:
    """Puts the index's rows of results that this transaction has made, and says which of them repeat another.

    `found`: their records by document; they are `new`, or were there before and are judged again. A document
    of `settled` a person has accepted as it is: it keeps its state. Returns those that go to review for this
    and were done.
    """
    made = [invoices.row(document, record) for document, record in found.items()]
    identified = [row["document_id"] for row in made if row["identity"] is not None]
    if identified and not db.is_sqlite:  # which has one writer at a time
        db.sql(connection, _WAIT, identities=[{"identity": row["identity"]} for row in made])
    invoices.put(db, connection, made)
    if not identified:
        return set()
    first_seen = _first(db, connection, identified, new=new)
    repeated = [
        {
            "document": document,
            "code": code,
            "severity": "info" if document in settled else "warning",
            "message": _SAID[code].format(uri),
            "found": uri,
        }
        for document, (code, uri) in first_seen.items()
    ]
    if not repeated:
        return set()
    given = rows.dump(repeated)
    db.sql(connection, _TELL, repeated=given)
    db.sql(connection, _REMEMBER, repeated=given)
    return {document for (document,) in db.sql(connection, _SEND, repeated=given)}


def _first(
    db: Database, connection: Connection, documents: Sequence[int], *, new: bool
) -> dict[int, tuple[str, str]]:
    """Of each that repeats another: the code, and the other's URI."""
    asked = [{"document": document} for document in documents]
    found: dict[int, tuple[str, str]] = {}
    # Of those that were put together the later ones repeat the first one.
    for document, other, uri, same_file in db.sql(connection, _OTHERS, asked=asked, new=int(new)):
        if other in found:
            continue
        if document not in found or (same_file and found[document][0] == INVOICE):
            found[document] = FILE if same_file else INVOICE, uri
    return found


def prepare(db: Database, job: Job) -> None:
    """Before a job is read: what was read by a Vinbatch that made no rows for the index has them."""
    if invoices.indexed(job):
        invoices.update(db, old_ones=False)


def unmarked(extraction: Extraction) -> Extraction:
    """A result as it was read, before it was held against the others of the store."""
    checks = tuple(check for check in extraction.checks if check.code not in CODES)
    if len(checks) == len(extraction.checks):
        return extraction
    failed = any(not check.passed and check.severity != "info" for check in checks)
    state = "done" if extraction.state == "review" and not failed else extraction.state
    return replace(extraction, checks=checks, state=state)


def repeated(db: Database, job: Job) -> Repeated:
    """What of a job's invoices nobody has decided on and is in the store from another file too."""
    if not invoices.indexed(job):
        return Repeated(0, ())
    invoices.update(db)
    with db.read() as connection:
        found = db.sql(connection, _REPEATED, job=job.id)
    if not found:
        return Repeated(0, ())
    uri, other, number = found[0]
    return Repeated(int(number), (uri, other))


# In the order of the keys, as everybody waits. Two identities of one key wait in vain, and no harm is done.
_WAIT = """
WITH keys AS MATERIALIZED (
    SELECT DISTINCT hashtextextended(identity, 0) AS key
    FROM json_to_recordset(CAST(:identities AS json)) AS given(identity text)
    WHERE identity IS NOT NULL
    ORDER BY key)
SELECT count(pg_advisory_xact_lock(key)) FROM keys
"""
# Of the file of `theirs` no newer reading is known.
_NEWEST = """NOT EXISTS (
        SELECT 1 FROM jobs
        JOIN documents AS newer ON newer.job_id = jobs.id AND newer.uri = theirs.uri
        JOIN invoice_index AS known ON known.document_id = newer.id
        WHERE (newer.finished_at, newer.id) > (theirs.finished_at, theirs.id))"""
# First those that stand for their invoice: one, however many papers there are. Where none does (it was
# purged, or corrected to another number), what is new repeats the others, but not those that repeat it: then
# it is the first one, and was read once more.
_PAIRS = f"""
SELECT mine.document_id AS document, other.document_id AS other, theirs.uri AS uri,
    coalesce(theirs.sha256 = documents.sha256, false) AS same_file, theirs.finished_at AS finished_at
FROM json_to_recordset(CAST(:asked AS json)) AS given(document bigint)
JOIN invoice_index AS mine ON mine.document_id = given.document
JOIN documents ON documents.id = mine.document_id
JOIN invoice_index AS other ON other.identity = mine.identity AND other.repeats = {{repeats}}
    AND other.document_id <> mine.document_id
JOIN documents AS theirs ON theirs.id = other.document_id
WHERE theirs.uri <> documents.uri AND {_NEWEST}"""
_NONE_STANDS = """NOT EXISTS (
        SELECT 1 FROM invoice_index AS standing
        WHERE standing.identity = mine.identity AND NOT standing.repeats
            AND standing.document_id <> mine.document_id)"""
_OTHERS = f"""
SELECT document, other, uri, same_file FROM (
{_PAIRS.format(repeats="false")}
UNION ALL
{_PAIRS.format(repeats="true")} AND {_NONE_STANDS} AND CAST(:new AS integer) = 1
    AND NOT EXISTS (
        SELECT 1 FROM checks
        WHERE checks.document_id = other.document_id AND checks.code IN ('{INVOICE}', '{FILE}')
            AND checks.found = documents.uri)
) AS pairs
ORDER BY document DESC, finished_at, other
"""
_GIVEN = """json_to_recordset(CAST(:repeated AS json)) AS given(
    document bigint, code text, severity text, message text, found text)"""
_TELL = f"""
INSERT INTO checks (document_id, number, code, passed, severity, message, fields, found)
SELECT document, (SELECT coalesce(max(number), 0) + 1 FROM checks WHERE document_id = document), code, false,
    severity, message, '[]', given.found
FROM {_GIVEN}
"""
_REMEMBER = f"UPDATE invoice_index SET repeats = true FROM {_GIVEN} WHERE document_id = given.document"
_SEND = f"""
UPDATE documents SET state = 'review' FROM {_GIVEN}
WHERE documents.id = given.document AND given.severity <> 'info' AND documents.state = 'done'
RETURNING id
"""
_UNDECIDED = """NOT EXISTS (
        SELECT 1 FROM decisions
        WHERE decisions.document_id = {}.id AND decisions.field IS NULL AND decisions.undone_at IS NULL)"""
_REPEATED = f"""
SELECT documents.uri, min(theirs.uri), count(*) OVER ()
FROM documents
JOIN invoice_index AS mine ON mine.document_id = documents.id
JOIN invoice_index AS other ON other.identity = mine.identity AND other.document_id <> mine.document_id
JOIN documents AS theirs ON theirs.id = other.document_id
WHERE documents.job_id = :job AND theirs.uri <> documents.uri AND {_NEWEST}
    AND {_UNDECIDED.format("documents")} AND {_UNDECIDED.format("theirs")}
GROUP BY documents.id, documents.uri, mine.identity
ORDER BY mine.identity, documents.uri
LIMIT 1
"""
