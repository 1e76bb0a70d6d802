"""Drains: a worker's instances move to others, then they stop here. Level-triggered: asked again, it goes on.

begin     the worker is cordoned, what it holds or takes part in is marked as evicting, what it was nominated for is
          placed anew
settle    replacements are made, and what they replace is retired; complete once nothing is left
call_off  the marks are taken away; replacements that are now too many are retired
"""

from dataclasses import replace

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_common.core.states import InstanceState
from moorage_registry.core.changes import Operation, WorkerView
from moorage_registry.core.drains import DrainProgress, draining
from moorage_registry.core.etags import check_etag
from moorage_registry.core.instances import apply
from moorage_registry.core.records import Instance, Model, Worker
from moorage_registry.core.transitions import HOLDS_CLAIM, NOMINATED, InstanceEvent
from moorage_registry.store import instances, ledger, schema, workers
from moorage_registry.store.database import Overtaken, Transaction
from moorage_registry.store.members import takes_part
from moorage_registry.store.tables import INSTANCES, MODELS, WORKERS

_TABLE = schema.instances


async def begin(tx: Transaction, worker_id: str, etag: str) -> WorkerView:
    """Begins to drain a worker; one that is being drained goes on.

    Raises:
        NotFound: No such worker.
        Aborted: It changed since (ETAG_MISMATCH).
    """
    models = await _lock_models(tx, worker_id)
    worker = await workers.lock_one(tx, worker_id)
    check_etag(f"workers/{worker_id}", etag, worker)
    begins = worker.drain_started_at is None
    if begins:
        await WORKERS.save(tx, [replace(worker, cordoned=True, drain_started_at=tx.now)])
    return await _settle(tx, worker_id, models, began=begins)


async def settle(tx: Transaction, worker_id: str) -> WorkerView | None:
    """Brings a drain as far as it can go now. None: the worker is not drained any more."""
    models = await _lock_models(tx, worker_id)
    found = await WORKERS.lock(tx, schema.workers.c.id == worker_id)
    if not found or found[0].drain_started_at is None or found[0].drain_completed_at is not None:
        return None
    return await _settle(tx, worker_id, models, began=False)


async def call_off(tx: Transaction, worker_id: str, etag: str) -> WorkerView:
    """Lets a worker take instances again, and calls off its drain.

    Raises:
        NotFound: No such worker.
        Aborted: It changed since (ETAG_MISMATCH).
    """
    models = await _lock_models(tx, worker_id)
    view = await workers.change(tx, worker_id, etag, _opened)
    marked = await INSTANCES.find(tx.connection, takes_part([worker_id]), _TABLE.c.evicting)
    others = await active(tx.connection)
    kept = [instance for instance in marked if not set(instance.workers).intersection(others)]
    await INSTANCES.save(tx, [replace(instance, evicting=False) for instance in kept])
    for model in models:
        await instances.settle_model(tx, model)
    [view] = await ledger.read_views(tx.connection, [view.worker])
    return view


async def active(connection: AsyncConnection) -> list[str]:
    """Returns the ids of workers that are being drained."""
    table = schema.workers
    statement = select(table.c.id).where(
        table.c.drain_started_at.is_not(None), table.c.drain_completed_at.is_(None)
    )
    return sorted((await connection.execute(statement)).scalars())


async def progress(connection: AsyncConnection, worker: Worker) -> DrainProgress:
    """Tells what a worker still holds, and what is being done about it."""
    left = await INSTANCES.find(connection, *_standing_on(worker.id))
    ids = {instance.model_id for instance in left}
    siblings = await INSTANCES.find(connection, _TABLE.c.model_id.in_(ids)) if ids else []
    [view] = await ledger.read_views(connection, [worker])
    others = {worker_id for instance in left for worker_id in instance.workers} - {worker.id}
    peers = await WORKERS.find(connection, schema.workers.c.id.in_(others)) if others else []
    told = (
        draining(
            worker,
            instance,
            [sibling for sibling in siblings if sibling.model_id == instance.model_id],
            [peer for peer in peers if peer.id in instance.workers],
        )
        for instance in left
    )
    return DrainProgress(view, tuple(told))


async def _settle(tx: Transaction, worker_id: str, models: list[Model], *, began: bool) -> WorkerView:
    standing = await INSTANCES.find(tx.connection, *_standing_on(worker_id))
    if not {instance.model_id for instance in standing} <= {model.id for model in models}:
        # One was bound before the worker was locked.
        raise Overtaken
    moving = [apply(i, InstanceEvent.REFUSE, now=tx.now) for i in standing if i.state in NOMINATED]
    await instances.commit(tx, moving)
    marked = [replace(i, evicting=True) for i in standing if _is_to_be_marked(i)]
    await INSTANCES.save(tx, marked)
    for model in models:
        await instances.settle_model(tx, model)
    [worker] = await WORKERS.find(tx.connection, schema.workers.c.id == worker_id)
    left = await INSTANCES.find(tx.connection, *_standing_on(worker_id))
    completes = worker.drain_completed_at is None and not left
    if completes:
        [worker] = await WORKERS.save(tx, [replace(worker, drain_completed_at=tx.now)])
    if began or completes:
        await ledger.note(tx, Operation.UPDATED, [worker])
    [view] = await ledger.read_views(tx.connection, [worker])
    return view


async def _lock_models(tx: Transaction, worker_id: str) -> list[Model]:
    """Locks the models that have instances on a worker, and all of their instances."""
    peeked = select(_TABLE.c.model_id).where(*_standing_on(worker_id)).distinct()
    ids = (await tx.execute(peeked)).scalars().all()
    if not ids:
        return []
    models = await MODELS.lock(tx, schema.models.c.id.in_(ids))
    await INSTANCES.lock(tx, _TABLE.c.model_id.in_(ids))
    return models


def _standing_on(worker_id: str) -> list[ColumnElement[bool]]:
    return [takes_part([worker_id]), _TABLE.c.state.in_(NOMINATED | HOLDS_CLAIM)]


def _is_to_be_marked(instance: Instance) -> bool:
    gone = instance.evicting or instance.retiring or instance.state is InstanceState.STOPPING
    return instance.state in HOLDS_CLAIM and not gone


def _opened(worker: Worker) -> Worker:
    return replace(worker, cordoned=False, drain_started_at=None, drain_completed_at=None)
