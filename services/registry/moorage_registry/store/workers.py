"""Workers: registration, leases, what a person changes and what an agent measures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_common.core.errors import Aborted, AlreadyExists, ErrorReason, NotFound
from moorage_common.core.ids import new_uid
from moorage_common.core.states import WorkerState
from moorage_registry.core.changes import Operation, WorkerView
from moorage_registry.core.etags import check_etag
from moorage_registry.core.records import Json, Pool, Worker
from moorage_registry.store import ledger, performance, schema
from moorage_registry.store.database import Transaction
from moorage_registry.store.performance import MeasuredInstance
from moorage_registry.store.tables import WORKERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What an agent says when it registers its node."""

    worker_id: str
    node_id: str
    facts: Json
    labels: Mapping[str, str]
    pools: Sequence[Pool]
    """The node's memory, nothing claimed and nothing measured yet."""
    lease_id: str
    ttl: timedelta


@dataclass(frozen=True, slots=True)
class Renewal:
    """A heartbeat that renews a lease."""

    worker_id: str
    lease_id: str
    age: timedelta
    """How long ago it came: the lease counts from then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What an agent measured, as far as it changed."""

    foreign: Mapping[str, int] = field(default_factory=dict)
    """Per memory pool, bytes used by processes that are not the mesh's."""
    storage: Json | None = None
    """None: unchanged."""
    instances: Mapping[str, MeasuredInstance] = field(default_factory=dict)
    """By their uids."""

    @property
    def empty(self) -> bool:
        """Whether nothing changed."""
        return not self.of_node and not self.instances

    @property
    def of_node(self) -> bool:
        """Whether anything of the node itself changed."""
        return bool(self.foreign) or self.storage is not None

    def with_newer(self, newer: "Measured") -> "Measured":
        """Returns both, of which the newer counts."""
        storage = self.storage if newer.storage is None else newer.storage
        return Measured(
            foreign={**self.foreign, **newer.foreign},
            storage=storage,
            instances={**self.instances, **newer.instances},
        )


async def register(tx: Transaction, registration: Registration) -> WorkerView:
    """Makes or renews a worker, reconciles its memory pools with what the node has, and hands out a lease.

    Raises:
        AlreadyExists: Another node has this name (WORKER_NAME_TAKEN).
    """
    table = schema.workers
    found = await WORKERS.lock(tx, table.c.id == registration.worker_id)
    if found:
        worker, operation = _known(found[0], registration), Operation.UPDATED
        [worker] = await WORKERS.save(tx, [worker])
    else:
        [worker] = await WORKERS.insert(tx, [_new(registration, tx.now)])
        operation = Operation.CREATED
    await _reconcile_pools(tx, registration)
    lease = {"lease_id": registration.lease_id, "expires_at": tx.now + registration.ttl}
    await tx.execute(
        upsert(schema.worker_leases)
        .values(worker_id=worker.id, **lease)
        .on_conflict_do_update(index_elements=["worker_id"], set_=lease)
    )
    [view] = await ledger.note(tx, operation, [worker])
    return view


async def change(tx: Transaction, worker_id: str, etag: str, how: Callable[[Worker], Worker]) -> WorkerView:
    """Changes a worker's own fields; a change that changes nothing leaves its version alone.

    Raises:
        NotFound: No such worker.
        Aborted: It changed since (ETAG_MISMATCH).
    """
    worker = await lock_one(tx, worker_id)
    check_etag(f"workers/{worker_id}", etag, worker)
    changed = how(worker)
    if changed == worker:
        [view] = await ledger.read_views(tx.connection, [worker])
        return view
    [view] = await ledger.note(tx, Operation.UPDATED, await WORKERS.save(tx, [changed]))
    return view


async def lock_one(tx: Transaction, worker_id: str) -> Worker:
    """Locks one worker.

    Raises:
        NotFound: No such worker.
    """
    found = await WORKERS.lock(tx, schema.workers.c.id == worker_id)
    if not found:
        raise unknown(worker_id)
    return found[0]


def unknown(worker_id: str) -> NotFound:
    """The error of a worker that does not exist."""
    return NotFound(f"there is no workers/{worker_id}", resource=f"workers/{worker_id}")


async def connect(
    tx: Transaction, worker_id: str, lease_id: str, ttl: timedelta, measured: Measured
) -> datetime:
    """Makes a worker READY: its agent opened the heartbeat stream. Returns when its lease expires.

    Raises:
        NotFound: No such worker.
        Aborted: The lease was replaced or has lapsed (LEASE_STALE).
    """
    await performance.note(tx, measured.instances.values())
    worker = await lock_one(tx, worker_id)
    renewed = await renew(tx.connection, [Renewal(worker_id, lease_id, timedelta())], ttl)
    if worker_id not in renewed:
        raise stale_lease(worker_id)
    if worker.state is not WorkerState.READY:
        saved = await WORKERS.save(tx, [replace(worker, state=WorkerState.READY)])
        await ledger.note(tx, Operation.UPDATED, saved)
    await _measure_nodes(tx, {worker_id: measured})
    return renewed[worker_id]


async def renew(
    connection: AsyncConnection, renewals: Sequence[Renewal], ttl: timedelta
) -> dict[str, datetime]:
    """Renews many leases in one statement; returns when each now expires. One that is missing is stale."""
    table = schema.worker_leases
    given = select(
        func.unnest(text("CAST(:workers AS text[])")).label("worker_id"),
        func.unnest(text("CAST(:leases AS text[])")).label("lease_id"),
        func.unnest(text("CAST(:left AS interval[])")).label("left"),
    ).subquery()
    statement = (
        update(table)
        .where(table.c.worker_id == given.c.worker_id, table.c.lease_id == given.c.lease_id)
        .where(table.c.expires_at > func.clock_timestamp())
        .values(expires_at=func.greatest(table.c.expires_at, func.clock_timestamp() + given.c.left))
        .returning(table.c.worker_id, table.c.expires_at)
    )
    parameters = {
        "workers": [renewal.worker_id for renewal in renewals],
        "leases": [renewal.lease_id for renewal in renewals],
        "left": [ttl - renewal.age for renewal in renewals],
    }
    return {row.worker_id: row.expires_at for row in await connection.execute(statement, parameters)}


async def check_leases(tx: Transaction, leases: Mapping[str, str]) -> None:
    """Checks that reports come from the nodes that hold the workers' leases.

    Args:
        tx: The transaction.
        leases: What they say of their leases, by the workers' ids.

    Raises:
        Aborted: One was replaced (LEASE_STALE).
    """
    table = schema.worker_leases
    statement = select(table.c.worker_id, table.c.lease_id).where(table.c.worker_id.in_(leases.keys()))
    rows = await tx.execute(statement.order_by(table.c.worker_id).with_for_update(read=True))
    held = {row.worker_id: row.lease_id for row in rows}
    for worker_id, lease_id in leases.items():
        if held.get(worker_id) != lease_id:
            raise stale_lease(worker_id)


async def measure(tx: Transaction, measured: Mapping[str, Measured]) -> None:
    """Notes what agents measured, by worker, if it says anything new. A worker that is gone is passed over."""
    await performance.note(tx, [each for node in measured.values() for each in node.instances.values()])
    await _measure_nodes(tx, measured)


async def _measure_nodes(tx: Transaction, all_measured: Mapping[str, Measured]) -> None:
    measured = {worker_id: node for worker_id, node in all_measured.items() if node.of_node}
    if not measured:
        return
    locked = await ledger.Ledger.lock(tx, measured)
    pools = {
        key: replace(pool, foreign=foreign)
        for key, pool in locked.pools.items()
        if (foreign := measured[pool.worker_id].foreign.get(pool.pool, pool.foreign)) != pool.foreign
    }
    touched = {worker_id for worker_id, _ in pools}
    changed = [
        now
        for worker in locked.workers.values()
        if (now := _with_storage(worker, measured[worker.id].storage)) != worker or worker.id in touched
    ]
    await ledger.save_pools(tx, list(pools.values()))
    locked.pools |= pools
    ledger.record(tx, Operation.UPDATED, locked.views(await WORKERS.save(tx, changed)))


def _with_storage(worker: Worker, storage: Json | None) -> Worker:
    return worker if storage is None else replace(worker, storage=storage)


async def mark_lapsed(tx: Transaction) -> list[str]:
    """Makes workers whose lease has lapsed UNREACHABLE, and returns their ids."""
    leases, table = schema.worker_leases, schema.workers
    lapsed = select(leases.c.worker_id).where(leases.c.expires_at < func.clock_timestamp())
    workers = await WORKERS.lock(
        tx,
        table.c.state != WorkerState.UNREACHABLE,
        table.c.id.in_(lapsed.scalar_subquery()),
        skip_locked=True,
    )
    # One may have registered just before it was locked: then its lease is a new one.
    still = set((await tx.execute(lapsed.where(leases.c.worker_id.in_([w.id for w in workers])))).scalars())
    saved = await WORKERS.save(
        tx, [replace(w, state=WorkerState.UNREACHABLE) for w in workers if w.id in still]
    )
    await ledger.note(tx, Operation.UPDATED, saved)
    return [worker.id for worker in saved]


def stale_lease(worker_id: str) -> Aborted:
    """The error of an agent whose lease is not the worker's any more."""
    return Aborted(
        f"the lease of workers/{worker_id} was replaced or has lapsed",
        reason=ErrorReason.LEASE_STALE,
        remedy="Register the worker again.",
        metadata={"worker": f"workers/{worker_id}"},
    )


def _known(worker: Worker, registration: Registration) -> Worker:
    if worker.node_id != registration.node_id:
        raise AlreadyExists(
            f"another node is registered as workers/{worker.id}",
            reason=ErrorReason.WORKER_NAME_TAKEN,
            remedy="Give this node another worker name, or restore the other one's data directory.",
            resource=f"workers/{worker.id}",
        )
    return replace(worker, facts=registration.facts, state=WorkerState.NOT_READY)


def _new(registration: Registration, now: datetime) -> Worker:
    return Worker(
        uid=new_uid(),
        created_at=now,
        updated_at=now,
        id=registration.worker_id,
        node_id=registration.node_id,
        state=WorkerState.NOT_READY,
        labels=dict(registration.labels),
        facts=registration.facts,
    )


async def _reconcile_pools(tx: Transaction, registration: Registration) -> None:
    locked = await ledger.Ledger.lock(tx, [registration.worker_id])
    known = {pool.pool: pool for pool in locked.pools.values()}
    reported = {pool.pool: pool for pool in registration.pools}
    changed = [_merged(pool, reported.get(name)) for name, pool in known.items()]
    await ledger.save_pools(tx, [pool for pool in changed if pool != known[pool.pool]])
    await ledger.add_pools(tx, [pool for name, pool in reported.items() if name not in known])


def _merged(pool: Pool, reported: Pool | None) -> Pool:
    """A known pool as the node reports it now. What is claimed stays claimed, even on a card that is gone."""
    if reported is None:
        return replace(pool, present=False)
    now = replace(
        pool, position=reported.position, total=reported.total, reserved=reported.reserved, present=True
    )
    return now.with_claimed(pool.claimed)
