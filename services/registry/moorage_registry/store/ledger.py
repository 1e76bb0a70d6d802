"""The ledger of claims: which instance holds how much of which memory pool.

A worker is locked before its pools, workers in the order of their uids. PostgreSQL itself refuses, by a CHECK,
to give out more than a pool's capacity.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_common.core.errors import ErrorReason, NotFound, ResourceExhausted, Shortage
from moorage_registry.core.changes import Change, Operation, WorkerView
from moorage_registry.core.records import Claim, Pool, Worker
from moorage_registry.store import members, schema
from moorage_registry.store.database import Transaction
from moorage_registry.store.rowsets import RowWriter, row_of
from moorage_registry.store.tables import WORKERS

_POOL_COLUMNS = [schema.memory_pools.c[field.name] for field in fields(Pool)]
_POOL_ROWS = RowWriter(
    schema.memory_pools,
    key=["worker_id", "pool"],
    changing=[field.name for field in fields(Pool) if field.name not in {"worker_id", "pool"}],
)
_CLAIM_ROWS = RowWriter(schema.claims)
_GIB = 1 << 30


async def read_views(connection: AsyncConnection, workers: Sequence[Worker]) -> list[WorkerView]:
    """Adds their memory pools to workers."""
    pools = await _pools(connection, [worker.id for worker in workers])
    return [WorkerView(worker, _present(pools[worker.id])) for worker in workers]


async def note(tx: Transaction, operation: Operation, workers: Sequence[Worker]) -> list[WorkerView]:
    """Puts changes of workers on record, with their pools as they are now."""
    views = await read_views(tx.connection, workers)
    record(tx, operation, views)
    return views


def record(tx: Transaction, operation: Operation, views: Iterable[WorkerView]) -> None:
    """Puts changes of workers on record."""
    for view in views:
        tx.record(Change(operation=operation, resource=view))


@dataclass(slots=True)
class Ledger:
    """The locked pools of some workers, and what the transaction wants of them. Written by `settle`."""

    workers: dict[str, Worker]
    pools: dict[tuple[str, str], Pool]
    _claims: list[Claim]
    _touched: set[tuple[str, str]]

    @classmethod
    async def lock(cls, tx: Transaction, worker_ids: Collection[str]) -> "Ledger":
        """Locks workers and then their pools. A worker that does not exist is left out."""
        found = await WORKERS.lock(tx, schema.workers.c.id.in_(set(worker_ids))) if worker_ids else []
        pools = await _pools(tx.connection, [worker.id for worker in found], lock=True)
        by_key = {(pool.worker_id, pool.pool): pool for group in pools.values() for pool in group}
        return cls({worker.id: worker for worker in found}, by_key, [], set())

    def claim(self, claims: Iterable[Claim]) -> None:
        """Takes memory from the pools, all of it or nothing.

        Raises:
            NotFound: The worker has no such pool (MEMORY_POOL_UNKNOWN).
            ResourceExhausted: Some pool has too little left; every such pool is listed (INSUFFICIENT_MEMORY).
        """
        wanted = list(claims)
        shortages = [shortage for claim in wanted if (shortage := self._shortage(claim))]
        if shortages:
            raise ResourceExhausted(
                "; ".join(shortage.description for shortage in shortages),
                reason=ErrorReason.INSUFFICIENT_MEMORY,
                remedy="Place it again on what is free now.",
                shortages=shortages,
            )
        for claim in wanted:
            self._add(claim, claim.size_bytes)
        self._claims += wanted

    async def release(self, tx: Transaction, instance_uids: Collection[str]) -> None:
        """Gives everything that these instances hold on the locked workers back to the pools."""
        rows = await tx.execute(
            delete(schema.claims)
            .where(schema.claims.c.instance_uid.in_(list(instance_uids)))
            .where(schema.claims.c.worker_id.in_(list(self.workers)))
            .returning(*schema.claims.c)
        )
        for row in rows:
            claim = Claim(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
            self._add(claim, -claim.size_bytes)

    async def settle(self, tx: Transaction) -> None:
        """Writes the pools and claims, and puts the workers on record."""
        await _CLAIM_ROWS.insert(tx.connection, map(row_of, self._claims))
        if not self._touched:
            return
        await save_pools(tx, [self.pools[key] for key in sorted(self._touched)])
        ids = {worker_id for worker_id, _ in self._touched}
        saved = await WORKERS.save(tx, [self.workers[worker_id] for worker_id in sorted(ids)])
        record(tx, Operation.UPDATED, self.views(saved))

    def views(self, workers: Iterable[Worker]) -> list[WorkerView]:
        """Adds the locked pools, as they now are, to workers."""
        by_worker: dict[str, list[Pool]] = defaultdict(list)
        for pool in self.pools.values():
            by_worker[pool.worker_id].append(pool)
        return [WorkerView(worker, _present(by_worker[worker.id])) for worker in workers]

    def _shortage(self, claim: Claim) -> Shortage | None:
        pool = self.pools.get((claim.worker_id, claim.pool))
        if pool is None or not pool.present:
            raise NotFound(
                f"workers/{claim.worker_id} has no memory pool {claim.pool!r}",
                reason=ErrorReason.MEMORY_POOL_UNKNOWN,
                metadata={"worker": f"workers/{claim.worker_id}", "pool": claim.pool},
            )
        unclaimed = pool.capacity - pool.claimed
        if claim.size_bytes <= unclaimed:
            return None
        return Shortage(
            subject=f"workers/{claim.worker_id}/pools/{claim.pool}",
            description=f"workers/{claim.worker_id} has {unclaimed / _GIB:.2f} GiB unclaimed in pool "
            f"{claim.pool}, {claim.size_bytes / _GIB:.2f} GiB are needed",
        )

    def _add(self, claim: Claim, size_bytes: int) -> None:
        key = (claim.worker_id, claim.pool)
        pool = self.pools[key]
        self.pools[key] = pool.with_claimed(pool.claimed + size_bytes)
        self._touched.add(key)


async def release(tx: Transaction, instance_uids: Collection[str]) -> None:
    """Gives everything that instances hold back to the pools of their workers, and frees the workers for others."""
    if not instance_uids:
        return
    holders = select(schema.claims.c.worker_id).where(schema.claims.c.instance_uid.in_(list(instance_uids)))
    ledger = await Ledger.lock(tx, {row.worker_id for row in await tx.execute(holders.distinct())})
    await ledger.release(tx, instance_uids)
    await ledger.settle(tx)
    await members.remove(tx, instance_uids)


async def release_on(tx: Transaction, worker_id: str, instance_uids: Collection[str]) -> None:
    """Gives what instances hold on one worker back to its pools, and lets the worker take part in them no longer."""
    if not instance_uids:
        return
    ledger = await Ledger.lock(tx, [worker_id])
    await ledger.release(tx, instance_uids)
    await ledger.settle(tx)
    await members.remove(tx, instance_uids, worker_id=worker_id)


async def add_pools(tx: Transaction, pools: Sequence[Pool]) -> None:
    """Writes new pools of a locked worker."""
    await _POOL_ROWS.insert(tx.connection, map(row_of, pools))


async def save_pools(tx: Transaction, pools: Sequence[Pool]) -> None:
    """Writes changed pools of locked workers."""
    await _POOL_ROWS.update(tx.connection, map(row_of, pools))


async def _pools(
    connection: AsyncConnection, worker_ids: Collection[str], *, lock: bool = False
) -> dict[str, list[Pool]]:
    table = schema.memory_pools
    by_worker: dict[str, list[Pool]] = defaultdict(list)
    if worker_ids:
        statement = select(*_POOL_COLUMNS).where(table.c.worker_id.in_(list(worker_ids)))
        statement = statement.order_by(table.c.worker_id, table.c.position, table.c.pool)
        for row in await connection.execute(statement.with_for_update() if lock else statement):
            pool = Pool(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
            by_worker[pool.worker_id].append(pool)
    return by_worker


def _present(pools: Iterable[Pool]) -> tuple[Pool, ...]:
    return tuple(pool for pool in pools if pool.present)
