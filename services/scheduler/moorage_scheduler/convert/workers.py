"""Workers and instances, from protos."""

from collections.abc import Iterable

from moorage.common.v1 import engine_pb2
from moorage.registry.v1 import instance_pb2, worker_pb2
from moorage_common.core.states import EngineKind, InstanceState
from moorage_common.rpc.enums import (
    ACCELERATOR_KIND,
    CPU_ARCHITECTURE,
    ENGINE_KIND,
    INSTANCE_STATE,
    OPERATING_SYSTEM,
    WORKER_STATE,
)
from moorage_scheduler.core.cluster import Accelerator, Condition, Engine, Pool, Tenant, Worker
from moorage_scheduler.core.versions import parse
from moorage_scheduler.prediction.accelerators import lookup

HOLDING = frozenset(
    {
        InstanceState.STARTING,
        InstanceState.RUNNING,
        InstanceState.ERROR,
        InstanceState.UNREACHABLE,
        InstanceState.STOPPING,
    }
)
"""States in which an instance holds the memory of its placement."""

NOMINATED = frozenset({InstanceState.FETCHING, InstanceState.FETCHED})


def worker_from_proto(worker: worker_pb2.Worker) -> Worker:
    """Returns what seldom changes about a worker."""
    facts = worker.facts
    return Worker(
        name=worker.name,
        operating_system=(
            OPERATING_SYSTEM.from_proto(facts.operating_system) if facts.operating_system else None
        ),
        cpu_architecture=(
            CPU_ARCHITECTURE.from_proto(facts.cpu_architecture) if facts.cpu_architecture else None
        ),
        labels=dict(worker.labels),
        accelerators=tuple(map(accelerator_from_proto, facts.accelerators)),
        engines=engines_from_proto(facts.engines),
        cpu=facts.cpu_product,
        cpu_cores=facts.cpu_cores,
        # Without an accelerator there is nothing that the memory could be shared with.
        unified_memory=facts.unified_memory and bool(facts.accelerators),
    )


def accelerator_from_proto(card: worker_pb2.Accelerator) -> Accelerator:
    """Returns one card."""
    return Accelerator(
        uuid=card.uuid,
        kind=ACCELERATOR_KIND.from_proto(card.kind),
        index=card.index,
        product=card.product,
        capability=parse(card.compute_capability),
        driver=parse(card.driver_version),
        bytes_per_s=bandwidth_of(card.product),
        link_group=card.link_group,
        switch_group=card.switch_group,
    )


def bandwidth_of(product: str) -> float:
    """Returns how many bytes a second a card reads from its memory. 0: the table does not know it."""
    spec = lookup(product) if product else None
    return spec.bytes_per_s if spec else 0.0


def engines_from_proto(engines: Iterable[worker_pb2.InstalledEngine]) -> dict[EngineKind, tuple[Engine, ...]]:
    """Returns a worker's builds of each engine."""
    builds: dict[EngineKind, tuple[Engine, ...]] = {}
    for engine in engines:
        if engine.kind:
            kind = ENGINE_KIND.from_proto(engine.kind)
            build = Engine(
                version=engine.version,
                drives=frozenset(map(ACCELERATOR_KIND.from_proto, engine.accelerator_kinds)),
                distributes=not engine.single_worker_only,
            )
            builds[kind] = (*builds.get(kind, ()), build)
    return builds


def condition_from_proto(worker: worker_pb2.Worker) -> Condition:
    """Returns what often changes about a worker."""
    pools = [worker.ram, *worker.accelerator_memory]
    return Condition(
        state=WORKER_STATE.from_proto(worker.state),
        cordoned=worker.cordoned,
        draining=worker.HasField("drain") and not worker.drain.HasField("complete_time"),
        # An agent that has not measured its disk yet reports none.
        disk_free=worker.storage.free_bytes if worker.storage.capacity_bytes else None,
        total={pool.pool: pool.total_bytes for pool in pools},
        capacity={pool.pool: max(0, pool.total_bytes - pool.reserved_bytes) for pool in pools},
        foreign={pool.pool: pool.foreign_bytes for pool in pools},
    )


def tenant_from_proto(instance: instance_pb2.Instance) -> Tenant | None:
    """Returns what an instance is to its worker. None: it has no worker."""
    state = INSTANCE_STATE.from_proto(instance.state)
    model = model_of(instance.name)
    if state in HOLDING and instance.HasField("placement"):
        placement = instance.placement
        claims: dict[Pool, int] = {}
        for claim in placement.claims:
            pool = (claim.worker, claim.pool)
            claims[pool] = claims.get(pool, 0) + claim.size_bytes
        return Tenant(
            model=model,
            worker=placement.worker,
            claims=claims,
            subordinates=tuple(placement.subordinates),
            exclusive=placement.engine == engine_pb2.ENGINE_KIND_VLLM and bool(placement.subordinates),
        )
    if state in NOMINATED and instance.worker:
        return Tenant(model=model, worker=instance.worker)
    return None


def model_of(instance: str) -> str:
    """Returns the name of the model that an instance is of."""
    return instance.partition("/instances/")[0]
