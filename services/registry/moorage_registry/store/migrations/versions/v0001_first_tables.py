"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables, referenced ones first."""
    _fleet()
    _artifacts()
    _models()
    _watch()
    op.execute("INSERT INTO watch_state (id, revision, compacted) VALUES (1, 0, 0)")


def _fleet() -> None:
    """Nodes, their leases and their memory."""
    op.create_table(
        "workers",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cordoned", sa.Boolean(), nullable=False),
        sa.Column("labels", JSONB(), nullable=False),
        sa.Column("facts", JSONB(), nullable=False),
        sa.Column("storage", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name=op.f("workers_pkey")),
        sa.UniqueConstraint("id", name=op.f("workers_id_key")),
    )
    op.create_table(
        "worker_leases",
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("lease_id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["workers.id"], name=op.f("worker_leases_worker_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("worker_id", name=op.f("worker_leases_pkey")),
    )
    op.create_table(
        "memory_pools",
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("capacity", sa.BigInteger(), nullable=False),
        sa.Column("claimed", sa.BigInteger(), nullable=False),
        sa.Column("foreign", sa.BigInteger(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "claimed >= 0 AND claimed <= capacity", name=op.f("memory_pools_claimed_within_capacity_check")
        ),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["workers.id"], name=op.f("memory_pools_worker_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("worker_id", "pool", name=op.f("memory_pools_pkey")),
    )


def _artifacts() -> None:
    """Files, where they are, and who wants them there."""
    op.create_table(
        "artifacts",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("files", JSONB(), nullable=False),
        sa.Column("entry_point", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("facts", JSONB(), nullable=False),
        sa.Column("pull_state", sa.Text(), nullable=False),
        sa.Column("pull_address", sa.Text(), nullable=False),
        sa.Column("pull_done_bytes", sa.BigInteger(), nullable=False),
        sa.Column("pull_bytes_per_second", sa.BigInteger(), nullable=False),
        sa.Column("pull_error", JSONB(), nullable=True),
        sa.Column("pull_holder", sa.Text(), nullable=True),
        sa.Column("pull_lease_id", sa.Text(), nullable=True),
        sa.Column("pull_lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("uid", name=op.f("artifacts_pkey")),
        sa.UniqueConstraint("id", name=op.f("artifacts_id_key")),
        sa.UniqueConstraint("pull_lease_id", name=op.f("artifacts_pull_lease_id_key")),
    )
    op.create_index(
        "artifacts_open_pulls_idx",
        "artifacts",
        ["pull_state"],
        unique=False,
        postgresql_where=sa.text("pull_state IN ('QUEUED', 'PULLING')"),
    )
    op.create_table(
        "artifact_copies",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("artifact_id", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("done_bytes", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("bytes_per_second", sa.BigInteger(), nullable=False),
        sa.Column("error", JSONB(), nullable=True),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifacts.id"], name=op.f("artifact_copies_artifact_id_fkey")
        ),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("artifact_copies_worker_id_fkey")),
        sa.PrimaryKeyConstraint("uid", name=op.f("artifact_copies_pkey")),
        sa.UniqueConstraint("artifact_id", "worker_id", name=op.f("artifact_copies_artifact_id_key")),
    )
    op.create_index(op.f("artifact_copies_worker_id_idx"), "artifact_copies", ["worker_id"], unique=False)
    op.create_table(
        "downloads",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("workers", ARRAY(sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("artifact_id", sa.Text(), nullable=True),
        sa.Column("error", JSONB(), nullable=True),
        sa.ForeignKeyConstraint(["artifact_id"], ["artifacts.id"], name=op.f("downloads_artifact_id_fkey")),
        sa.PrimaryKeyConstraint("uid", name=op.f("downloads_pkey")),
        sa.UniqueConstraint("id", name=op.f("downloads_id_key")),
    )
    op.create_index(
        "downloads_active_key",
        "downloads",
        ["source", "workers"],
        unique=True,
        postgresql_where=sa.text("state IN ('RESOLVING', 'FETCHING')"),
    )
    op.create_index(op.f("downloads_artifact_id_idx"), "downloads", ["artifact_id"], unique=False)


def _models() -> None:
    """What users want served, the replicas, and what they hold."""
    op.create_table(
        "models",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("labels", JSONB(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("engine", sa.Text(), nullable=True),
        sa.Column("llama_cpp", JSONB(), nullable=False),
        sa.Column("replicas", sa.Integer(), nullable=False),
        sa.Column("placement", JSONB(), nullable=False),
        sa.Column("desired_state", sa.Text(), nullable=False),
        sa.Column("resolution_state", sa.Text(), nullable=False),
        sa.Column("artifact_id", sa.Text(), nullable=True),
        sa.Column("resolution_error", JSONB(), nullable=True),
        sa.CheckConstraint("replicas >= 0", name=op.f("models_replicas_not_negative_check")),
        sa.ForeignKeyConstraint(["artifact_id"], ["artifacts.id"], name=op.f("models_artifact_id_fkey")),
        sa.PrimaryKeyConstraint("uid", name=op.f("models_pkey")),
        sa.UniqueConstraint("id", name=op.f("models_id_key")),
    )
    op.create_index(op.f("models_artifact_id_idx"), "models", ["artifact_id"], unique=False)
    op.create_table(
        "instances",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("last_worker_id", sa.Text(), nullable=True),
        sa.Column("placement", JSONB(), nullable=True),
        sa.Column("explanation", JSONB(), nullable=True),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("error", JSONB(), nullable=True),
        sa.Column("restart_count", sa.Integer(), nullable=False),
        sa.Column("retiring", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("instances_model_id_fkey")),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("instances_worker_id_fkey")),
        sa.PrimaryKeyConstraint("uid", name=op.f("instances_pkey")),
        sa.UniqueConstraint("model_id", "id", name=op.f("instances_model_id_key")),
    )
    op.create_index(op.f("instances_worker_id_idx"), "instances", ["worker_id"], unique=False)
    op.create_table(
        "claims",
        sa.Column("instance_uid", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("size_bytes > 0", name=op.f("claims_size_positive_check")),
        sa.ForeignKeyConstraint(["instance_uid"], ["instances.uid"], name=op.f("claims_instance_uid_fkey")),
        sa.ForeignKeyConstraint(
            ["worker_id", "pool"],
            ["memory_pools.worker_id", "memory_pools.pool"],
            name=op.f("claims_worker_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("instance_uid", "worker_id", "pool", name=op.f("claims_pkey")),
    )
    op.create_index("claims_worker_id_pool_idx", "claims", ["worker_id", "pool"], unique=False)
    op.create_table(
        "resolutions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=True),
        sa.Column("download_id", sa.Text(), nullable=True),
        sa.Column("failed_attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("lease_id", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(model_id IS NULL) <> (download_id IS NULL)", name=op.f("resolutions_one_owner_check")
        ),
        sa.ForeignKeyConstraint(
            ["download_id"], ["downloads.id"], name=op.f("resolutions_download_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("resolutions_model_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("resolutions_pkey")),
        sa.UniqueConstraint("download_id", name=op.f("resolutions_download_id_key")),
        sa.UniqueConstraint("lease_id", name=op.f("resolutions_lease_id_key")),
        sa.UniqueConstraint("model_id", name=op.f("resolutions_model_id_key")),
    )


def _watch() -> None:
    """Answers to repeated requests, and the order of all changes."""
    op.create_table(
        "requests",
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("method", "request_id", name=op.f("requests_pkey")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
    )
    op.create_table(
        "events",
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.Column("sequenced_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("events_pkey")),
    )
    op.create_table(
        "watch_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("compacted", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("watch_state_one_row_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("watch_state_pkey")),
    )
