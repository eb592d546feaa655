"""When a document's due time was set; how a job's schema is found again; a role that may only read."""

import sqlalchemy as sa
from alembic import op

from pipeline.store import reader
from pipeline.store.tables import Instant

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("documents", sa.Column("scheduled_at", Instant))
    op.add_column("jobs", sa.Column("schema_reference", sa.Text))
    if op.get_context().dialect.name == "postgresql":
        reader.make(op.get_bind())
