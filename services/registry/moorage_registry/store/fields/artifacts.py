"""The fields of artifacts, of their copies on workers, and of downloads."""

from moorage_common.core.names import ARTIFACT, ARTIFACT_COPY, DOWNLOAD, WORKER
from moorage_common.core.placement import ModelCategory
from moorage_common.core.states import CopyState, DownloadState, PullState
from moorage_registry.core.filters.types import Text
from moorage_registry.store import schema
from moorage_registry.store.fields.columns import integer, member, record_fields, text
from moorage_registry.store.fields.json_columns import error_fields, json_integer, json_member, json_text
from moorage_registry.store.fields.lists import json_members, names
from moorage_registry.store.fields.names import StoredName
from moorage_registry.store.fields.stored import FieldTable

_A = schema.artifacts.c
_GGUF = _A.facts["gguf"]
_SAFETENSORS = _A.facts["safetensors"]
_C = schema.artifact_copies.c
_D = schema.downloads.c

ARTIFACT_FIELDS = FieldTable(
    [
        StoredName("name", ARTIFACT, _A.id),
        *record_fields(schema.artifacts),
        text("source", _A.source),
        text("revision", _A.revision),
        json_members("files.path", Text(), _A.files, key="path"),
        json_members("files.sha256", Text(), _A.files, key="sha256"),
        text("entry_point", _A.entry_point),
        integer("size_bytes", _A.size_bytes),
        json_text("facts.gguf.architecture", _GGUF, "architecture"),
        json_text("facts.gguf.model_name", _GGUF, "model_name"),
        json_integer("facts.gguf.parameter_count", _GGUF, "parameter_count"),
        json_text("facts.gguf.quantization", _GGUF, "quantization"),
        json_integer("facts.gguf.block_count", _GGUF, "block_count"),
        json_integer("facts.gguf.context_length", _GGUF, "context_length"),
        json_integer("facts.gguf.expert_count", _GGUF, "expert_count"),
        json_text("facts.safetensors.architecture", _SAFETENSORS, "architecture"),
        json_text("facts.safetensors.model_type", _SAFETENSORS, "model_type"),
        json_integer("facts.safetensors.parameter_count", _SAFETENSORS, "parameter_count"),
        json_text("facts.safetensors.quantization", _SAFETENSORS, "quantization"),
        json_integer("facts.safetensors.block_count", _SAFETENSORS, "block_count"),
        json_integer("facts.safetensors.context_length", _SAFETENSORS, "context_length"),
        json_integer("facts.safetensors.expert_count", _SAFETENSORS, "expert_count"),
        json_member("facts.safetensors.category", ModelCategory, _SAFETENSORS, "category"),
        member("pull.state", PullState, _A.pull_state),
        text("pull.address", _A.pull_address),
        integer("pull.done_bytes", _A.pull_done_bytes),
        integer("pull.bytes_per_second", _A.pull_bytes_per_second),
        *error_fields("pull.error", _A.pull_error),
    ]
)

COPY_FIELDS = FieldTable(
    [
        StoredName("name", ARTIFACT_COPY, _C.artifact_id, _C.worker_id),
        *record_fields(schema.artifact_copies),
        StoredName("artifact", ARTIFACT, _C.artifact_id),
        StoredName("worker", WORKER, _C.worker_id),
        member("state", CopyState, _C.state),
        integer("done_bytes", _C.done_bytes),
        integer("size_bytes", _C.size_bytes),
        integer("bytes_per_second", _C.bytes_per_second),
        *error_fields("error", _C.error),
    ]
)

DOWNLOAD_FIELDS = FieldTable(
    [
        StoredName("name", DOWNLOAD, _D.id),
        *record_fields(schema.downloads),
        text("source", _D.source),
        names("workers", WORKER, _D.workers),
        member("state", DownloadState, _D.state),
        StoredName("artifact", ARTIFACT, _D.artifact_id, nullable=True),
        *error_fields("error", _D.error),
    ]
)
