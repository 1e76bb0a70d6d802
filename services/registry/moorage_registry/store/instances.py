"""Instances: every change of state, what it frees and what it makes wanted.

`commit` is the one way in which moves are written: it gives claims back, drops copies that nobody wants any
more, and removes records that are on their way out.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, exists, or_, select

from moorage_common.core.ids import new_short_id, new_uid
from moorage_common.core.names import instance_name
from moorage_common.core.states import InstanceState, WorkerState
from moorage_registry.core.etags import check_etag
from moorage_registry.core.instances import Move, apply, restarted
from moorage_registry.core.members import MemberMove, parts_restarted, parts_unreachable
from moorage_registry.core.records import Instance, Member, Model
from moorage_registry.core.replicas import plan_replicas
from moorage_registry.core.reports import InstanceReport, apply_part_report, apply_report
from moorage_registry.core.transitions import HOLDS_CLAIM, NOMINATED, InstanceEvent
from moorage_registry.store import copies, ledger, members, schema
from moorage_registry.store.database import Transaction
from moorage_registry.store.lookups import lock_instance, lock_model_if_any
from moorage_registry.store.members import SPREAD, takes_part
from moorage_registry.store.tables import INSTANCES, MODELS, WORKERS

_TABLE = schema.instances


async def commit(tx: Transaction, moves: Sequence[Move]) -> list[Instance]:
    """Writes moves of locked instances with everything that follows from them.

    Returns:
        The instances as they are now, in the order of the moves, less those that were removed.
    """
    await ledger.release(tx, [move.before.uid for move in moves if move.frees_claims])
    changed = [m.after for m in moves if not m.removes and (m.touches or m.after != m.before)]
    saved = {instance.uid: instance for instance in await INSTANCES.save(tx, changed)}
    await INSTANCES.delete(tx, [move.after for move in moves if move.removes])
    dropped = {(m.before.model_id, w) for m in moves if m.drops_nomination for w in m.before.loading_workers}
    await copies.drop_unwanted_by_models(tx, dropped)
    return [saved.get(move.after.uid, move.after) for move in moves if not move.removes]


async def settle_replicas(tx: Transaction, model: Model) -> bool:
    """Brings a locked model's instances to what is wanted of it.

    Returns:
        Whether any instance is left.
    """
    found = await INSTANCES.lock(tx, _TABLE.c.model_id == model.id)
    plan = plan_replicas(model, found, away=await _not_ready(tx, found))
    moves = [apply(instance, InstanceEvent.START, now=tx.now) for instance in plan.start]
    moves += [apply(instance, InstanceEvent.STOP, now=tx.now) for instance in plan.stop]
    moves += [apply(instance, InstanceEvent.STOP, now=tx.now, retiring=True) for instance in plan.retire]
    await INSTANCES.insert(tx, [_new(model, tx) for _ in range(plan.create)])
    await commit(tx, [move for move in moves if move.after != move.before or move.removes])
    return len(found) + plan.create > sum(move.removes for move in moves)


async def _not_ready(tx: Transaction, instances: Sequence[Instance]) -> set[str]:
    """Returns the ids of the workers of instances that are not ready; which instance goes first is all they decide."""
    ids = {worker for instance in instances for worker in instance.workers}
    if not ids:
        return set()
    table = schema.workers
    statement = select(table.c.id).where(table.c.id.in_(ids), table.c.state != WorkerState.READY)
    return set((await tx.execute(statement)).scalars())


async def report(tx: Transaction, model_id: str, instance_id: str, what: InstanceReport) -> Instance | None:
    """Takes an agent's report. Repeating one changes nothing.

    Returns:
        The instance as it is now; None if it was on its way out and is gone.

    Raises:
        NotFound: No such instance.
        FailedPrecondition: The report does not go with where the instance stands.
    """
    stopped = what.event is InstanceEvent.REPORT_STOPPED
    model = await lock_model_if_any(tx, model_id) if stopped else None
    if model is not None:
        # What follows may concern all of them, and comes after the worker's memory is locked.
        await INSTANCES.lock(tx, _TABLE.c.model_id == model_id)
    instance = await lock_instance(tx, model_id, instance_id)
    if instance.subordinates and instance.state in HOLDS_CLAIM:
        parts = (await members.of(tx.connection, [instance.uid]))[instance.uid]
        moved = apply_part_report(instance, parts, what, now=tx.now)
        move = await note_parts(tx, moved, parts)
    else:
        move = apply_report(instance, what, now=tx.now)
    left = await commit(tx, [move])
    if model is not None and (move.removes or move.after != move.before):
        await settle_model(tx, model)
        left = await INSTANCES.find(tx.connection, _TABLE.c.uid == instance.uid)
    return left[0] if left else None


async def note_parts(tx: Transaction, moved: MemberMove, before: Sequence[Member]) -> Move:
    """Writes changed members of a locked instance, and returns its move, yet to be committed."""
    changed = [part for part in moved.members if part not in before]
    await members.save(tx, changed)
    return replace(moved.move, touches=bool(changed))


async def restart(tx: Transaction, model_id: str, instance_id: str, etag: str) -> Instance:
    """Has an instance's engine started again where it is, with what it holds there.

    Raises:
        NotFound: No such instance.
        Aborted: It changed since (ETAG_MISMATCH).
        FailedPrecondition: It is STOPPING or STOPPED (TRANSITION_NOT_ALLOWED).
    """
    instance = await lock_instance(tx, model_id, instance_id)
    check_etag(instance_name(model_id, instance_id), etag, instance)
    move = restarted(instance, now=tx.now)
    if move.after.generation != instance.generation:
        parts = await members.of(tx.connection, [instance.uid])
        await members.save(tx, parts_restarted(parts[instance.uid]))
    [left] = await commit(tx, [move])
    return left


async def settle_model(tx: Transaction, model: Model) -> None:
    """Brings a locked model's instances to what is wanted, and removes it if it was deleted and none is left."""
    if not await settle_replicas(tx, model) and model.deleted_at is not None:
        await MODELS.delete(tx, [model])


async def release_lapsed(tx: Transaction) -> int:
    """Moves the instances of UNREACHABLE workers on: what is nominated is placed again, what holds a claim waits.

    Returns:
        How many were moved.
    """
    ids = await _unreachable(tx)
    if not ids:
        return 0
    found = await INSTANCES.lock(tx, takes_part(ids), _to_be_moved_on(ids), skip_locked=True)
    # One may have come back just now: then its instances are what its agent says they are.
    concerned = {worker for instance in found for worker in instance.workers}
    away = [schema.workers.c.id.in_(concerned), schema.workers.c.state == WorkerState.UNREACHABLE]
    gone = {worker.id for worker in await WORKERS.lock(tx, *away, share=True)} if found else set()
    lost = [instance for instance in found if not gone.isdisjoint(instance.workers)]
    parts = await members.of(tx.connection, [i.uid for i in lost if i.subordinates])
    await commit(tx, [await _lapsed(tx, i, parts.get(i.uid, ()), gone) for i in lost])
    return len(lost)


async def _lapsed(tx: Transaction, instance: Instance, parts: Sequence[Member], gone: set[str]) -> Move:
    if not parts:
        return apply(instance, InstanceEvent.LEASE_LAPSED, now=tx.now)
    return await note_parts(tx, parts_unreachable(instance, parts, gone, now=tx.now), parts)


async def _unreachable(tx: Transaction) -> list[str]:
    """Returns the ids of workers whose leases have lapsed."""
    table = schema.workers
    statement = select(table.c.id).where(table.c.state == WorkerState.UNREACHABLE)
    return list((await tx.execute(statement)).scalars())


def _to_be_moved_on(lapsed: Collection[str]) -> ColumnElement[bool]:
    """Matches instances that a lapse of one of their workers changes."""
    states = (NOMINATED | HOLDS_CLAIM) - {InstanceState.UNREACHABLE, InstanceState.STOPPING}
    part = schema.instance_members
    unnoticed = exists().where(
        part.c.instance_uid == _TABLE.c.uid,
        part.c.worker_id.in_(lapsed),
        part.c.state.not_in([InstanceState.UNREACHABLE, InstanceState.STOPPED]),
    )
    another = and_(_TABLE.c.state == InstanceState.UNREACHABLE, SPREAD, unnoticed)
    return or_(_TABLE.c.state.in_(states), another)


async def replace_unreachable(tx: Transaction, after: timedelta) -> int:
    """Retires instances that were out of reach for too long, so that their models get fresh ones.

    One that was to stop when its worker went away would keep its model waiting just so.

    What they hold stays claimed until their worker comes back and says that they have stopped.

    Returns:
        How many were retired.
    """
    away = await _unreachable(tx)
    stopping = and_(_TABLE.c.state == InstanceState.STOPPING, takes_part(away))
    out_of_reach = [
        or_(_TABLE.c.state == InstanceState.UNREACHABLE, stopping),
        _TABLE.c.state_at < tx.now - after,
        _TABLE.c.retiring.is_(False),
    ]
    ids = (await tx.execute(select(_TABLE.c.model_id).where(*out_of_reach).distinct())).scalars().all()
    if not ids:
        return 0
    models = await MODELS.lock(tx, schema.models.c.id.in_(ids))
    # All of their instances, for those are looked at below.
    await INSTANCES.lock(tx, _TABLE.c.model_id.in_(ids))
    overdue = await INSTANCES.find(tx.connection, *out_of_reach, _TABLE.c.model_id.in_(ids))
    await commit(tx, [apply(i, InstanceEvent.STOP, now=tx.now, retiring=True) for i in overdue])
    for model in models:
        await settle_replicas(tx, model)
    return len(overdue)


def _new(model: Model, tx: Transaction) -> Instance:
    return Instance(
        uid=new_uid(),
        created_at=tx.now,
        updated_at=tx.now,
        model_id=model.id,
        id=new_short_id(),
        state=InstanceState.PENDING,
        state_at=tx.now,
    )
