"""Invoices that stand twice are told when they are read."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column(
        "invoice_index", sa.Column("repeats", sa.Boolean, nullable=False, server_default=sa.text("false"))
    )
    op.create_index("ix_invoice_index_identity", "invoice_index", ["identity", "repeats"])
