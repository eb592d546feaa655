"""What questions over many invoices ask of each of them."""

import sqlalchemy as sa
from alembic import op

from pipeline.store import reader
from pipeline.store.tables import Id

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    of_extraction = sa.ForeignKey("extractions.document_id", ondelete="CASCADE")
    op.create_table(
        "invoice_index",
        sa.Column("document_id", Id, of_extraction, primary_key=True, autoincrement=False),
        sa.Column("rules", sa.Text, nullable=False),
        sa.Column("identity", sa.Text),
        sa.Column("seller", sa.Text),
        sa.Column("seller_name", sa.Text),
        sa.Column("buyer", sa.Text),
        sa.Column("number", sa.Text),
        sa.Column("issue_date", sa.Text),
        sa.Column("total", sa.Text),
        sa.Column("total_vnd", sa.BigInteger),
        sa.Column("payment", sa.Text, nullable=False),
        sa.Column("relation", sa.Text),
        sa.Column("related", sa.Text),
    )
    if op.get_context().dialect.name == "postgresql":
        reader.allow(op.get_bind(), ["invoice_index"])
