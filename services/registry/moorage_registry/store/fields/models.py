"""The fields of models."""

from sqlalchemy import func, literal_column
from sqlalchemy.dialects.postgresql import JSONB

from moorage_common.core.names import ARTIFACT, MODEL, WORKER
from moorage_common.core.placement import KvCacheType, PlacementStrategy
from moorage_common.core.states import DesiredState, EngineKind, ResolutionState
from moorage_registry.store import schema
from moorage_registry.store.fields.columns import integer, labels, member, record_fields, text, timestamp
from moorage_registry.store.fields.json_columns import error_fields, json_boolean, json_integer, json_member
from moorage_registry.store.fields.lists import json_names
from moorage_registry.store.fields.names import StoredName
from moorage_registry.store.fields.stored import FieldTable

_C = schema.models.c
_LLAMA_CPP = func.nullif(_C.llama_cpp, literal_column("'{}'::jsonb", JSONB), type_=JSONB)
"""NULL where the user gave no options."""

MODEL_FIELDS = FieldTable(
    [
        StoredName("name", MODEL, _C.id),
        *record_fields(schema.models),
        timestamp("delete_time", _C.deleted_at, nullable=True),
        labels("labels", _C.labels),
        text("source", _C.source),
        member("engine", EngineKind, _C.engine, nullable=True),
        json_integer("llama_cpp.context_length", _LLAMA_CPP, "context_length"),
        json_integer("llama_cpp.parallel_slots", _LLAMA_CPP, "parallel_slots"),
        json_integer("llama_cpp.gpu_layers", _LLAMA_CPP, "gpu_layers", optional=True),
        json_member("llama_cpp.kv_cache_type", KvCacheType, _LLAMA_CPP, "kv_cache_type"),
        json_integer("llama_cpp.threads", _LLAMA_CPP, "threads"),
        json_boolean("llama_cpp.forbid_cpu_offload", _LLAMA_CPP, "forbid_cpu_offload"),
        integer("replicas", _C.replicas),
        json_names("placement.workers", WORKER, _C.placement["workers"]),
        labels("placement.worker_labels", _C.placement["worker_labels"]),
        json_member("placement.strategy", PlacementStrategy, _C.placement, "strategy"),
        member("desired_state", DesiredState, _C.desired_state),
        member("resolution.state", ResolutionState, _C.resolution_state),
        StoredName("resolution.artifact", ARTIFACT, _C.artifact_id, nullable=True),
        *error_fields("resolution.error", _C.resolution_error),
    ]
)
