"""The statements that end a document and put its result, and what they take of it."""

from __future__ import annotations

from typing import Any

from pipeline.records import Extraction
from pipeline.store import group_commit, rows
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
_PUT_PAGES = """
INSERT INTO pages (
    document_id, page, key, record, reason, message, traceback, retryable, renderer, width, height, tiles,
    prompt_tokens, output_tokens, output, attempts, passes, numerics, read_at)
SELECT held.id, page, key, record, reason, message, traceback, retryable, renderer, width, height, tiles,
    prompt_tokens, output_tokens, output, attempts, passes, numerics, @now
FROM held, json_to_recordset(CAST(:pages AS json)) AS given(
    page integer, key text, record text, reason text, message text, traceback text, retryable boolean,
    renderer text, width integer, height integer, tiles integer, prompt_tokens integer,
    output_tokens integer, output text, attempts integer, passes integer, numerics text)
WHERE true
ON CONFLICT (document_id, page) DO UPDATE
SET key = excluded.key, record = excluded.record, reason = excluded.reason, message = excluded.message,
    traceback = excluded.traceback, retryable = excluded.retryable, renderer = excluded.renderer,
    width = excluded.width, height = excluded.height, tiles = excluded.tiles,
    prompt_tokens = excluded.prompt_tokens, output_tokens = excluded.output_tokens,
    output = excluded.output, attempts = excluded.attempts, passes = excluded.passes,
    numerics = excluded.numerics,
    read_at = excluded.read_at
RETURNING page
"""
# With the whole result: most pages are there already, as they are, and are not written twice.
_PUT_CHANGED_PAGES = _PUT_PAGES.replace(
    "RETURNING",
    """WHERE (pages.key, coalesce(pages.record, ''), coalesce(pages.reason, ''))
    <> (excluded.key, coalesce(excluded.record, ''), coalesce(excluded.reason, ''))
RETURNING""",
)
# Pages that an earlier try has saved, when the file was another one.
_DROP_PAGES = "DELETE FROM pages WHERE document_id IN (SELECT id FROM held) AND page > :page_count"
_PUT_EXTRACTION = """
INSERT INTO extractions (document_id, record, committed_at, score, tier, calibration, read_on)
SELECT id, :record, @now, CAST(:score AS double precision), CAST(:tier AS text), CAST(:calibration AS bigint),
    CAST(:read_on AS text)
FROM held
"""
_PUT_FIELDS = """
INSERT INTO fields (
    document_id, number, path, raw, value, type, confidence, source, page, box, problem, score, absence)
SELECT held.id, number, path, raw, value, type, confidence, source, page, box, problem, score, absence
FROM held, json_to_recordset(CAST(:fields AS json)) AS given(
    number integer, path text, raw text, value text, type text, confidence double precision, source text,
    page integer, box text, problem text, score double precision, absence text)
"""
_PUT_CHECKS = """
INSERT INTO checks (document_id, number, code, passed, severity, message, fields, expected, found, suspects)
SELECT held.id, number, code, passed, severity, message, fields, expected, found, suspects
FROM held, json_to_recordset(CAST(:checks AS json)) AS given(
    number integer, code text, passed boolean, severity text, message text, fields text, expected text,
    found text, suspects text)
"""
_PUT_WITNESSES = """
INSERT INTO witnesses (document_id, number, field, source, verdict, raw, value, type, page, box)
SELECT held.id, number, field, source, verdict, raw, value, type, page, box
FROM held, json_to_recordset(CAST(:witnesses AS json)) AS given(
    number integer, field text, source text, verdict text, raw text, value text, type text, page integer,
    box text)
"""
_PUT_PARTS = """
UPDATE parts
SET size = coalesce(given.size, parts.size), etag = coalesce(given.etag, parts.etag), sha256 = given.sha256,
    pages = given.pages, reason = given.reason, message = given.message
FROM held, json_to_recordset(CAST(:parts AS json)) AS given(
    part integer, size bigint, etag text, sha256 text, pages integer, reason text, message text)
WHERE parts.document_id = held.id AND parts.part = given.part
"""
_PARTS = (
    _PUT_PARTS,
    _PUT_CHANGED_PAGES,
    _DROP_PAGES,
    _PUT_EXTRACTION,
    _PUT_FIELDS,
    _PUT_CHECKS,
    _PUT_WITNESSES,
)

# PostgreSQL is asked once. SQLite cannot do it all in one statement, and need not: it is in this process.
FINISH_WITH_PARTS = f"""
WITH held AS ({FINISH_UNDECIDED}), parts_put AS ({_PUT_PARTS}), pages_put AS ({_PUT_CHANGED_PAGES}),
    pages_dropped AS ({_DROP_PAGES}), extraction_put AS ({_PUT_EXTRACTION}), fields_put AS ({_PUT_FIELDS}),
    checks_put AS ({_PUT_CHECKS}), witnesses_put AS ({_PUT_WITNESSES})
SELECT id FROM held
"""
PARTS_ALONE = tuple(f"{group_commit.HELD_ALONE} {part}" for part in _PARTS)
PAGES_ALONE = PARTS_ALONE[:3]
RESULT_ALONE = PARTS_ALONE[3:]  # of pages that are there already

# FOR SHARE: nobody takes the document back between the look and the write.
SAVE_PAGE = f"WITH held AS (SELECT id FROM documents WHERE {HELD} FOR SHARE) {_PUT_PAGES}"

GROUP = group_commit.GroupCommit(
    FINISH_UNDECIDED,
    (_PUT_CHANGED_PAGES, _PUT_EXTRACTION, _PUT_FIELDS, _PUT_CHECKS, _PUT_WITNESSES),
    SAVE_PAGE,
    _PUT_PAGES,
)


def values_of(extraction: Extraction) -> dict[str, Any]:
    """What the statements take of a result, beside the document, its files and its pages."""
    return {
        "record": rows.dump(extraction.record),
        "score": extraction.score,
        "tier": extraction.tier,
        "calibration": extraction.calibration,
        "read_on": None if extraction.read_on is None else extraction.read_on.isoformat(),
        "fields": rows.dump([rows.field(n, item) for n, item in enumerate(extraction.fields, 1)]),
        "checks": rows.dump([rows.check(n, item) for n, item in enumerate(extraction.checks, 1)]),
        "witnesses": rows.dump([rows.testimony(n, item) for n, item in enumerate(extraction.testimony, 1)]),
    }
