"""The fields of models."""

from sqlalchemy import func, literal_column
from sqlalchemy.dialects.postgresql import JSONB

from moorage_common.core.names import ARTIFACT, MODEL, WORKER
from moorage_common.core.placement import (
    FlashAttention,
    KvCacheType,
    ModelCategory,
    PlacementStrategy,
    VllmDtype,
)
from moorage_common.core.states import DesiredState, EngineKind, ResolutionState
from moorage_registry.core.filters.types import Name, Text
from moorage_registry.store import schema
from moorage_registry.store.fields.columns import integer, labels, member, record_fields, text, timestamp
from moorage_registry.store.fields.json_columns import (
    error_fields,
    json_boolean,
    json_integer,
    json_member,
    json_name,
    json_number,
)
from moorage_registry.store.fields.lists import json_members, json_names
from moorage_registry.store.fields.names import StoredName
from moorage_registry.store.fields.stored import FieldTable

_C = schema.models.c
_NONE = literal_column("'{}'::jsonb", JSONB)
_LLAMA_CPP = func.nullif(_C.llama_cpp, _NONE, type_=JSONB)
_VLLM = func.nullif(_C.vllm, _NONE, type_=JSONB)
_PLACEMENT = func.nullif(_C.placement, _NONE, type_=JSONB)
"""Options are NULL where the user gave none."""

MODEL_FIELDS = FieldTable(
    [
        StoredName("name", MODEL, _C.id),
        *record_fields(schema.models),
        timestamp("delete_time", _C.deleted_at, nullable=True),
        labels("labels", _C.labels),
        text("source", _C.source),
        member("engine", EngineKind, _C.engine, nullable=True),
        text("engine_version", _C.engine_version),
        member("category", ModelCategory, _C.category, nullable=True),
        json_integer("llama_cpp.context_length", _LLAMA_CPP, "context_length"),
        json_integer("llama_cpp.parallel_slots", _LLAMA_CPP, "parallel_slots"),
        json_integer("llama_cpp.gpu_layers", _LLAMA_CPP, "gpu_layers", optional=True),
        json_member("llama_cpp.kv_cache_type", KvCacheType, _LLAMA_CPP, "kv_cache_type"),
        json_integer("llama_cpp.threads", _LLAMA_CPP, "threads"),
        json_boolean("llama_cpp.forbid_cpu_offload", _LLAMA_CPP, "forbid_cpu_offload"),
        json_member("llama_cpp.flash_attention", FlashAttention, _LLAMA_CPP, "flash_attention"),
        json_integer("llama_cpp.micro_batch_size", _LLAMA_CPP, "micro_batch_size"),
        json_boolean("llama_cpp.unified_kv_cache", _LLAMA_CPP, "unified_kv_cache"),
        json_boolean("llama_cpp.forbid_mmap", _LLAMA_CPP, "forbid_mmap"),
        json_number("vllm.gpu_memory_utilization", _VLLM, "gpu_memory_utilization"),
        json_integer("vllm.max_model_len", _VLLM, "max_model_len"),
        json_integer("vllm.tensor_parallel_size", _VLLM, "tensor_parallel_size"),
        json_integer("vllm.pipeline_parallel_size", _VLLM, "pipeline_parallel_size"),
        json_integer("vllm.data_parallel_size", _VLLM, "data_parallel_size"),
        json_member("vllm.dtype", VllmDtype, _VLLM, "dtype"),
        json_member("vllm.kv_cache_dtype", VllmDtype, _VLLM, "kv_cache_dtype"),
        json_integer("vllm.max_num_seqs", _VLLM, "max_num_seqs"),
        json_integer("vllm.max_num_batched_tokens", _VLLM, "max_num_batched_tokens"),
        json_boolean("vllm.enforce_eager", _VLLM, "enforce_eager"),
        json_boolean("vllm.text_only", _VLLM, "text_only"),
        json_integer("vllm.host_kv_cache_bytes", _VLLM, "host_kv_cache_bytes"),
        integer("replicas", _C.replicas),
        json_names("placement.workers", WORKER, _C.placement["workers"]),
        labels("placement.worker_labels", _C.placement["worker_labels"]),
        json_member("placement.strategy", PlacementStrategy, _C.placement, "strategy"),
        json_members("placement.gpus.worker", Name(WORKER), _C.placement["gpus"], key="worker"),
        json_members("placement.gpus.uuid", Text(), _C.placement["gpus"], key="uuid"),
        json_integer("placement.gpus_per_replica", _PLACEMENT, "gpus_per_replica"),
        json_name("placement.primary_worker", WORKER, _C.placement, "primary_worker"),
        json_boolean("placement.forbid_distributed", _C.placement, "forbid_distributed"),
        member("desired_state", DesiredState, _C.desired_state),
        member("resolution.state", ResolutionState, _C.resolution_state),
        StoredName("resolution.artifact", ARTIFACT, _C.artifact_id, nullable=True),
        *error_fields("resolution.error", _C.resolution_error),
    ]
)
