"""Who looks at a document now, so that two people do not decide on one at a time."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, delete, insert, select, update

from pipeline.store.database import Database
from pipeline.store.entities import Claim
from pipeline.store.tables import claims, documents

SECONDS = 120.0  # a claim that nobody renews


class Claims:
    """One claim a document, for as long as it is renewed. A reviewer has as many as they have pages open."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def take(self, document: int, reviewer: str, seconds: float = SECONDS) -> Claim | None:
        """The claim on a document, now the reviewer's; None while another one has it.

        The same reviewer takes a claim over from another window, whose token is then void.
        """
        token = secrets.token_hex(16)
        with self._db.write() as connection:
            mine = select(documents.c.id).where(documents.c.id == document)
            if not self._db.locked(connection, mine, documents.c.id):
                return None
            held = select(claims.c.reviewer).where(
                claims.c.document_id == document, claims.c.expires_at > self._db.now()
            )
            holder = connection.execute(held).scalar_one_or_none()
            if holder not in (None, reviewer):
                return None
            connection.execute(delete(claims).where(claims.c.document_id == document))
            made = insert(claims).values(
                document_id=document, reviewer=reviewer, token=token, expires_at=self._db.later(seconds)
            )
            expires = connection.execute(made.returning(claims.c.expires_at)).scalar_one()
        return Claim(document, reviewer, token, expires)

    def renew(self, document: int, token: str, seconds: float = SECONDS) -> bool:
        """False when the claim is over or somebody else's."""
        with self._db.write() as connection:
            longer = (
                update(claims)
                .where(claims.c.document_id == document, claims.c.token == token)
                .where(claims.c.expires_at > self._db.now())
                .values(expires_at=self._db.later(seconds))
            )
            return connection.execute(longer).rowcount == 1

    def release(self, document: int, token: str) -> None:
        with self._db.write() as connection:
            mine = claims.c.document_id == document, claims.c.token == token
            connection.execute(delete(claims).where(*mine))

    def holder(self, document: int) -> str | None:
        """Who has it now."""
        with self._db.read() as connection:
            query = select(claims.c.reviewer).where(
                claims.c.document_id == document, claims.c.expires_at > self._db.now()
            )
            found: str | None = connection.execute(query).scalar_one_or_none()
            return found


def holds(db: Database, connection: Connection, document: int, token: str) -> bool:
    """Whether that claim is the one on the document, in the caller's transaction."""
    query = select(claims.c.document_id).where(
        claims.c.document_id == document, claims.c.token == token, claims.c.expires_at > db.now()
    )
    return connection.execute(query).first() is not None
