"""Models: what users want, each change with everything that follows from it in one transaction."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import delete, func, insert, select

from moorage_common.core.errors import AlreadyExists, ErrorReason, FailedPrecondition
from moorage_common.core.ids import new_uid
from moorage_common.core.names import model_name
from moorage_common.core.states import DesiredState, InstanceState, PullState, ResolutionState
from moorage_registry.core.etags import check_etag
from moorage_registry.core.model_rules import check_model
from moorage_registry.core.records import Artifact, Model
from moorage_registry.store import schema
from moorage_registry.store.database import Transaction
from moorage_registry.store.exclusivity import check_deployable
from moorage_registry.store.instances import settle_model, settle_replicas
from moorage_registry.store.lookups import lock_model
from moorage_registry.store.tables import ARTIFACTS, INSTANCES, MODELS

ALWAYS_CHANGEABLE = frozenset({"labels", "replicas"})
"""Fields that can be changed while the model runs."""


async def create(tx: Transaction, model: Model) -> Model:
    """Stores a new model with its instances, and queues its source to be resolved.

    Raises:
        InvalidArgument: It contradicts itself.
        AlreadyExists: The name is taken.
        FailedPrecondition: Its GPUs are chosen, and their workers busy (DISTRIBUTED_VLLM_EXCLUSIVE).
    """
    check_model(model)
    name = model_name(model.id)
    if await MODELS.find(tx.connection, schema.models.c.id == model.id):
        raise AlreadyExists(f"{name} exists already", resource=name)
    [model] = await MODELS.insert(tx, [model])
    await _queue_resolution(tx, model)
    if model.desired_state is DesiredState.RUNNING:
        await check_deployable(tx, model)
    await settle_replicas(tx, model)
    return model


async def update(tx: Transaction, wanted: Model, fields: Sequence[str], etag: str) -> Model:
    """Changes some fields of a model to those of the wanted one.

    Raises:
        NotFound: No such model.
        Aborted: It changed since (ETAG_MISMATCH).
        FailedPrecondition: A field can only be changed while it is stopped (MODEL_NOT_STOPPED), or it is being deleted.
        InvalidArgument: It would contradict itself.
    """
    model = await _lock_living(tx, wanted.id, etag)
    changed = replace(model, **{name: getattr(wanted, name) for name in fields})
    if changed == model:
        return model
    check_model(changed)
    if not ALWAYS_CHANGEABLE.issuperset(fields):
        await _require_stopped(tx, model, fields)
    if changed.source != model.source:
        changed = _unresolved(changed)
        await _queue_resolution(tx, changed)
    [changed] = await MODELS.save(tx, [changed])
    await settle_replicas(tx, changed)
    return changed


async def start(tx: Transaction, model_id: str, etag: str) -> Model:
    """Wants a model running. What failed before (its source, its pull) is tried anew.

    Raises:
        NotFound: No such model.
        Aborted: It changed since (ETAG_MISMATCH).
        FailedPrecondition: It is being deleted, or its GPUs are chosen, and their workers busy
            (DISTRIBUTED_VLLM_EXCLUSIVE).
    """
    model = await _lock_living(tx, model_id, etag)
    if model.desired_state is DesiredState.STOPPED:
        await check_deployable(tx, model)
    changed = replace(model, desired_state=DesiredState.RUNNING)
    if model.resolution_state is ResolutionState.FAILED:
        changed = _unresolved(changed)
        await _queue_resolution(tx, changed)
    if changed != model:
        [changed] = await MODELS.save(tx, [changed])
    await settle_replicas(tx, changed)
    await _retry_pull(tx, changed)
    return changed


async def stop(tx: Transaction, model_id: str, etag: str) -> Model:
    """Wants a model stopped."""
    model = await _lock_living(tx, model_id, etag)
    changed = replace(model, desired_state=DesiredState.STOPPED)
    if changed != model:
        [changed] = await MODELS.save(tx, [changed])
    await settle_replicas(tx, changed)
    return changed


async def remove(tx: Transaction, model_id: str, etag: str) -> Model | None:
    """Deletes a model, once its instances have stopped. Returns None if it is gone already."""
    model = await lock_model(tx, model_id)
    check_etag(model_name(model_id), etag, model)
    if model.deleted_at is None:
        await tx.execute(delete(schema.resolutions).where(schema.resolutions.c.model_id == model_id))
        doomed = replace(model, deleted_at=tx.now, desired_state=DesiredState.STOPPED)
        [model] = await MODELS.save(tx, [doomed])
    await settle_model(tx, model)
    left = await MODELS.find(tx.connection, schema.models.c.id == model_id)
    return left[0] if left else None


async def _lock_living(tx: Transaction, model_id: str, etag: str) -> Model:
    model = await lock_model(tx, model_id)
    name = model_name(model_id)
    check_etag(name, etag, model)
    if model.deleted_at is not None:
        raise FailedPrecondition(
            f"{name} is being deleted",
            reason=ErrorReason.MODEL_DELETING,
            remedy="Wait until it is gone, then create it again.",
            resource=name,
        )
    return model


async def _require_stopped(tx: Transaction, model: Model, fields: Sequence[str]) -> None:
    table = schema.instances
    statement = select(func.count()).where(
        table.c.model_id == model.id, table.c.state != InstanceState.STOPPED
    )
    busy = (await tx.execute(statement)).scalar_one()
    if busy or model.desired_state is not DesiredState.STOPPED:
        frozen = ", ".join(sorted(set(fields) - ALWAYS_CHANGEABLE))
        raise FailedPrecondition(
            f"{frozen} of {model_name(model.id)} can only be changed while it is stopped; "
            f"{busy} of its instances are not",
            reason=ErrorReason.MODEL_NOT_STOPPED,
            remedy="Stop the model, wait until its instances are STOPPED, change it, start it again.",
            resource=model_name(model.id),
        )


def _unresolved(model: Model) -> Model:
    return replace(model, resolution_state=ResolutionState.RESOLVING, artifact_id=None, resolution_error=None)


async def _queue_resolution(tx: Transaction, model: Model) -> None:
    table = schema.resolutions
    await tx.execute(delete(table).where(table.c.model_id == model.id))
    await tx.execute(
        insert(table).values(
            id=new_uid(), source=model.source, model_id=model.id, failed_attempts=0, not_before=tx.now
        )
    )


async def _retry_pull(tx: Transaction, model: Model) -> None:
    """Queues a failed pull again that instances of the model still wait for."""
    waiting = await INSTANCES.lock(
        tx,
        schema.instances.c.model_id == model.id,
        schema.instances.c.state == InstanceState.FETCHING,
    )
    if not waiting or model.artifact_id is None:
        return
    failed: list[Artifact] = await ARTIFACTS.lock(
        tx, schema.artifacts.c.id == model.artifact_id, schema.artifacts.c.pull_state == PullState.FAILED
    )
    if failed:
        await ARTIFACTS.save(
            tx, [replace(artifact, pull_state=PullState.QUEUED, pull_error=None) for artifact in failed]
        )
        await INSTANCES.save(tx, [replace(instance, error=None) for instance in waiting])
