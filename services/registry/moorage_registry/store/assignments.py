"""What one node should hold and run, read in one moment."""

from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_registry.core.assignments import AssignedInstance, NodeAssignments
from moorage_registry.core.transitions import HOLDS_CLAIM
from moorage_registry.store import schema
from moorage_registry.store.tables import ARTIFACTS, COPIES, INSTANCES, MODELS


async def read(connection: AsyncConnection, worker_id: str) -> NodeAssignments:
    """Reads a node's assignments."""
    bound = await INSTANCES.find(
        connection,
        schema.instances.c.worker_id == worker_id,
        schema.instances.c.state.in_(HOLDS_CLAIM),
    )
    wanted = await COPIES.find(connection, schema.artifact_copies.c.worker_id == worker_id)
    model_ids = {instance.model_id for instance in bound}
    models = await MODELS.find(connection, schema.models.c.id.in_(model_ids)) if bound else []
    ids = {copy.artifact_id for copy in wanted} | {m.artifact_id for m in models if m.artifact_id}
    found = await ARTIFACTS.find(connection, schema.artifacts.c.id.in_(ids)) if ids else []
    model_of = {model.id: model for model in models}
    artifact_of = {artifact.id: artifact for artifact in found}
    assigned = [
        AssignedInstance(instance, model, artifact_of[model.artifact_id])
        for instance in bound
        if (model := model_of[instance.model_id]).artifact_id
    ]
    return NodeAssignments(tuple(assigned), tuple(artifact_of[copy.artifact_id] for copy in wanted))
