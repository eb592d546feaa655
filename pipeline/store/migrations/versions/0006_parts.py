"""The files of a document that has several."""

import sqlalchemy as sa
from alembic import op

from pipeline.store import reader
from pipeline.store.tables import Id, Uri

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("documents", sa.Column("parts", sa.Integer))
    op.create_table(
        "parts",
        sa.Column("document_id", Id, nullable=False),
        sa.Column("part", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("uri", Uri, nullable=False),
        sa.Column("size", sa.BigInteger),
        sa.Column("etag", sa.Text),
        sa.Column("sha256", sa.Text),
        sa.Column("pages", sa.Integer),
        sa.Column("reason", sa.Text),
        sa.Column("message", sa.Text),
        sa.Column("listed_broken", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name="fk_parts_document_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_parts_job_id"),
        sa.PrimaryKeyConstraint("document_id", "part", name="pk_parts"),
    )
    op.create_index("ix_parts_uri", "parts", ["job_id", "uri"])
    if op.get_bind().dialect.name == "postgresql":
        reader.allow(op.get_bind(), ["parts"])
