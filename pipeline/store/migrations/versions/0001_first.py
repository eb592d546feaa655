"""The first tables."""

import sqlalchemy as sa
from alembic import op

from pipeline.store.tables import Id, Instant, Json, Uri

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", Id, sa.Identity(), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("schema", sa.Text, nullable=False),
        sa.Column("schema_hash", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("checkpoint", sa.Text, nullable=False),
        sa.Column("settings", Json, nullable=False),
        sa.Column("sources", Json, nullable=False),
        sa.Column("views", Json, nullable=False),
        sa.Column("result_view", sa.Text, nullable=False),
        sa.Column("submitted", sa.BigInteger, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("name", name="uq_jobs_name"),
    )
    op.create_table(
        "documents",
        sa.Column("id", Id, sa.Identity(), nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("uri", Uri, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("message", sa.Text),
        sa.Column("traceback", sa.Text),
        sa.Column("failed_page", sa.Integer),
        sa.Column("retryable", sa.Boolean),
        sa.Column("size", sa.BigInteger),
        sa.Column("etag", sa.Text),
        sa.Column("sha256", sa.Text),
        sa.Column("pages", sa.Integer),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("suspect", sa.Boolean, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("lease_token", sa.Text),
        sa.Column("ready_at", Instant, nullable=False),
        sa.Column("added_at", Instant, nullable=False),
        sa.Column("finished_at", Instant),
        sa.PrimaryKeyConstraint("id", name="pk_documents"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_documents_job_id"),
        sa.UniqueConstraint("job_id", "uri", name="uq_documents_job_id"),
        sa.CheckConstraint(
            "state IN ('pending', 'leased', 'done', 'review', 'partial', 'quarantined')",
            name=op.f("ck_documents_state"),
        ),
        sa.CheckConstraint(
            "state <> 'leased' OR lease_token IS NOT NULL", name=op.f("ck_documents_leased_by_somebody")
        ),
        sa.CheckConstraint(
            "state <> 'quarantined' OR reason IS NOT NULL", name=op.f("ck_documents_quarantined_for_a_reason")
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'leased') OR finished_at IS NOT NULL",
            name=op.f("ck_documents_finished_at_a_time"),
        ),
    )
    for name, columns, state in (
        ("ix_documents_pending", ["job_id", "suspect", "ready_at", "id"], "pending"),
        ("ix_documents_leased", ["job_id", "ready_at"], "leased"),
    ):
        where = sa.text(f"state = '{state}'")
        op.create_index(name, "documents", columns, postgresql_where=where, sqlite_where=where)
    op.create_index("ix_documents_state", "documents", ["job_id", "state", "reason"])
    op.create_table(
        "pages",
        sa.Column("document_id", Id, nullable=False),
        sa.Column("page", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("record", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("message", sa.Text),
        sa.Column("traceback", sa.Text),
        sa.Column("retryable", sa.Boolean),
        sa.Column("renderer", sa.Text),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("tiles", sa.Integer),
        sa.Column("prompt_tokens", sa.Integer),
        sa.Column("output_tokens", sa.Integer),
        sa.Column("output", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("read_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("document_id", "page", name="pk_pages"),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name="fk_pages_document_id", ondelete="CASCADE"
        ),
        sa.CheckConstraint("(record IS NULL) <> (reason IS NULL)", name=op.f("ck_pages_record_or_reason")),
    )
    op.create_index("ix_pages_key", "pages", ["key"])
    op.create_table(
        "extractions",
        sa.Column("document_id", Id, nullable=False, autoincrement=False),
        sa.Column("record", Json, nullable=False),
        sa.Column("committed_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("document_id", name="pk_extractions"),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name="fk_extractions_document_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "fields",
        sa.Column("document_id", Id, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("raw", sa.Text),
        sa.Column("value", sa.Text),
        sa.Column("type", sa.Text),
        sa.Column("confidence", sa.Float(53)),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("page", sa.Integer),
        sa.Column("box", sa.Text),
        sa.Column("problem", sa.Text),
        sa.PrimaryKeyConstraint("document_id", "number", name="pk_fields"),
        sa.ForeignKeyConstraint(
            ["document_id"], ["extractions.document_id"], name="fk_fields_document_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "checks",
        sa.Column("document_id", Id, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("passed", sa.Boolean, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("fields", sa.Text, nullable=False),
        sa.Column("expected", sa.Text),
        sa.Column("found", sa.Text),
        sa.PrimaryKeyConstraint("document_id", "number", name="pk_checks"),
        sa.ForeignKeyConstraint(
            ["document_id"], ["extractions.document_id"], name="fk_checks_document_id", ondelete="CASCADE"
        ),
    )
