"""Who looked at what and did what. No value of a document is ever in it, and it outlives the documents."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from pipeline.store.database import Database
from pipeline.store.entities import AuditRow
from pipeline.store.tables import audit


class Audit:
    """Rows are only ever added."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def note(self, who: str, action: str, document: int | None = None, detail: str | None = None) -> None:
        """Something that is no decision: a person came, or looked at a document."""
        with self._db.write() as connection:
            note(self._db, connection, who, action, document, None, detail)

    def rows(self, document: int | None = None, limit: int = 1000) -> list[AuditRow]:
        """The newest first, of one document or of all."""
        query = select(audit).order_by(audit.c.id.desc()).limit(limit)
        if document is not None:
            query = query.where(audit.c.document_id == document)
        with self._db.read() as connection:
            return [
                AuditRow(
                    row["at"], row["who"], row["action"], row["document_id"], row["field"], row["detail"]
                )
                for row in connection.execute(query).mappings()
            ]


def note(
    db: Database,
    connection: Connection,
    who: str,
    action: str,
    document: int | None = None,
    field: str | None = None,
    detail: str | None = None,
) -> None:
    """In the caller's transaction: what was done and its row are kept together or not at all."""
    row = {"who": who, "action": action, "document_id": document, "field": field, "detail": detail}
    connection.execute(insert(audit).values(at=db.now(), **row))
