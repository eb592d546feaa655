"""Runs of jobs, how jobs divide a cluster's lanes, and which were cancelled."""

import sqlalchemy as sa
from alembic import op

from pipeline.store import reader
from pipeline.store.tables import Id, Instant

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for column in (
        sa.Column("weight", sa.Float(53), nullable=False, server_default=sa.text("1")),
        sa.Column("priority", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("cancelled_at", Instant),
    ):
        op.add_column("jobs", column)
    op.create_table(
        "runs",
        sa.Column("id", Id, sa.Identity(), nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("driver", sa.Text, nullable=False),
        sa.Column("pool", sa.Text),
        sa.Column("room", sa.Integer),
        sa.Column("wanted", sa.Integer),
        sa.Column("lanes", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("cancelled", sa.Boolean, nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("beat_at", Instant, nullable=False),
        sa.Column("ended_at", Instant),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_runs_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_index("ix_runs_job", "runs", ["job_id"])
    if op.get_bind().dialect.name == "postgresql":
        reader.allow(op.get_bind(), ["runs"])
