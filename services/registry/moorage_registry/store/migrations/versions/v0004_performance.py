"""What agents measure of instances."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; what runs is measured again."""
    op.add_column("instances", sa.Column("performance", JSONB(), nullable=True))
