"""The fields of workers."""

from sqlalchemy import BigInteger, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB

from moorage_common.core.names import WORKER
from moorage_common.core.placement import CpuArchitecture, OperatingSystem
from moorage_common.core.states import AcceleratorKind, EngineKind, WorkerState
from moorage_registry.core.filters.types import Enumeration, Integer, Text
from moorage_registry.store import schema
from moorage_registry.store.fields.columns import boolean, labels, member, record_fields, timestamp
from moorage_registry.store.fields.json_columns import (
    json_boolean,
    json_integer,
    json_member,
    json_text,
    message_field,
)
from moorage_registry.store.fields.lists import json_members
from moorage_registry.store.fields.names import StoredName
from moorage_registry.store.fields.stored import FieldTable, Sql, StoredField, StoredScalar

_C = schema.workers.c
_FACTS = _C.facts
_STORAGE = func.nullif(_C.storage, literal_column("'{}'::jsonb", JSONB), type_=JSONB)
"""NULL as long as the agent has not told of it."""


def _ram(name: str, value: Sql) -> StoredField:
    """A number of the RAM's memory pool."""
    pools = schema.memory_pools.c
    its_own = (pools.worker_id == _C.id) & (pools.pool == "ram") & pools.present
    return StoredScalar(
        f"ram.{name}", Integer(), select(value).where(its_own).scalar_subquery(), nullable=True
    )


def _ram_fields() -> list[StoredField]:
    pools = schema.memory_pools.c
    return [
        _ram("total_bytes", pools.total),
        _ram("reserved_bytes", pools.reserved),
        _ram("claimed_bytes", pools.claimed),
        _ram("foreign_bytes", pools.foreign),
        _ram(
            "available_bytes",
            func.greatest(0, pools.capacity - pools.claimed - pools.foreign, type_=BigInteger),
        ),
    ]


WORKER_FIELDS = FieldTable(
    [
        StoredName("name", WORKER, _C.id),
        *record_fields(schema.workers),
        labels("labels", _C.labels),
        member("state", WorkerState, _C.state),
        boolean("cordoned", _C.cordoned),
        json_text("facts.node_id", _FACTS, "node_id"),
        json_text("facts.hostname", _FACTS, "hostname"),
        json_member("facts.operating_system", OperatingSystem, _FACTS, "operating_system"),
        json_member("facts.cpu_architecture", CpuArchitecture, _FACTS, "cpu_architecture"),
        json_integer("facts.cpu_cores", _FACTS, "cpu_cores"),
        json_integer("facts.ram_total_bytes", _FACTS, "ram_total_bytes"),
        json_integer("facts.ram_reserved_bytes", _FACTS, "ram_reserved_bytes"),
        json_members("facts.accelerators.uuid", Text(), _FACTS["accelerators"], key="uuid"),
        json_members(
            "facts.accelerators.kind", Enumeration(AcceleratorKind), _FACTS["accelerators"], key="kind"
        ),
        json_members("facts.accelerators.product", Text(), _FACTS["accelerators"], key="product"),
        json_boolean("facts.unified_memory", _FACTS, "unified_memory"),
        json_members("facts.engines.kind", Enumeration(EngineKind), _FACTS["engines"], key="kind"),
        json_members("facts.engines.version", Text(), _FACTS["engines"], key="version"),
        json_text("facts.agent_address", _FACTS, "agent_address"),
        json_text("facts.agent_version", _FACTS, "agent_version"),
        json_text("facts.cpu_product", _FACTS, "cpu_product"),
        *_ram_fields(),
        message_field("storage", _STORAGE),
        json_integer("storage.capacity_bytes", _STORAGE, "capacity_bytes"),
        json_integer("storage.free_bytes", _STORAGE, "free_bytes"),
        json_integer("storage.artifact_bytes", _STORAGE, "artifact_bytes"),
        message_field("drain", _C.drain_started_at),
        timestamp("drain.start_time", _C.drain_started_at, nullable=True),
        timestamp("drain.complete_time", _C.drain_completed_at, nullable=True),
    ]
)
