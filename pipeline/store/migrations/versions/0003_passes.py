"""In how many passes over a page the model wrote its answer."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("pages", sa.Column("passes", sa.Integer, nullable=False, server_default="1"))
