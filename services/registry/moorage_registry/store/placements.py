"""What schedulers decide, committed or refused: nominations and bindings, many at a time.

Each item stands for itself: it is checked against the rows as they are now, under their locks, and gets its own
answer. The whole bulk is a handful of statements.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select

from moorage_common.core.errors import (
    ErrorReason,
    FailedPrecondition,
    InvalidArgument,
    MoorageError,
    NotFound,
)
from moorage_common.core.names import instance_name, worker_name
from moorage_common.core.states import CopyState, InstanceState, WorkerState
from moorage_registry.core.etags import check_etag
from moorage_registry.core.instances import Move, apply
from moorage_registry.core.records import Claim, Instance, Json, Worker
from moorage_registry.core.transitions import InstanceEvent
from moorage_registry.store import copies, instances, schema
from moorage_registry.store.database import Transaction
from moorage_registry.store.ledger import Ledger
from moorage_registry.store.tables import COPIES, INSTANCES, WORKERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a scheduler decided about one instance."""

    model_id: str
    instance_id: str
    etag: str
    explanation: Json

    @property
    def key(self) -> tuple[str, str]:
        """The instance's key."""
        return self.model_id, self.instance_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Nomination(Decision):
    """The worker whose copy of the artifact the instance should wait for."""

    worker_id: str | None
    """None: no worker fits; only the explanation is recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding(Decision):
    """The worker that the instance should run on, and what it holds there."""

    worker_id: str
    placement: Json
    claims: tuple[tuple[str, int], ...]
    """Pool and bytes."""


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one item."""

    instance: Instance | None
    error: MoorageError | None = None


async def nominate(tx: Transaction, items: Sequence[Nomination]) -> list[ItemResult]:
    """Commits nominations. Returns one result per item, in their order."""
    found = await _lock_instances(tx, items)
    workers = await _read_workers(tx, {item.worker_id for item in items if item.worker_id})
    artifact_of = await _artifacts(tx, {item.model_id for item in items})
    moves: dict[tuple[str, str], Move] = {}
    results: dict[int, ItemResult] = {}
    for index, item in enumerate(items):
        try:
            instance = _current(found, item, moves)
            moves[item.key] = _nominated(tx, instance, item, workers, artifact_of)
        except MoorageError as error:
            results[index] = ItemResult(found.get(item.key), error)
    nominated = [move.after for move in moves.values() if move.after.worker_id]
    pairs = {key: (artifact_of[key[0]] or "", move.after.worker_id or "") for key, move in moves.items()}
    there = await copies.want(tx, {pairs[i.model_id, i.id] for i in nominated})
    for instance in nominated:
        key = (instance.model_id, instance.id)
        if there[pairs[key]].state is CopyState.READY:
            ready = apply(instance, InstanceEvent.ARTIFACT_READY, now=tx.now)
            moves[key] = Move(before=moves[key].before, after=ready.after)
    return await _finish(tx, items, moves, results)


async def bind(tx: Transaction, items: Sequence[Binding]) -> list[ItemResult]:
    """Commits bindings and their claims. Returns one result per item, in their order."""
    found = await _lock_instances(tx, items)
    ledger = await Ledger.lock(tx, {item.worker_id for item in items})
    artifact_of = await _artifacts(tx, {item.model_id for item in items})
    ready = await _ready_copies(
        tx, {(artifact_of.get(item.model_id) or "", item.worker_id) for item in items}
    )
    moves: dict[tuple[str, str], Move] = {}
    results: dict[int, ItemResult] = {}
    for index, item in enumerate(items):
        try:
            instance = _current(found, item, moves)
        except MoorageError as error:
            results[index] = ItemResult(found.get(item.key), error)
            continue
        try:
            _check_worker(item.worker_id, ledger.workers)
            _check_copy(item, artifact_of, ready)
            move = _bound(tx, instance, item)
            ledger.claim(_claims(instance, item))
            moves[item.key] = move
        except MoorageError as error:
            results[index] = ItemResult(instance, error)
            if instance.state is InstanceState.FETCHED:
                moves[item.key] = apply(instance, InstanceEvent.REFUSE, now=tx.now)
    await ledger.settle(tx)
    return await _finish(tx, items, moves, results)


async def _finish(
    tx: Transaction,
    items: Sequence[Decision],
    moves: dict[tuple[str, str], Move],
    results: dict[int, ItemResult],
) -> list[ItemResult]:
    """Writes the moves and pairs every item with its instance as it is now."""
    written = await instances.commit(tx, list(moves.values()))
    now = {(instance.model_id, instance.id): instance for instance in written}
    return [
        ItemResult(now.get(item.key, refused.instance), refused.error)
        if (refused := results.get(index))
        else ItemResult(now[item.key])
        for index, item in enumerate(items)
    ]


async def _lock_instances(tx: Transaction, items: Sequence[Decision]) -> dict[tuple[str, str], Instance]:
    found = await INSTANCES.lock(tx, INSTANCES.keyed({item.key for item in items}))
    return {(instance.model_id, instance.id): instance for instance in found}


async def _read_workers(tx: Transaction, ids: set[str]) -> dict[str, Worker]:
    """Reads workers and keeps them from lapsing until the transaction ends."""
    if not ids:
        return {}
    found = await WORKERS.lock(tx, schema.workers.c.id.in_(ids), share=True)
    return {worker.id: worker for worker in found}


async def _artifacts(tx: Transaction, model_ids: set[str]) -> dict[str, str | None]:
    table = schema.models
    statement = select(table.c.id, table.c.artifact_id).where(table.c.id.in_(model_ids))
    return {row.id: row.artifact_id for row in await tx.execute(statement)}


async def _ready_copies(tx: Transaction, pairs: set[copies.Pair]) -> set[copies.Pair]:
    ready = schema.artifact_copies.c.state == CopyState.READY
    found = await COPIES.find(tx.connection, COPIES.keyed(pairs), ready)
    return {(copy.artifact_id, copy.worker_id) for copy in found}


def _current(
    found: dict[tuple[str, str], Instance], item: Decision, decided: dict[tuple[str, str], Move]
) -> Instance:
    name = instance_name(*item.key)
    if item.key in decided:
        raise InvalidArgument(f"{name} stands twice in the request")
    instance = found.get(item.key)
    if instance is None:
        raise NotFound(f"there is no {name}", resource=name)
    check_etag(name, item.etag, instance)
    return instance


def _nominated(
    tx: Transaction,
    instance: Instance,
    item: Nomination,
    workers: dict[str, Worker],
    artifact_of: dict[str, str | None],
) -> Move:
    if item.worker_id is None:
        return apply(instance, InstanceEvent.REFUSE, now=tx.now, explanation=item.explanation)
    _check_worker(item.worker_id, workers)
    if artifact_of.get(item.model_id) is None:
        raise FailedPrecondition(
            f"models/{item.model_id} has no artifact yet", reason=ErrorReason.MODEL_UNRESOLVED
        )
    changes = {"worker_id": item.worker_id, "explanation": item.explanation, "error": None}
    return apply(instance, InstanceEvent.NOMINATE, now=tx.now, **changes)


def _bound(tx: Transaction, instance: Instance, item: Binding) -> Move:
    if instance.state is InstanceState.FETCHED and instance.worker_id != item.worker_id:
        raise FailedPrecondition(
            f"{instance_name(*item.key)} is nominated for {worker_name(instance.worker_id or '')}",
            reason=ErrorReason.TRANSITION_NOT_ALLOWED,
        )
    move = apply(instance, InstanceEvent.BIND, now=tx.now)
    bound = replace(
        move.after,
        worker_id=item.worker_id,
        last_worker_id=item.worker_id,
        placement=item.placement,
        explanation=item.explanation,
        error=None,
        restart_count=0,
        generation=instance.generation + 1,
    )
    return Move(before=instance, after=bound)


def _claims(instance: Instance, item: Binding) -> list[Claim]:
    return [
        Claim(instance_uid=instance.uid, worker_id=item.worker_id, pool=pool, size_bytes=size)
        for pool, size in item.claims
    ]


def _check_worker(worker_id: str, workers: dict[str, Worker]) -> None:
    name = worker_name(worker_id)
    worker = workers.get(worker_id)
    if worker is None:
        raise NotFound(f"there is no {name}", resource=name)
    if worker.state is not WorkerState.READY:
        raise FailedPrecondition(
            f"{name} is {worker.state.value}",
            reason=ErrorReason.WORKER_NOT_READY,
            metadata={"worker": name, "state": worker.state.value},
        )
    if worker.cordoned:
        raise FailedPrecondition(
            f"{name} is cordoned: it takes no new instances",
            reason=ErrorReason.WORKER_CORDONED,
            remedy=f"Uncordon {name}, or choose another worker.",
            metadata={"worker": name},
        )


def _check_copy(item: Binding, artifact_of: dict[str, str | None], ready: set[copies.Pair]) -> None:
    artifact_id = artifact_of.get(item.model_id)
    if artifact_id is None or (artifact_id, item.worker_id) not in ready:
        raise FailedPrecondition(
            f"the artifact of models/{item.model_id} is not ready on {worker_name(item.worker_id)}",
            reason=ErrorReason.ARTIFACT_NOT_READY,
            remedy="Nominate the instance first; it is FETCHED once the artifact is there.",
        )
