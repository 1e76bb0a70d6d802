"""What nodes should hold and run, read in one moment."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_registry.core.assignments import AssignedInstance, AssignedPart, NodeAssignments
from moorage_registry.core.records import Artifact, Instance
from moorage_registry.core.transitions import HOLDS_CLAIM
from moorage_registry.store import members, schema
from moorage_registry.store.members import takes_part
from moorage_registry.store.tables import ARTIFACTS, COPIES, INSTANCES, MODELS


async def read(connection: AsyncConnection, worker_ids: Collection[str]) -> dict[str, NodeAssignments]:
    """Reads the assignments of nodes, by the workers' ids."""
    bound = await INSTANCES.find(
        connection, takes_part(worker_ids), schema.instances.c.state.in_(HOLDS_CLAIM)
    )
    wanted = await COPIES.find(connection, schema.artifact_copies.c.worker_id.in_(list(worker_ids)))
    model_ids = {instance.model_id for instance in bound}
    models = await MODELS.find(connection, schema.models.c.id.in_(model_ids)) if bound else []
    ids = {copy.artifact_id for copy in wanted} | {m.artifact_id for m in models if m.artifact_id}
    found = await ARTIFACTS.find(connection, schema.artifacts.c.id.in_(ids)) if ids else []
    model_of = {model.id: model for model in models}
    artifact_of = {artifact.id: artifact for artifact in found}
    parts = await _parts(connection, bound)
    assigned: dict[str, list[AssignedInstance]] = defaultdict(list)
    for instance in bound:
        model = model_of[instance.model_id]
        if model.artifact_id:
            artifact, members = artifact_of[model.artifact_id], tuple(parts.get(instance.uid, ()))
            for worker_id in instance.workers:
                assigned[worker_id].append(AssignedInstance(instance, model, artifact, members))
    held: dict[str, list[Artifact]] = defaultdict(list)
    for copy in wanted:
        held[copy.worker_id].append(artifact_of[copy.artifact_id])
    return {
        worker_id: NodeAssignments(tuple(assigned[worker_id]), tuple(held[worker_id]))
        for worker_id in worker_ids
    }


async def _parts(connection: AsyncConnection, bound: Sequence[Instance]) -> dict[str, list[AssignedPart]]:
    """Reads who takes part in instances over several workers, by the instances' uids."""
    spread = [instance for instance in bound if instance.subordinates]
    found = await members.of(connection, [instance.uid for instance in spread])
    ids = {worker for instance in spread for worker in instance.workers}
    table = schema.workers
    statement = select(table.c.id, table.c.facts["agent_address"].astext.label("address"))
    rows = await connection.execute(statement.where(table.c.id.in_(ids))) if ids else ()
    address_of = {row.id: row.address or "" for row in rows}
    return {
        uid: [AssignedPart(part, address_of.get(part.worker_id, "")) for part in parts]
        for uid, parts in found.items()
    }
