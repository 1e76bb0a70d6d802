"""`moor logs`: what an instance's engine prints."""

import asyncio
import sys

from moorage.agent.v1.agent_service_pb2 import StreamEngineLogsRequest
from moorage.registry.v1.instance_pb2 import Instance
from moorage.registry.v1.worker_service_pb2 import GetWorkerRequest
from moorage_cli import connect
from moorage_cli.lookup import instances_named
from moorage_cli.target import MeshTarget
from moorage_common.core.errors import FailedPrecondition, Unavailable
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
            await _stream(target, facts.agent_address, worker, request)
        except Unavailable:
            if not (follow and request.offset_bytes):
                raise
            await asyncio.sleep(_RESUME_AFTER_S)
        else:
            return 0


async def _stream(target: MeshTarget, address: str, worker: str, request: StreamEngineLogsRequest) -> None:
    """Prints until the stream ends; notes in the request where to go on from."""
    async with (
        connect.agent(target, address, worker) as agent,
        reading(agent.agent.StreamEngineLogs(request)) as printed,
    ):
        async for chunk in printed:
            sys.stdout.buffer.write(chunk.data)
            sys.stdout.buffer.flush()
            request.offset_bytes = chunk.next_offset_bytes
            request.tail_lines = 0


async def _instance(registry: RegistryClient, name: str) -> Instance:
    found = await instances_named(registry, name)
    if len(found) > 1:
        raise FailedPrecondition(
            f"{name} has {len(found)} instances",
            remedy="Name one: " + ", ".join(each.name for each in found),
        )
    return found[0]
