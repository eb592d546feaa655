"""The statements that end a document and put its result, and what they take of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pipeline.records import Extraction
from pipeline.store import group_commit, rows
from pipeline.store.child_rows import ChildTable
from pipeline.store.database import Database
from pipeline.store.ledger import HELD

# Ends the document, if the lease still holds.
FINISH = f"""
UPDATE documents
SET state = :state, reason = NULL, message = NULL, traceback = NULL, retryable = NULL, failed_page = NULL,
    sha256 = :sha256, etag = coalesce(:etag, etag), pages = :page_count, finished_at = @now
WHERE {HELD}
RETURNING id
"""
# The same of a document on which nobody decided; nobody decides on one that is leased.
FINISH_UNDECIDED = FINISH.replace(
    "RETURNING",
    "AND NOT EXISTS (SELECT 1 FROM decisions WHERE document_id = :document AND undone_at IS NULL)\nRETURNING",
)

# The parts of a result. Each puts rows to the document that `held` has; if it has none, nothing is put.
_PAGE = (
    "page integer, key text, record text, reason text, message text, traceback text, retryable boolean, "
    "renderer text, width integer, height integer, tiles integer, prompt_tokens integer, "
    "output_tokens integer, output text, attempts integer, passes integer, numerics text"
)
_OF_PAGE = tuple(column.split()[0] for column in _PAGE.split(", "))
_INTO_PAGES = f"INSERT INTO pages (document_id, {', '.join(_OF_PAGE)}, read_at)"
_OVER_OLD = f"""
ON CONFLICT (document_id, page) DO UPDATE
SET {", ".join(f"{name} = excluded.{name}" for name in (*_OF_PAGE[1:], "read_at"))}
"""
_PUT_PAGES = f"""{_INTO_PAGES}
SELECT held.id, {", ".join(_OF_PAGE)}, @now
FROM held, json_to_recordset(CAST(:pages AS json)) AS given({_PAGE})
WHERE true {_OVER_OLD} RETURNING page
"""
# With the whole result: most pages are there already, as they are, and are not written twice.
_CHANGED = """WHERE (pages.key, coalesce(pages.record, ''), coalesce(pages.reason, ''))
    <> (excluded.key, coalesce(excluded.record, ''), coalesce(excluded.reason, ''))
"""
_PUT_CHANGED_PAGES = _PUT_PAGES.replace("RETURNING", f"{_CHANGED} RETURNING")
_PUT_CHANGED_PAGE = f"""{_INTO_PAGES}
VALUES (:document, {", ".join(f":{name}" for name in _OF_PAGE)}, @now) {_OVER_OLD} {_CHANGED}
"""
# Pages that an earlier try has saved, when the file was another one.
_DROP_PAGES = "DELETE FROM pages WHERE document_id IN (SELECT id FROM held) AND page > :page_count"
_PUT_EXTRACTION = """
INSERT INTO extractions (document_id, record, committed_at, score, tier, calibration, read_on)
SELECT id, :record, @now, CAST(:score AS double precision), CAST(:tier AS text), CAST(:calibration AS bigint),
    CAST(:read_on AS text)
FROM held
"""
_FIELDS = ChildTable(
    "fields",
    "number integer, path text, raw text, value text, type text, confidence double precision, source text, "
    "page integer, box text, problem text, score double precision, absence text",
    lists=("box",),
)
_CHECKS = ChildTable(
    "checks",
    "number integer, code text, passed boolean, severity text, message text, fields text, expected text, "
    "found text, suspects text",
    lists=("fields", "suspects"),
)
_WITNESSES = ChildTable(
    "witnesses",
    "number integer, field text, source text, verdict text, raw text, value text, type text, page integer, "
    "box text",
    lists=("box",),
)
_TABLES = (_FIELDS, _CHECKS, _WITNESSES)
_PUT_PARTS = """
UPDATE parts
SET size = coalesce(given.size, parts.size), etag = coalesce(given.etag, parts.etag), sha256 = given.sha256,
    pages = given.pages, reason = given.reason, message = given.message
FROM held, json_to_recordset(CAST(:parts AS json)) AS given(
    part integer, size bigint, etag text, sha256 text, pages integer, reason text, message text)
WHERE parts.document_id = held.id AND parts.part = given.part
"""

# PostgreSQL is asked once. SQLite cannot do it all in one statement, and need not: it is in this process.
FINISH_WITH_PARTS = f"""
WITH held AS ({FINISH_UNDECIDED}), parts_put AS ({_PUT_PARTS}), pages_put AS ({_PUT_CHANGED_PAGES}),
    pages_dropped AS ({_DROP_PAGES}), extraction_put AS ({_PUT_EXTRACTION}), fields_put AS ({_FIELDS.put}),
    checks_put AS ({_CHECKS.put}), witnesses_put AS ({_WITNESSES.put})
SELECT id FROM held
"""
_HELD_ALONE = "WITH held AS (SELECT CAST(:document AS bigint) AS id)"

# FOR SHARE: nobody takes the document back between the look and the write.
SAVE_PAGE = f"WITH held AS (SELECT id FROM documents WHERE {HELD} FOR SHARE) {_PUT_PAGES}"


def values_of(extraction: Extraction) -> dict[str, Any]:
    """What the statements take of a result, beside the document, its files and its pages."""
    return {
        "record": extraction.record,
        "score": extraction.score,
        "tier": extraction.tier,
        "calibration": extraction.calibration,
        "read_on": None if extraction.read_on is None else extraction.read_on.isoformat(),
        "fields": [rows.field(n, item) for n, item in enumerate(extraction.fields, 1)],
        "checks": [rows.check(n, item) for n, item in enumerate(extraction.checks, 1)],
        "witnesses": [rows.testimony(n, item) for n, item in enumerate(extraction.testimony, 1)],
    }


def put_pages(db: Database, connection: Connection, values: Mapping[str, Any]) -> None:
    """A document's files and pages, by a statement each."""
    if values["parts"]:
        db.sql(connection, f"{_HELD_ALONE} {_PUT_PARTS}", **values)
    if db.is_sqlite:  # which need not take JSON apart for them
        for page in values["pages"]:
            db.sql(connection, _PUT_CHANGED_PAGE, document=values["document"], **rows.cleaned(page))
    else:
        db.sql(connection, f"{_HELD_ALONE} {_PUT_CHANGED_PAGES}", **values)
    db.sql(connection, f"{_HELD_ALONE} {_DROP_PAGES}", **values)


def put_result(db: Database, connection: Connection, values: Mapping[str, Any]) -> None:
    """What `values_of` has, put to `document`, which has no result."""
    db.sql(connection, f"{_HELD_ALONE} {_PUT_EXTRACTION}", **values)
    for table in _TABLES:
        if db.is_sqlite:
            table.insert(connection, values["document"], values[table.name])
        else:
            db.sql(connection, f"{_HELD_ALONE} {table.put}", **values)


def put_alone(db: Database, connection: Connection, values: Mapping[str, Any]) -> None:
    """Pages and result of a document that has ended, by a statement each."""
    put_pages(db, connection, values)
    put_result(db, connection, values)


GROUP = group_commit.GroupCommit(
    FINISH_UNDECIDED,
    (_PUT_CHANGED_PAGES, _PUT_EXTRACTION, *(table.put for table in _TABLES)),
    SAVE_PAGE,
    _PUT_PAGES,
    put_alone,
)
