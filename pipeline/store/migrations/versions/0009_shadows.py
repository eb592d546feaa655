"""Jobs in which a candidate reads a share of another job's documents."""

import sqlalchemy as sa
from alembic import op

from pipeline.store.tables import Id

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("shadow_of", Id))
    op.add_column("jobs", sa.Column("shadow_share", sa.Float(53)))
