"""The end of a worker's record, with everything that hangs on it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import any_, literal, select

from moorage_common.core.errors import ErrorReason, FailedPrecondition, FieldViolation
from moorage_common.core.names import instance_name, worker_name
from moorage_common.core.states import DownloadState, InstanceState
from moorage_registry.core.changes import Operation, WorkerView
from moorage_registry.core.etags import check_etag
from moorage_registry.core.instances import apply
from moorage_registry.core.members import part_gone
from moorage_registry.core.records import Instance, Json, Worker
from moorage_registry.core.transitions import HOLDS_CLAIM, InstanceEvent
from moorage_registry.store import copies, instances, ledger, members, schema, workers
from moorage_registry.store.database import Overtaken, Transaction
from moorage_registry.store.members import takes_part
from moorage_registry.store.tables import ARTIFACTS, COPIES, DOWNLOADS, INSTANCES, MODELS, WORKERS

_TABLE = schema.instances
_OPEN = (DownloadState.RESOLVING, DownloadState.FETCHING)


async def remove_worker(
    tx: Transaction, worker_id: str, etag: str, *, force: bool, nobody_left: Json
) -> WorkerView:
    """Removes a worker. What runs there by its record is placed anew; what others take part in, once they have stopped.

    Args:
        tx: The transaction.
        worker_id: The worker.
        etag: As read; empty accepts any state.
        force: Also while instances hold memory there.
        nobody_left: The error of downloads that were for this worker alone.

    Raises:
        NotFound: No such worker.
        Aborted: It changed since (ETAG_MISMATCH).
        FailedPrecondition: Instances hold memory there (WORKER_IN_USE); every one is listed.
    """
    peeked = await INSTANCES.find(tx.connection, takes_part([worker_id]))
    ids = {instance.model_id for instance in peeked}
    models = await MODELS.lock(tx, schema.models.c.id.in_(ids)) if ids else []
    if ids:
        await INSTANCES.lock(tx, _TABLE.c.model_id.in_(ids))
    # All in one order: what is over several workers gives memory back on more than this one.
    peers = {worker_id, *(peer for instance in peeked for peer in instance.workers)}
    locked = {worker.id: worker for worker in await WORKERS.lock(tx, schema.workers.c.id.in_(peers))}
    check_etag(worker_name(worker_id), etag, _found(worker_id, locked))
    standing = await INSTANCES.find(tx.connection, takes_part([worker_id]))
    if not ids.issuperset(i.model_id for i in standing) or not peers.issuperset(
        peer for i in standing for peer in i.workers
    ):
        raise Overtaken
    _check_unused(worker_id, standing, force=force)
    await _leave_instances(tx, worker_id, standing)
    await _drop_copies(tx, worker_id, nobody_left)
    for model in models:
        await instances.settle_model(tx, model)
    [worker] = await WORKERS.find(tx.connection, schema.workers.c.id == worker_id)
    gone = replace(worker, version=worker.version + 1, updated_at=tx.now)
    [view] = await ledger.note(tx, Operation.DELETED, [gone])
    await WORKERS.delete(tx, [worker])
    return view


def _found(worker_id: str, locked: Mapping[str, Worker]) -> Worker:
    if worker_id not in locked:
        raise workers.unknown(worker_id)
    return locked[worker_id]


async def _leave_instances(tx: Transaction, worker_id: str, standing: Sequence[Instance]) -> None:
    """What ran on this worker alone is placed anew at once; what others take part in, once they have stopped."""
    parts = await members.of(tx.connection, [instance.uid for instance in standing])
    moves = [
        part_gone(instance, parts[instance.uid], worker_id, now=tx.now).move
        if instance.uid in parts
        else apply(instance, InstanceEvent.WORKER_GONE, now=tx.now)
        for instance in standing
    ]
    stopping = [move.after.uid for move in moves if move.after.state is InstanceState.STOPPING]
    await ledger.release_on(tx, worker_id, stopping)
    await instances.commit(tx, moves)


def _check_unused(worker_id: str, standing: list[Instance], *, force: bool) -> None:
    holding = [instance for instance in standing if instance.state in HOLDS_CLAIM]
    if not holding or force:
        return
    name = worker_name(worker_id)
    violations = [
        FieldViolation(instance_name(i.model_id, i.id), f"is {i.state.value} on {name}") for i in holding
    ]
    raise FailedPrecondition(
        f"{len(holding)} instances hold memory on {name}"
        if len(holding) > 1
        else f"{violations[0].field} holds memory on {name}",
        reason=ErrorReason.WORKER_IN_USE,
        remedy="Drain it first. If the node is gone for good, delete it by force.",
        resource=name,
        violations=violations,
    )


async def _drop_copies(tx: Transaction, worker_id: str, nobody_left: Json) -> None:
    table = schema.artifact_copies
    pairs = {COPIES.key_of(copy) for copy in await COPIES.find(tx.connection, table.c.worker_id == worker_id)}
    await ARTIFACTS.lock(tx, schema.artifacts.c.id.in_({artifact for artifact, _ in pairs}))
    held = await COPIES.lock(tx, table.c.worker_id == worker_id)
    await _leave_downloads(tx, worker_id, nobody_left)
    await COPIES.delete(tx, held)
    await copies.let_go_pulls(tx, {copy.artifact_id for copy in held})


async def _leave_downloads(tx: Transaction, worker_id: str, nobody_left: Json) -> None:
    """Downloads go on for the workers that are left, or fail if none is."""
    table = schema.downloads
    concerned = await DOWNLOADS.lock(
        tx, literal(worker_id) == any_(table.c.workers), table.c.state.in_(_OPEN)
    )
    asked = {other for download in concerned for other in download.workers} - {worker_id}
    statement = select(schema.workers.c.id).where(schema.workers.c.id.in_(asked))
    left = set((await tx.execute(statement)).scalars()) if asked else set()
    over = [download for download in concerned if left.isdisjoint(download.workers)]
    await DOWNLOADS.save(tx, [replace(d, state=DownloadState.FAILED, error=nobody_left) for d in over])
