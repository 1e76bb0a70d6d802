"""Instances over several workers and who takes part in them, vLLM's options, and events for several workers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds columns and the table; what there is keeps its meaning: one worker each, no options."""
    _add("models", sa.Column("engine_version", sa.Text(), nullable=False), "''")
    _add("models", sa.Column("vllm", JSONB(), nullable=False), "'{}'")
    op.add_column("models", sa.Column("category", sa.Text(), nullable=True))
    _add("instances", sa.Column("subordinates", ARRAY(sa.Text()), nullable=False), "'{}'")
    _add("instances", sa.Column("artifact_on_all", sa.Boolean(), nullable=False), "false")
    op.create_index(
        "instances_subordinates_idx",
        "instances",
        ["subordinates"],
        postgresql_using="gin",
        postgresql_where=sa.text("subordinates <> '{}'"),
    )
    _members()
    for table in ("outbox", "events"):
        op.alter_column(
            table,
            "worker_id",
            new_column_name="worker_ids",
            type_=ARRAY(sa.Text()),
            postgresql_using="array_remove(ARRAY[worker_id], NULL)",
        )
        op.alter_column(table, "worker_ids", nullable=False)


def _add(table: str, column: sa.Column[object], value: str) -> None:
    """Adds a column in which the rows that there are have a value."""
    name = column.name
    column.server_default = sa.DefaultClause(sa.text(value))
    op.add_column(table, column)
    op.alter_column(table, name, server_default=None)


def _members() -> None:
    op.create_table(
        "instance_members",
        sa.Column("instance_uid", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("error", JSONB(), nullable=True),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'STOPPED') = (stopped_at IS NOT NULL)",
            name=op.f("instance_members_stopped_is_timed_check"),
        ),
        sa.ForeignKeyConstraint(
            ["instance_uid"], ["instances.uid"], name=op.f("instance_members_instance_uid_fkey")
        ),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("instance_members_worker_id_fkey")),
        sa.PrimaryKeyConstraint("instance_uid", "worker_id", name=op.f("instance_members_pkey")),
    )
    op.create_index("instance_members_worker_id_idx", "instance_members", ["worker_id"])
    op.create_index(
        "instance_members_exclusive_key",
        "instance_members",
        ["worker_id"],
        unique=True,
        postgresql_where=sa.text("exclusive"),
    )
