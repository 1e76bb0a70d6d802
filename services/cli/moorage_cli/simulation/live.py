"""The fleet as it is, on paper: what the registry says of it, as a part of a simulation."""

from collections import defaultdict
from collections.abc import Iterable

from moorage.registry.v1.artifact_pb2 import ArtifactCopy
from moorage.registry.v1.instance_pb2 import Instance
from moorage.registry.v1.model_service_pb2 import GetModelRequest
from moorage.registry.v1.worker_pb2 import InstalledEngine, MemoryPool, Worker
from moorage.scheduler.v1.simulation_pb2 import (
    SimulatedAccelerator,
    SimulatedCopy,
    SimulatedInstance,
    SimulatedModel,
    SimulatedWorker,
)
from moorage_cli.listing import all_copies, all_instances, all_workers
from moorage_cli.names import model_of
from moorage_cli.views.words import short
from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.rpc.clients import RegistryClient


async def live_fleet(registry: RegistryClient) -> tuple[list[SimulatedWorker], list[SimulatedInstance]]:
    """Returns the workers of a mesh with what is on them, and its instances."""
    copies: dict[str, list[ArtifactCopy]] = defaultdict(list)
    for copy in await all_copies(registry):
        copies[copy.worker].append(copy)
    workers = [worker_on_paper(worker, copies[worker.name]) for worker in await all_workers(registry)]
    instances = [instance_on_paper(each) for each in await all_instances(registry) if each.worker]
    return workers, instances


async def live_model(registry: RegistryClient, name: str) -> SimulatedModel:
    """Returns one more instance of a model of a mesh.

    Raises:
        NotFound: There is no such model.
        FailedPrecondition: Its source has not been resolved, so nothing is known of it.
    """
    model = (await registry.models.GetModel(GetModelRequest(name=model_of(name)))).model
    if not model.resolution.artifact:
        raise FailedPrecondition(
            f"nothing is known of {model.name} yet: its source is not resolved",
            reason=ErrorReason.MODEL_UNRESOLVED,
            resource=model.name,
            remedy=f"See why with 'moor explain {short(model.name)}'.",
        )
    return SimulatedModel(
        name=model.name,
        known_artifact=model.resolution.artifact,
        artifact=model.resolution.artifact,
        engine=model.engine,
        engine_version=model.engine_version,
        llama_cpp=model.llama_cpp if model.HasField("llama_cpp") else None,
        vllm=model.vllm if model.HasField("vllm") else None,
        category=model.category,
        placement=model.placement if model.HasField("placement") else None,
    )


def worker_on_paper(worker: Worker, copies: Iterable[ArtifactCopy]) -> SimulatedWorker:
    """Returns a worker as it is."""
    facts, memory = worker.facts, {pool.pool: pool for pool in worker.accelerator_memory}
    return SimulatedWorker(
        name=worker.name,
        state=worker.state,
        cordoned=worker.cordoned,
        draining=worker.HasField("drain"),
        operating_system=facts.operating_system,
        cpu_architecture=facts.cpu_architecture,
        labels=worker.labels,
        accelerators=[
            SimulatedAccelerator(
                uuid=card.uuid,
                kind=card.kind,
                index=card.index,
                product=card.product,
                memory_total_bytes=card.memory_total_bytes,
                memory_reserved_bytes=card.memory_reserved_bytes,
                memory_foreign_bytes=memory.get(card.uuid, MemoryPool()).foreign_bytes,
                compute_capability=card.compute_capability,
                driver_version=card.driver_version,
                link_group=card.link_group,
                switch_group=card.switch_group,
            )
            for card in facts.accelerators
        ],
        # None at all would stand for every engine.
        engines=facts.engines or [InstalledEngine()],
        unified_memory=facts.unified_memory,
        ram_total_bytes=facts.ram_total_bytes,
        ram_reserved_bytes=facts.ram_reserved_bytes,
        ram_foreign_bytes=worker.ram.foreign_bytes,
        disk_free_bytes=worker.storage.free_bytes if worker.HasField("storage") else None,
        artifacts=[
            SimulatedCopy(artifact=copy.artifact, state=copy.state, done_bytes=copy.done_bytes)
            for copy in copies
        ],
    )


def instance_on_paper(instance: Instance) -> SimulatedInstance:
    """Returns an instance with what it holds."""
    placement = instance.placement
    return SimulatedInstance(
        name=instance.name,
        engine=placement.engine,
        state=instance.state,
        worker=placement.worker or instance.worker,
        subordinates=placement.subordinates,
        claims=placement.claims,
    )
