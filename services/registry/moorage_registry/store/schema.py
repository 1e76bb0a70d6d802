"""The tables. Their history is in `migrations`; a test compares the two."""

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeDecorator

from moorage_common.core.placement import ModelCategory
from moorage_common.core.states import (
    CopyState,
    DesiredState,
    DownloadState,
    EngineKind,
    InstanceState,
    PullState,
    ResolutionState,
    WorkerState,
)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
    }
)


class Enumerated(TypeDecorator[StrEnum]):
    """A StrEnum, stored as its value: a new state needs no migration of a database type."""

    impl = Text
    cache_ok = True

    def __init__(self, enum: type[StrEnum]) -> None:
        super().__init__()
        self.enum = enum

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Stores the value."""
        return None if value is None else value.value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> StrEnum | None:  # noqa: ANN401, ARG002
        """Restores the member."""
        return None if value is None else self.enum(value)


def _timestamp(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _record_columns() -> list[Column[Any]]:
    return [
        Column("uid", Text, primary_key=True),
        Column("version", BigInteger, nullable=False),
        _timestamp("created_at"),
        _timestamp("updated_at"),
    ]


def _json(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, JSONB(none_as_null=True), nullable=nullable)


workers = Table(
    "workers",
    metadata,
    *_record_columns(),
    Column("id", Text, nullable=False, unique=True),
    Column("node_id", Text, nullable=False),
    Column("state", Enumerated(WorkerState), nullable=False),
    Column("cordoned", Boolean, nullable=False),
    _json("labels"),
    _json("facts"),
    _json("storage"),
    _timestamp("drain_started_at", nullable=True),
    _timestamp("drain_completed_at", nullable=True),
)

worker_leases = Table(
    "worker_leases",
    metadata,
    Column("worker_id", Text, ForeignKey(workers.c.id, ondelete="CASCADE"), primary_key=True),
    Column("lease_id", Text, nullable=False),
    _timestamp("expires_at"),
)

memory_pools = Table(
    "memory_pools",
    metadata,
    Column("worker_id", Text, ForeignKey(workers.c.id, ondelete="CASCADE"), primary_key=True),
    Column("pool", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("capacity", BigInteger, nullable=False),
    Column("claimed", BigInteger, nullable=False),
    Column("foreign", BigInteger, nullable=False),
    Column("present", Boolean, nullable=False),
    CheckConstraint("claimed >= 0 AND claimed <= capacity", name="claimed_within_capacity"),
)

artifacts = Table(
    "artifacts",
    metadata,
    *_record_columns(),
    Column("id", Text, nullable=False, unique=True),
    Column("source", Text, nullable=False),
    Column("revision", Text, nullable=False),
    _json("files"),
    Column("entry_point", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    _json("facts"),
    Column("pull_state", Enumerated(PullState), nullable=False),
    Column("pull_address", Text, nullable=False),
    Column("pull_done_bytes", BigInteger, nullable=False),
    Column("pull_bytes_per_second", BigInteger, nullable=False),
    _json("pull_error", nullable=True),
    Column("pull_holder", Text),
    Column("pull_lease_id", Text, unique=True),
    _timestamp("pull_lease_expires_at", nullable=True),
    Index(
        "artifacts_open_pulls_idx", "pull_state", postgresql_where=text("pull_state IN ('QUEUED', 'PULLING')")
    ),
)

models = Table(
    "models",
    metadata,
    *_record_columns(),
    Column("id", Text, nullable=False, unique=True),
    _timestamp("deleted_at", nullable=True),
    _json("labels"),
    Column("source", Text, nullable=False),
    Column("engine", Enumerated(EngineKind)),
    Column("engine_version", Text, nullable=False),
    Column("category", Enumerated(ModelCategory)),
    _json("llama_cpp"),
    _json("vllm"),
    Column("replicas", Integer, nullable=False),
    _json("placement"),
    Column("desired_state", Enumerated(DesiredState), nullable=False),
    Column("resolution_state", Enumerated(ResolutionState), nullable=False),
    Column("artifact_id", Text, ForeignKey(artifacts.c.id), index=True),
    _json("resolution_error", nullable=True),
    CheckConstraint("replicas >= 0", name="replicas_not_negative"),
)

instances = Table(
    "instances",
    metadata,
    *_record_columns(),
    Column("model_id", Text, ForeignKey(models.c.id), nullable=False),
    Column("id", Text, nullable=False),
    Column("state", Enumerated(InstanceState), nullable=False),
    _timestamp("state_at"),
    Column("worker_id", Text, ForeignKey(workers.c.id), index=True),
    Column("subordinates", ARRAY(Text), nullable=False),
    Column("artifact_on_all", Boolean, nullable=False),
    Column("last_worker_id", Text),
    _json("placement", nullable=True),
    _json("explanation", nullable=True),
    Column("explanation_message", LargeBinary),
    Column("endpoint", Text, nullable=False),
    _json("error", nullable=True),
    Column("restart_count", Integer, nullable=False),
    Column("retiring", Boolean, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("evicting", Boolean, nullable=False),
    _json("performance", nullable=True),
    UniqueConstraint("model_id", "id"),
    Index(
        "instances_subordinates_idx",
        "subordinates",
        postgresql_using="gin",
        postgresql_where=text("subordinates <> '{}'"),
    ),
)

EXCLUSIVE_KEY = "instance_members_exclusive_key"
"""The constraint that lets no worker take part in two distributed vLLM instances."""

instance_members = Table(
    "instance_members",
    metadata,
    Column("instance_uid", Text, ForeignKey(instances.c.uid), primary_key=True),
    Column("worker_id", Text, ForeignKey(workers.c.id), primary_key=True),
    Column("rank", Integer, nullable=False),
    Column("exclusive", Boolean, nullable=False),
    Column("state", Enumerated(InstanceState), nullable=False),
    Column("endpoint", Text, nullable=False),
    _json("error", nullable=True),
    _timestamp("stopped_at", nullable=True),
    CheckConstraint("(state = 'STOPPED') = (stopped_at IS NOT NULL)", name="stopped_is_timed"),
    Index("instance_members_worker_id_idx", "worker_id"),
    Index(EXCLUSIVE_KEY, "worker_id", unique=True, postgresql_where=text("exclusive")),
)
"""Who takes part in bound instances that are spread over several workers. The rows go, as the claims do, once every
member has confirmed that it stopped: until then the index keeps each of them from another distributed vLLM instance."""

claims = Table(
    "claims",
    metadata,
    Column("instance_uid", Text, ForeignKey(instances.c.uid), primary_key=True),
    Column("worker_id", Text, primary_key=True),
    Column("pool", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    ForeignKeyConstraint(["worker_id", "pool"], [memory_pools.c.worker_id, memory_pools.c.pool]),
    CheckConstraint("size_bytes > 0", name="size_positive"),
    Index("claims_worker_id_pool_idx", "worker_id", "pool"),
)

artifact_copies = Table(
    "artifact_copies",
    metadata,
    *_record_columns(),
    Column("artifact_id", Text, ForeignKey(artifacts.c.id), nullable=False),
    Column("worker_id", Text, ForeignKey(workers.c.id), nullable=False, index=True),
    Column("state", Enumerated(CopyState), nullable=False),
    Column("done_bytes", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("bytes_per_second", BigInteger, nullable=False),
    _json("error", nullable=True),
    UniqueConstraint("artifact_id", "worker_id"),
)

downloads = Table(
    "downloads",
    metadata,
    *_record_columns(),
    Column("id", Text, nullable=False, unique=True),
    Column("source", Text, nullable=False),
    Column("workers", ARRAY(Text), nullable=False),
    Column("state", Enumerated(DownloadState), nullable=False),
    Column("artifact_id", Text, ForeignKey(artifacts.c.id), index=True),
    _json("error", nullable=True),
    Index(
        "downloads_active_key",
        "source",
        "workers",
        unique=True,
        postgresql_where=text("state IN ('RESOLVING', 'FETCHING')"),
    ),
)

resolutions = Table(
    "resolutions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("model_id", Text, ForeignKey(models.c.id, ondelete="CASCADE"), unique=True),
    Column("download_id", Text, ForeignKey(downloads.c.id, ondelete="CASCADE"), unique=True),
    Column("failed_attempts", Integer, nullable=False),
    _timestamp("not_before"),
    Column("holder", Text),
    Column("lease_id", Text, unique=True),
    _timestamp("lease_expires_at", nullable=True),
    CheckConstraint("(model_id IS NULL) <> (download_id IS NULL)", name="one_owner"),
)

requests = Table(
    "requests",
    metadata,
    Column("method", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("response", LargeBinary),
    _timestamp("created_at"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("worker_ids", ARRAY(Text), nullable=False),
    Column("event", LargeBinary, nullable=False),
)
"""Committed changes that have no revision yet."""

events = Table(
    "events",
    metadata,
    Column("revision", BigInteger, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("worker_ids", ARRAY(Text), nullable=False),
    Column("event", LargeBinary, nullable=False),
    _timestamp("sequenced_at"),
)
"""Changes in their order, as watchers see them. Old ones are compacted."""

watch_state = Table(
    "watch_state",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("compacted", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
"""The newest revision, and the newest that is no longer kept. Its row lock is what makes revisions consecutive."""

audit_records = Table(
    "audit_records",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _timestamp("time"),
    Column("actor", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("resource", Text, nullable=False, index=True),
    Column("call_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    _json("request"),
    _json("before", nullable=True),
    _json("after", nullable=True),
    Column("changed_fields", ARRAY(Text), nullable=False),
)
"""Who changed what. A trigger keeps everybody but the tables' owner from changing or removing a row."""
