"""`moor logs`: what an instance's engine prints."""

import asyncio
import sys

from moorage.agent.v1.agent_service_pb2 import StreamEngineLogsRequest
from moorage.registry.v1.instance_pb2 import Instance
from moorage.registry.v1.instance_service_pb2 import GetInstanceRequest
from moorage.registry.v1.model_service_pb2 import GetModelRequest
from moorage.registry.v1.worker_service_pb2 import GetWorkerRequest
from moorage_cli import connect
from moorage_cli.listing import all_instances
from moorage_cli.names import instance_of, model_of
from moorage_cli.options import MeshTarget
from moorage_common.core.errors import FailedPrecondition, NotFound, Unavailable
from moorage_common.rpc.channels import reading
from moorage_common.rpc.clients import RegistryClient

_RESUME_AFTER_S = 0.5


async def run(target: MeshTarget, *, name: str, follow: bool, tail: int) -> int:
    """Prints an engine's log; with `follow`, goes on as more is printed, also over an agent's restart."""
    async with connect.registry(target) as registry:
        instance = await _instance(registry, name)
        worker = instance.worker or instance.last_worker
        if not worker:
            raise FailedPrecondition(
                f"{instance.name} has not been on any worker yet: it has no log",
                remedy=f"See what it waits for with 'moor explain {name}'.",
            )
        facts = (await registry.workers.GetWorker(GetWorkerRequest(name=worker))).worker.facts
    request = StreamEngineLogsRequest(instance=instance.name, tail_lines=tail, follow=follow)
    while True:
        try:
            await _stream(target, facts.agent_address, request)
        except Unavailable:
            if not (follow and request.offset_bytes):
                raise
            await asyncio.sleep(_RESUME_AFTER_S)
        else:
            return 0


async def _stream(target: MeshTarget, address: str, request: StreamEngineLogsRequest) -> None:
    """Prints until the stream ends; notes in the request where to go on from."""
    async with (
        connect.agent(target, address) as agent,
        reading(agent.agent.StreamEngineLogs(request)) as printed,
    ):
        async for chunk in printed:
            sys.stdout.buffer.write(chunk.data)
            sys.stdout.buffer.flush()
            request.offset_bytes = chunk.next_offset_bytes
            request.tail_lines = 0


async def _instance(registry: RegistryClient, name: str) -> Instance:
    wanted = instance_of(name)
    if wanted is not None:
        return (await registry.instances.GetInstance(GetInstanceRequest(name=wanted))).instance
    model = model_of(name)
    found = [each for each in await all_instances(registry, model) if not each.retiring]
    if len(found) == 1:
        return found[0]
    if not found:
        await registry.models.GetModel(GetModelRequest(name=model))
        raise NotFound(
            f"{model} has no instance, so no log", resource=model, remedy=f"Start it: moor start {name}"
        )
    raise FailedPrecondition(
        f"{model} has {len(found)} instances",
        remedy="Name one: " + ", ".join(each.name for each in found),
    )
