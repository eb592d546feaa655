"""What codes, zones and a document's other parts say of its values."""

import sqlalchemy as sa
from alembic import op

from pipeline.store import reader

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    of_extraction = sa.ForeignKey("extractions.document_id", ondelete="CASCADE")
    whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "witnesses",
        sa.Column("document_id", whole, of_extraction, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("field", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("raw", sa.Text),
        sa.Column("value", sa.Text),
        sa.Column("type", sa.Text),
        sa.Column("page", sa.Integer),
        sa.Column("box", sa.Text),
        sa.PrimaryKeyConstraint("document_id", "number", name="pk_witnesses"),
    )
    if op.get_context().dialect.name == "postgresql":
        reader.allow(op.get_bind(), ["witnesses"])
