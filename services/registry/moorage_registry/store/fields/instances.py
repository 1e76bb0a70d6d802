"""The fields of instances."""

from moorage_common.core.names import INSTANCE, WORKER
from moorage_common.core.placement import PlacementMode, Verdict
from moorage_common.core.states import EngineKind, InstanceState
from moorage_registry.store import schema
from moorage_registry.store.fields.columns import boolean, integer, member, record_fields, text, timestamp
from moorage_registry.store.fields.json_columns import (
    error_fields,
    json_integer,
    json_member,
    json_number,
    json_text,
    json_timestamp,
    message_field,
)
from moorage_registry.store.fields.lists import names
from moorage_registry.store.fields.names import StoredName
from moorage_registry.store.fields.stored import FieldTable

_C = schema.instances.c

INSTANCE_FIELDS = FieldTable(
    [
        StoredName("name", INSTANCE, _C.model_id, _C.id),
        *record_fields(schema.instances),
        member("state", InstanceState, _C.state),
        timestamp("state_time", _C.state_at),
        StoredName("worker", WORKER, _C.worker_id, nullable=True),
        names("subordinates", WORKER, _C.subordinates),
        StoredName("last_worker", WORKER, _C.last_worker_id, nullable=True),
        message_field("placement", _C.placement),
        json_integer("placement.gpu_layers", _C.placement, "gpu_layers"),
        json_integer("placement.total_layers", _C.placement, "total_layers"),
        json_integer("placement.context_length", _C.placement, "context_length"),
        json_number("placement.score", _C.placement, "score"),
        json_member("placement.engine", EngineKind, _C.placement, "engine"),
        json_text("placement.engine_version", _C.placement, "engine_version"),
        json_member("placement.mode", PlacementMode, _C.placement, "mode"),
        json_integer("placement.parallel.tensor", _C.placement["parallel"], "tensor"),
        json_integer("placement.parallel.pipeline", _C.placement["parallel"], "pipeline"),
        json_integer("placement.parallel.data", _C.placement["parallel"], "data"),
        json_number(
            "placement.predicted.decode_tokens_per_s", _C.placement["predicted"], "decode_tokens_per_s"
        ),
        json_member("explanation.verdict", Verdict, _C.explanation, "verdict"),
        json_text("explanation.summary", _C.explanation, "summary"),
        json_integer("explanation.workers_considered", _C.explanation, "workers_considered"),
        text("endpoint", _C.endpoint),
        *error_fields("error", _C.error),
        integer("restart_count", _C.restart_count),
        boolean("retiring", _C.retiring),
        integer("generation", _C.generation),
        boolean("evicting", _C.evicting),
        message_field("performance", _C.performance),
        json_number("performance.decode_tokens_per_s", _C.performance, "decode_tokens_per_s"),
        json_number("performance.prefill_tokens_per_s", _C.performance, "prefill_tokens_per_s"),
        json_number("performance.concurrent_requests", _C.performance, "concurrent_requests"),
        json_integer("performance.generated_tokens", _C.performance, "generated_tokens"),
        json_integer("performance.prompt_tokens", _C.performance, "prompt_tokens"),
        json_integer("performance.request_count", _C.performance, "request_count", optional=True),
        json_timestamp("performance.last_activity_time", _C.performance, "last_activity_time"),
    ]
)
