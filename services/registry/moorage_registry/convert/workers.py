"""Workers, as records and as protos."""

from moorage.registry.v1 import worker_pb2
from moorage_common.core.names import worker_name
from moorage_common.rpc.enums import WORKER_STATE
from moorage_registry.convert.json import from_json, timestamp
from moorage_registry.core.changes import WorkerView
from moorage_registry.core.records import Pool, Worker

RAM = "ram"
"""The pool of a node's RAM."""


def worker_to_proto(view: WorkerView) -> worker_pb2.Worker:
    """Returns a worker with its memory pools as watchers see it."""
    worker = view.worker
    pools = [_pool_to_proto(pool) for pool in view.pools]
    return worker_pb2.Worker(
        name=worker_name(worker.id),
        uid=worker.uid,
        etag=worker.etag,
        version=worker.version,
        create_time=timestamp(worker.created_at),
        update_time=timestamp(worker.updated_at),
        labels=worker.labels,
        state=WORKER_STATE.to_proto(worker.state),
        cordoned=worker.cordoned,
        facts=from_json(worker.facts, worker_pb2.NodeFacts()),
        ram=next((pool for pool in pools if pool.pool == RAM), None),
        accelerator_memory=[pool for pool in pools if pool.pool != RAM],
        storage=from_json(worker.storage, worker_pb2.Storage()) if worker.storage else None,
        drain=_drain_to_proto(worker),
    )


def _drain_to_proto(worker: Worker) -> worker_pb2.Drain | None:
    if worker.drain_started_at is None:
        return None
    return worker_pb2.Drain(
        start_time=timestamp(worker.drain_started_at), complete_time=timestamp(worker.drain_completed_at)
    )


def pools_of(worker_id: str, facts: worker_pb2.NodeFacts) -> list[Pool]:
    """Returns the memory pools that a node has, RAM first. Shared memory is one pool: the RAM."""
    cards = [] if facts.unified_memory else list(facts.accelerators)
    sizes = [(RAM, facts.ram_total_bytes, facts.ram_reserved_bytes)]
    sizes += [(card.uuid, card.memory_total_bytes, card.memory_reserved_bytes) for card in cards]
    return [
        Pool(
            worker_id=worker_id,
            pool=pool,
            position=position,
            total=total,
            reserved=reserved,
            capacity=max(0, total - reserved),
        )
        for position, (pool, total, reserved) in enumerate(sizes)
    ]


def _pool_to_proto(pool: Pool) -> worker_pb2.MemoryPool:
    return worker_pb2.MemoryPool(
        pool=pool.pool,
        total_bytes=pool.total,
        reserved_bytes=pool.reserved,
        claimed_bytes=pool.claimed,
        foreign_bytes=pool.foreign,
        available_bytes=pool.available,
    )
