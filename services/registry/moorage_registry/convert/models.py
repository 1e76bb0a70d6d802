"""Models, as records and as protos."""

from datetime import datetime

from moorage.common.v1 import engine_pb2
from moorage.registry.v1 import model_pb2
from moorage_common.core.ids import new_uid
from moorage_common.core.names import artifact_name, model_name
from moorage_common.core.states import DesiredState
from moorage_common.rpc.enums import DESIRED_STATE, ENGINE_KIND, MODEL_CATEGORY, RESOLUTION_STATE
from moorage_registry.convert.json import error_to_proto, from_json, timestamp, to_json
from moorage_registry.core.records import Model


def model_to_proto(model: Model) -> model_pb2.Model:
    """Returns a model as watchers see it."""
    resolution = model_pb2.ModelResolution(
        state=RESOLUTION_STATE.to_proto(model.resolution_state),
        artifact=artifact_name(model.artifact_id) if model.artifact_id else "",
        error=error_to_proto(model.resolution_error),
    )
    return model_pb2.Model(
        name=model_name(model.id),
        uid=model.uid,
        etag=model.etag,
        version=model.version,
        create_time=timestamp(model.created_at),
        update_time=timestamp(model.updated_at),
        delete_time=timestamp(model.deleted_at),
        labels=model.labels,
        source=model.source,
        engine=ENGINE_KIND.to_proto(model.engine) if model.engine else engine_pb2.ENGINE_KIND_UNSPECIFIED,
        engine_version=model.engine_version,
        category=(
            MODEL_CATEGORY.to_proto(model.category)
            if model.category
            else engine_pb2.MODEL_CATEGORY_UNSPECIFIED
        ),
        llama_cpp=from_json(model.llama_cpp, engine_pb2.LlamaCppOptions()) if model.llama_cpp else None,
        vllm=from_json(model.vllm, engine_pb2.VllmOptions()) if model.vllm else None,
        replicas=model.replicas,
        placement=from_json(model.placement, model_pb2.PlacementPolicy()) if model.placement else None,
        desired_state=DESIRED_STATE.to_proto(model.desired_state),
        resolution=resolution,
    )


def model_from_proto(model_id: str, model: model_pb2.Model, *, now: datetime) -> Model:
    """Returns the record of a model that a user describes; what only the registry sets is left as new."""
    return Model(
        uid=new_uid(),
        created_at=now,
        updated_at=now,
        id=model_id,
        labels=dict(model.labels),
        source=model.source,
        engine=ENGINE_KIND.from_proto(model.engine) if model.engine else None,
        engine_version=model.engine_version,
        category=MODEL_CATEGORY.from_proto(model.category) if model.category else None,
        llama_cpp=to_json(model.llama_cpp),
        vllm=to_json(model.vllm),
        replicas=model.replicas if model.HasField("replicas") else 1,
        placement=to_json(model.placement),
        desired_state=(
            DESIRED_STATE.from_proto(model.desired_state) if model.desired_state else DesiredState.RUNNING
        ),
    )
