"""Drains, generations, names in events, and the audit of changes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_APPEND_ONLY = """
CREATE FUNCTION audit_records_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RAISE EXCEPTION 'audit records are kept as they were written' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    """Adds columns and the table; events of before are dropped, for they have no names."""
    for column in ("drain_started_at", "drain_completed_at"):
        op.add_column("workers", sa.Column(column, sa.DateTime(timezone=True), nullable=True))
    op.add_column("instances", sa.Column("generation", sa.BigInteger(), nullable=False, server_default="1"))
    op.add_column("instances", sa.Column("evicting", sa.Boolean(), nullable=False, server_default="false"))
    for column in ("generation", "evicting"):
        op.alter_column("instances", column, server_default=None)
    _name_events()
    _audit()


def _name_events() -> None:
    """Watchers list again: what they may go back to begins after what is there."""
    op.execute(
        "UPDATE watch_state SET revision = revision + (SELECT count(*) FROM outbox), "
        "compacted = revision + (SELECT count(*) FROM outbox)"
    )
    for table in ("outbox", "events"):
        op.execute(sa.delete(sa.table(table)))
        op.add_column(table, sa.Column("name", sa.Text(), nullable=False))


def _audit() -> None:
    op.create_table(
        "audit_records",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("call_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("request", JSONB(), nullable=False),
        sa.Column("before", JSONB(), nullable=True),
        sa.Column("after", JSONB(), nullable=True),
        sa.Column("changed_fields", ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_records_pkey")),
    )
    op.create_index("audit_records_resource_idx", "audit_records", ["resource"])
    op.execute(_APPEND_ONLY)
    op.execute(
        "CREATE TRIGGER audit_records_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_records "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_records_are_kept()"
    )
