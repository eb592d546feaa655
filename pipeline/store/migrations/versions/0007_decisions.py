"""Scores, what they are calibrated by, and what people decided."""

import sqlalchemy as sa
from alembic import op

from pipeline.store import reader
from pipeline.store.tables import Id, Instant, Json

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for table, column in (
        ("fields", sa.Column("score", sa.Float(53))),
        ("fields", sa.Column("absence", sa.Text)),
        ("checks", sa.Column("suspects", sa.Text)),
        ("pages", sa.Column("numerics", sa.Text)),
        ("extractions", sa.Column("score", sa.Float(53))),
        ("extractions", sa.Column("tier", sa.Text)),
        ("extractions", sa.Column("calibration", sa.BigInteger)),
        ("extractions", sa.Column("read_on", sa.Text)),
        ("invoice_index", sa.Column("shares", sa.Text)),
    ):
        op.add_column(table, column)
    op.execute("DELETE FROM invoice_index")  # the next question makes its rows anew, with the shares
    op.create_table(
        "calibrations",
        _number(),
        sa.Column("schema", sa.Text, nullable=False),
        sa.Column("checkpoint", sa.Text, nullable=False),
        sa.Column("numerics", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("documents", sa.Integer, nullable=False),
        sa.Column("field_values", sa.Integer, nullable=False),
        sa.Column("model", Json, nullable=False),
        sa.Column("figures", Json, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_calibrations"),
    )
    op.create_index("ix_calibrations_schema", "calibrations", ["schema", "checkpoint"])
    op.create_table(
        "promises",
        _number(),
        sa.Column("calibration_id", Id, nullable=False),
        sa.Column("accept_at", sa.Float(53), nullable=False),
        sa.Column("thresholds", Json, nullable=False),
        sa.Column("set_at", Instant, nullable=False),
        sa.Column("set_by", sa.Text, nullable=False),
        _of("promises", "calibration_id", "calibrations.id"),
        sa.PrimaryKeyConstraint("id", name="pk_promises"),
    )
    op.create_table(
        "decisions",
        _number(),
        sa.Column("document_id", Id, nullable=False),
        sa.Column("field", sa.Text),
        sa.Column("ruling", sa.Text, nullable=False),
        sa.Column("raw", sa.Text),
        sa.Column("value", sa.Text),
        sa.Column("type", sa.Text),
        sa.Column("was", sa.Text),
        sa.Column("was_type", sa.Text),
        sa.Column("decided_at", Instant, nullable=False),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.Column("batch", sa.Text),
        sa.Column("undone_at", Instant),
        sa.Column("undone_by", sa.Text),
        sa.CheckConstraint(
            "ruling IN ('accept', 'correct', 'not_on_page', 'illegible', 'reject')",
            name=op.f("ck_decisions_ruling"),
        ),
        _of("decisions", "document_id", "documents.id"),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
    )
    op.create_index("ix_decisions_document", "decisions", ["document_id", "id"])
    op.create_table(
        "readings",
        sa.Column("document_id", Id, autoincrement=False, nullable=False),
        sa.Column("reading", sa.Text, nullable=False),
        _of("readings", "document_id", "documents.id"),
        sa.PrimaryKeyConstraint("document_id", name="pk_readings"),
    )
    op.create_table(
        "claims",
        sa.Column("document_id", Id, autoincrement=False, nullable=False),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        _of("claims", "document_id", "documents.id"),
        sa.PrimaryKeyConstraint("document_id", name="pk_claims"),
    )
    op.create_table(
        "audit",
        _number(),
        sa.Column("at", Instant, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("document_id", sa.BigInteger),
        sa.Column("field", sa.Text),
        sa.Column("detail", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    if op.get_bind().dialect.name == "postgresql":
        reader.allow(op.get_bind(), ["calibrations", "promises", "decisions", "readings", "claims", "audit"])


def _number() -> "sa.Column[int]":
    return sa.Column("id", Id, sa.Identity(), nullable=False)


def _of(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [other], name=f"fk_{table}_{column}", ondelete="CASCADE")
