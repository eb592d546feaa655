"""Documents on which people decided: what stands of it, and what was read before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection, delete, exists, insert, select, update

from pipeline.records import Decision, Extraction
from pipeline.store import rows
from pipeline.store.tables import decisions, documents, readings


def standing(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[Decision, ...]]:
    """The decisions that stand, in the order they were made, of those documents that have any."""
    query = (
        select(decisions)
        .where(decisions.c.document_id.in_(ids), decisions.c.undone_at.is_(None))
        .order_by(decisions.c.id)
    )
    found: dict[int, list[Decision]] = defaultdict(list)
    for row in connection.execute(query).mappings():
        found[row["document_id"]].append(Decision(**rows.decision_parts(row)))
    return {document: tuple(made) for document, made in found.items()}


def before(connection: Connection, ids: Sequence[int]) -> dict[int, Extraction]:
    """What was read, of those documents on which people decided."""
    query = select(readings).where(readings.c.document_id.in_(ids))
    return {row.document_id: rows.reading_from(row.reading) for row in connection.execute(query)}


def keep(connection: Connection, document: int, read: Extraction) -> None:
    """`read` is what the document says without any decision."""
    forget(connection, [document])
    connection.execute(insert(readings).values(document_id=document, reading=rows.reading(read)))


def forget(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(delete(readings).where(readings.c.document_id.in_(ids)))


def has_decisions(connection: Connection, document: int) -> bool:
    made = exists().where(decisions.c.document_id == document, decisions.c.undone_at.is_(None))
    return bool(connection.execute(select(made)).scalar_one())


def reject(connection: Connection, document: int, by: str) -> None:
    """The document has no result because of what a person decided."""
    connection.execute(
        update(documents)
        .where(documents.c.id == document)
        .values(
            state="quarantined",
            reason="rejected",
            message=f"rejected by {by}",
            traceback=None,
            retryable=False,
            failed_page=None,
        )
    )
