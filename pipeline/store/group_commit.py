"""Several documents in one transaction: what a lane has ready goes together, and costs the server less each.

Every document's finish is still checked by its own lease, in the statement that makes it; one whose lease is
over is left as it is, and the others are not. PostgreSQL gets one statement for all.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pipeline.records import DocumentRef, Extraction, PageResult, Part
from pipeline.store import page_rows
from pipeline.store.database import Database
from pipeline.store.entities import Lease
from schemas.spec import SchemaSpec

Values = Mapping[str, Any]  # what the statements of one document take


@dataclass(frozen=True, slots=True)
class Result:
    """A document's result, as `Results.commit` takes it; `members` are added to the job with it."""

    lease: Lease
    extraction: Extraction
    pages: Sequence[PageResult]
    sha256: str | None
    etag: str | None = None
    parts: Sequence[Part] = ()
    spec: SchemaSpec | None = None
    members: Sequence[DocumentRef] = ()

    @property
    def plain(self) -> bool:
        """Of one file, not tried before, and all there is to it: nothing of an earlier try is there to be
        replaced.
        """
        return self.lease.attempt == 1 and not (self.lease.parts or self.parts or self.members)


# A plan is kept: one that was made while tables were empty would read them whole when they are not.
_BY_INDEX = (
    "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), "
    "set_config('enable_mergejoin', 'off', true)"
)
MOST = 64  # documents, or pages
_COLUMNS = {
    "document": "bigint",
    "token": "text",
    "state": "text",
    "sha256": "text",
    "etag": "text",
    "page_count": "integer",
    "record": "jsonb",
    "score": "double precision",
    "tier": "text",
    "calibration": "bigint",
    "read_on": "text",
    "pages": "json",
    "fields": "json",
    "checks": "json",
    "witnesses": "json",
}
# In the order of their ids, as everybody waits for rows. The limit is the planner's, which would expect more.
_GIVEN = f"""given AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:given AS json)) AS given(
        {", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())})
    ORDER BY document LIMIT {MOST})"""
_LOCKED = """locked AS MATERIALIZED (
    SELECT one.id FROM given CROSS JOIN LATERAL (
        SELECT id FROM documents
        WHERE id = given.document AND state = 'leased' AND lease_token = given.token
        FOR {lock}) AS one)"""
# Beside their names the columns of the tables have theirs.
_HELD = ", ".join(f"given.{name} AS one_{name}" for name in _COLUMNS)


class GroupCommit:
    """The statements for a group, made of those for one document.

    `finish` ends one, if the lease still holds; each of `parts` puts rows to the document that `held` has.
    `put_alone` puts them all, of one that has ended, in SQLite.
    """

    def __init__(
        self,
        finish: str,
        parts: Sequence[str],
        save_page: str,
        put_pages: str,
        put_alone: Callable[[Database, Connection, Values], None],
    ) -> None:
        self._finish, self._save_page, self._put_alone = finish, save_page, put_alone
        puts = ", ".join(f"put_{number} AS ({_of_held(part)})" for number, part in enumerate(parts))
        self._finish_all = f"""
WITH {_GIVEN}, {_LOCKED.format(lock="UPDATE")}, finished AS (
    UPDATE documents
    SET state = given.state, reason = NULL, message = NULL, traceback = NULL, retryable = NULL,
        failed_page = NULL, sha256 = given.sha256, etag = coalesce(given.etag, documents.etag),
        pages = given.page_count, finished_at = @now
    FROM locked JOIN given ON given.document = locked.id
    WHERE documents.id = locked.id AND documents.state = 'leased' AND documents.lease_token = given.token
      AND NOT EXISTS (SELECT 1 FROM decisions WHERE document_id = locked.id AND undone_at IS NULL)
    RETURNING documents.id),
held AS MATERIALIZED (
    SELECT finished.id, {_HELD} FROM finished JOIN given ON given.document = finished.id), {puts}
SELECT id FROM held"""
        self._save_all = f"""
WITH {_GIVEN}, {_LOCKED.format(lock="SHARE")}, held AS MATERIALIZED (
    SELECT locked.id, {_HELD} FROM locked JOIN given ON given.document = locked.id),
put AS ({_of_held(put_pages)})
SELECT id FROM held"""

    def finish(
        self, db: Database, several: Sequence[Values], then: Callable[[Connection, set[int]], None]
    ) -> set[int]:
        """Ends documents in one transaction; those that it ended. What of the others is for the caller.

        At most MOST, each a `Result.plain` one. `then` is called with those that it ended, before it is over.
        """
        ended = set()
        with db.write() as connection:
            if not db.is_sqlite:
                ended = _at_once(db, connection, self._finish_all, several)
            else:
                for values in several:
                    if db.sql(connection, self._finish, **values):
                        ended.add(values["document"])
                        self._put_alone(db, connection, values)
            then(connection, ended)
        return ended

    def save(self, db: Database, pages: Sequence[tuple[Lease, PageResult]]) -> set[tuple[int, str]]:
        """Keeps pages in one transaction; (document, token) of the leases that still hold."""
        by_lease: dict[tuple[int, str], list[PageResult]] = defaultdict(list)
        for lease, page in pages:
            by_lease[lease.document_id, lease.token].append(page)
        several: list[dict[str, Any]] = [
            {"document": document, "token": token, "pages": list(map(page_rows.row_of, some))}
            for (document, token), some in by_lease.items()
        ]
        with db.write() as connection:
            if not db.is_sqlite:
                held = _at_once(db, connection, self._save_all, several)
                return {key for key in by_lease if key[0] in held}
            return {
                (values["document"], values["token"])
                for values in several
                if db.sql(connection, self._save_page, **values)
            }


def _at_once(db: Database, connection: Connection, statement: str, several: Sequence[Values]) -> set[int]:
    given = [{name: values[name] for name in _COLUMNS if name in values} for values in several]
    connection.exec_driver_sql(_BY_INDEX)
    return {id for (id,) in db.sql(connection, statement, given=given)}


def _of_held(statement: str) -> str:
    """A statement for one document's values as one for those of each document that `held` has."""
    return re.sub(r":(\w+)", r"held.one_\1", statement)
