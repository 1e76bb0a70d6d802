"""What schedulers decide, committed or refused: nominations and bindings, many at a time.

Each item stands for itself: it is checked against the rows as they are now, under their locks, and gets its own
answer. The whole bulk is a handful of statements.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from moorage_common.core.errors import (
    ErrorReason,
    FailedPrecondition,
    InvalidArgument,
    MoorageError,
    NotFound,
)
from moorage_common.core.names import instance_name, worker_name
from moorage_common.core.states import CopyState, EngineKind, InstanceState
from moorage_registry.core.engines import every_member_loads
from moorage_registry.core.etags import check_etag
from moorage_registry.core.instances import Move, apply
from moorage_registry.core.records import Claim, Explained, Instance, Json, Worker
from moorage_registry.core.transitions import InstanceEvent
from moorage_registry.store import copies, instances, schema
from moorage_registry.store.database import Transaction
from moorage_registry.store.exclusivity import Memberships
from moorage_registry.store.ledger import Ledger
from moorage_registry.store.placement_checks import (
    Served,
    check_copies,
    check_engine,
    check_resolved,
    check_workers,
    read_served,
)
from moorage_registry.store.tables import COPIES, INSTANCES, WORKERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a scheduler decided about one instance."""

    model_id: str
    instance_id: str
    etag: str
    explanation: Explained

    @property
    def key(self) -> tuple[str, str]:
        """The instance's key."""
        return self.model_id, self.instance_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Nomination(Decision):
    """The workers whose copies of the artifact the instance should wait for."""

    worker_id: str | None
    """None: no worker fits; only the explanation is recorded."""
    subordinates: tuple[str, ...] = ()

    @property
    def workers(self) -> tuple[str, ...]:
        """All of them, the primary first."""
        return () if self.worker_id is None else (self.worker_id, *self.subordinates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding(Decision):
    """The workers that the instance should run on, and what it holds there."""

    worker_id: str
    subordinates: tuple[str, ...] = ()
    engine: EngineKind | None
    """That the placement is for. None: it does not say."""
    placement: Json
    claims: tuple[tuple[str, str, int], ...]
    """Worker, pool and bytes."""

    @property
    def workers(self) -> tuple[str, ...]:
        """All of them, the primary first."""
        return self.worker_id, *self.subordinates


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one item."""

    instance: Instance | None
    error: MoorageError | None = None


async def nominate(tx: Transaction, items: Sequence[Nomination]) -> list[ItemResult]:
    """Commits nominations. Returns one result per item, in their order."""
    found = await _lock_instances(tx, items)
    workers = await _read_workers(tx, {worker for item in items for worker in item.workers})
    served = await read_served(tx, {item.model_id for item in items})
    moves: dict[tuple[str, str], Move] = {}
    results: dict[int, ItemResult] = {}
    for index, item in enumerate(items):
        try:
            instance = _current(found, item, moves)
            moves[item.key] = _nominated(tx, instance, item, workers, served[item.model_id])
        except MoorageError as error:
            results[index] = ItemResult(found.get(item.key), error)
    pairs = {key: served[key[0]].pairs(move.after.workers) for key, move in moves.items()}
    there = await copies.want(tx, set().union(*pairs.values()))
    for key, wanted in pairs.items():
        if wanted and all(there[pair].state is CopyState.READY for pair in wanted):
            ready = apply(moves[key].after, InstanceEvent.ARTIFACT_READY, now=tx.now)
            moves[key] = Move(before=moves[key].before, after=ready.after)
    return await _finish(tx, items, moves, results)


async def bind(tx: Transaction, items: Sequence[Binding]) -> list[ItemResult]:
    """Commits bindings and their claims. Returns one result per item, in their order."""
    found = await _lock_instances(tx, items)
    ground = await _Ground.lock(tx, items)
    moves: dict[tuple[str, str], Move] = {}
    results: dict[int, ItemResult] = {}
    for index, item in enumerate(items):
        try:
            instance = _current(found, item, moves)
        except MoorageError as error:
            results[index] = ItemResult(found.get(item.key), error)
            continue
        try:
            moves[item.key] = ground.bind(tx, instance, item)
        except MoorageError as error:
            results[index] = ItemResult(instance, error)
            if instance.state is InstanceState.FETCHED:
                moves[item.key] = apply(instance, InstanceEvent.REFUSE, now=tx.now)
    await ground.settle(tx)
    return await _finish(tx, items, moves, results)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What bindings are checked against, locked, and what they take of it."""

    ledger: Ledger
    memberships: Memberships
    served: Mapping[str, Served]
    """By the models' ids."""
    ready: Collection[copies.Pair]

    @classmethod
    async def lock(cls, tx: Transaction, items: Sequence[Binding]) -> "_Ground":
        ledger = await Ledger.lock(tx, {worker for item in items for worker in item.workers})
        served = await read_served(tx, {item.model_id for item in items})
        spread = {worker for item in items if item.subordinates for worker in item.workers}
        needed = {
            pair for item in items for pair in served[item.model_id].by(item.engine).pairs(item.workers)
        }
        return cls(ledger, await Memberships.read(tx, spread), served, await _ready_copies(tx, needed))

    def bind(self, tx: Transaction, instance: Instance, item: Binding) -> Move:
        """Binds one instance, whole or not at all."""
        served = self.served[item.model_id].by(item.engine)
        check_engine(item.model_id, item.engine, served)
        check_workers(item.workers, self.ledger.workers)
        check_copies(item.model_id, served.pairs(item.workers), self.ready)
        self.memberships.check(served.engine, item.workers)
        move = _bound(tx, instance, item, served)
        self.ledger.claim(
            Claim(instance_uid=instance.uid, worker_id=worker, pool=pool, size_bytes=size)
            for worker, pool, size in item.claims
        )
        self.memberships.take(served.engine, move.after)
        return move

    async def settle(self, tx: Transaction) -> None:
        """Writes what was taken."""
        await self.ledger.settle(tx)
        await self.memberships.settle(tx)


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
    tx: Transaction, instance: Instance, item: Nomination, workers: Mapping[str, Worker], served: Served
) -> Move:
    if item.worker_id is None:
        return apply(instance, InstanceEvent.REFUSE, now=tx.now, **item.explanation.fields)
    check_workers(item.workers, workers)
    check_resolved(item.model_id, served)
    return apply(
        instance,
        InstanceEvent.NOMINATE,
        now=tx.now,
        worker_id=item.worker_id,
        subordinates=list(item.subordinates),
        artifact_on_all=every_member_loads(served.engine),
        error=None,
        **item.explanation.fields,
    )


def _bound(tx: Transaction, instance: Instance, item: Binding, served: Served) -> Move:
    if instance.state is InstanceState.FETCHED and instance.worker_id != item.worker_id:
        raise FailedPrecondition(
            f"{instance_name(*item.key)} is nominated for {worker_name(instance.worker_id or '')}",
            reason=ErrorReason.TRANSITION_NOT_ALLOWED,
        )
    move = apply(instance, InstanceEvent.BIND, now=tx.now)
    bound = replace(
        move.after,
        worker_id=item.worker_id,
        subordinates=list(item.subordinates),
        artifact_on_all=every_member_loads(served.engine),
        last_worker_id=item.worker_id,
        placement=item.placement,
        error=None,
        restart_count=0,
        generation=instance.generation + 1,
        **item.explanation.fields,
    )
    return Move(before=instance, after=bound)
