"""Memory of an idle agent, and of a registry with many workers and instances.

The registry's is read after the whole fleet was listed by a watcher, which is when it holds the most: a thousand agents
are connected, and each instance has been bound with an explanation of ten workers, as a scheduler records it.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from lab.agents import GIB, PlayedAgent
from lab.postgres import free_port, postgres, scratch
from lab.registries import TELEMETRY, Registry, registries
from moorage.common.v1 import model_facts_pb2, placement_pb2
from moorage.registry.v1 import (
    artifact_pb2,
    artifact_service_pb2,
    instance_pb2,
    instance_service_pb2,
    model_pb2,
    model_service_pb2,
    watch_service_pb2,
)
from moorage_cli.launcher.pgurls import PostgresUrls
from moorage_common.rpc.channels import reading
from moorage_common.rpc.clients import RegistryClient
from moorage_common.rpc.probe import is_serving

_PER_MODEL = 100
_PER_CHANNEL = 50
_IDLE_S = 5.0


async def measure(urls: PostgresUrls, home: Path, *, workers: int, instances: int) -> dict[str, float]:
    async with registries(urls, home, 1) as [registry], registry.client() as client:
        empty = registry.rss_mb
        agent_mb = await _idle_agent(registry, home)
        clients = [registry.client() for _ in range(0, workers, _PER_CHANNEL)]
        agents = [PlayedAgent(n, clients[n // _PER_CHANNEL]) for n in range(workers)]
        running: list[asyncio.Task[None]] = []
        try:
            for agent in agents:
                await agent.register()
                running.append(asyncio.create_task(agent.run()))
            await asyncio.gather(*(agent.connected.wait() for agent in agents))
            await _populate(client, agents, instances)
            populated = registry.rss_mb
            seen = await _list_everything(client)
            await asyncio.sleep(_IDLE_S)
            listed = registry.rss_mb
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for each in clients:
                await each.close()
    print(f"idle agent {agent_mb:.0f} MB; empty registry {empty:.0f} MB")
    print(f"registry with {workers} workers and {instances} instances: {populated:.0f} MB;", end=" ")
    print(f"after a watcher listed all {seen} resources: {listed:.0f} MB")
    return {"agent_idle_mb": round(agent_mb), "registry_mb": round(max(populated, listed))}


async def _idle_agent(registry: Registry, home: Path) -> float:
    address = f"127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "MOORAGE_AGENT_LISTEN": address,
        "MOORAGE_AGENT_REGISTRY_ADDRESS": registry.address,
        "MOORAGE_AGENT_DATA_DIR": str(home / "agent"),
        "MOORAGE_AGENT_WORKER_NAME": "idle",
    }
    with (home / "agent.log").open("wb") as log:
        argv = [sys.executable, "-m", "moorage_agent"]
        process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not await is_serving(address, TELEMETRY) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        # Two rounds of measurements and heartbeats.
        await asyncio.sleep(12)
        return psutil.Process(process.pid).memory_info().rss / 1e6
    finally:
        process.terminate()
        process.wait()


async def _populate(client: RegistryClient, agents: list[PlayedAgent], instances: int) -> None:
    for number in range(instances // _PER_MODEL):
        model = model_pb2.Model(source="hf:acme/tiny/model.gguf", replicas=_PER_MODEL)
        await client.models.CreateModel(
            model_service_pb2.CreateModelRequest(model_id=f"model-{number}", model=model)
        )
        await _resolve(client)
        request = instance_service_pb2.ListInstancesRequest(parent=f"models/model-{number}", page_size=1000)
        waiting = list((await client.instances.ListInstances(request)).instances)
        chosen = [agents[(number * _PER_MODEL + n) % len(agents)] for n in range(len(waiting))]
        await _nominate(client, waiting, chosen)
        await asyncio.gather(*(_fetch(agent) for agent in _unique(chosen)))
        ready = list((await client.instances.ListInstances(request)).instances)
        await _bind(client, ready, agents)


def _unique(agents: list[PlayedAgent]) -> list[PlayedAgent]:
    return list({agent.number: agent for agent in agents}.values())


async def _resolve(client: RegistryClient) -> None:
    leases = await client.artifacts.LeaseResolutions(
        artifact_service_pb2.LeaseResolutionsRequest(holder="bench", max_results=10)
    )
    artifact = artifact_pb2.Artifact(
        name="artifacts/a1",
        source="hf:acme/tiny@c0ffee/model.gguf",
        revision="c0ffee",
        files=[artifact_pb2.ArtifactFile(path="model.gguf", size_bytes=1000)],
        entry_point="model.gguf",
        facts=model_facts_pb2.ModelFacts(gguf=model_facts_pb2.GgufFacts(architecture="llama")),
    )
    for lease in leases.leases:
        report = artifact_service_pb2.ReportResolutionRequest(lease_id=lease.lease_id, artifact=artifact)
        await client.artifacts.ReportResolution(report)


async def _nominate(
    client: RegistryClient, waiting: list[instance_pb2.Instance], chosen: list[PlayedAgent]
) -> None:
    nominations = [
        instance_service_pb2.Nomination(
            instance=instance.name, etag=instance.etag, worker=agent.name, explanation=_explanation(agent)
        )
        for instance, agent in zip(waiting, chosen, strict=True)
    ]
    await client.instances.NominateInstances(
        instance_service_pb2.NominateInstancesRequest(nominations=nominations)
    )


async def _fetch(agent: PlayedAgent) -> None:
    await agent.client.artifacts.ReportArtifactCopy(
        artifact_service_pb2.ReportArtifactCopyRequest(
            name=f"artifacts/a1/copies/{agent.name.removeprefix('workers/')}",
            lease_id=agent.lease_id,
            state=artifact_pb2.COPY_STATE_READY,
            done_bytes=1000,
        )
    )


async def _bind(
    client: RegistryClient, ready: list[instance_pb2.Instance], agents: list[PlayedAgent]
) -> None:
    by_name = {agent.name: agent for agent in agents}
    bindings = []
    for index, instance in enumerate(ready):
        agent = by_name[instance.worker]
        claim = placement_pb2.MemoryClaim(
            worker=agent.name,
            pool=f"GPU-{agent.number:05}-{index % 8}",
            size_bytes=GIB,
            parts=[placement_pb2.MemoryClaimPart(part=part, size_bytes=GIB // 4) for part in range(1, 5)],
            layers=33,
        )
        placement = placement_pb2.Placement(
            worker=agent.name, claims=[claim], gpu_layers=33, total_layers=33, context_length=4096
        )
        bindings.append(
            instance_service_pb2.Binding(
                instance=instance.name,
                etag=instance.etag,
                placement=placement,
                explanation=_explanation(agent),
            )
        )
    response = await client.instances.BindInstances(
        instance_service_pb2.BindInstancesRequest(bindings=bindings)
    )
    refused = [result.status.message for result in response.results if result.status.code]
    if refused:
        sys.exit(f"{len(refused)} bindings were refused: {refused[0]}")


def _explanation(agent: PlayedAgent) -> placement_pb2.Explanation:
    parts = [
        placement_pb2.ScorePart(scorer=name, value=0.5, weight=2.0)
        for name in ("fit", "spread", "artifact_locality", "stickiness")
    ]
    return placement_pb2.Explanation(
        verdict=placement_pb2.VERDICT_PLACED,
        summary=f"all 33 layers on 1 GPU of {agent.name}",
        workers_considered=1000,
        workers=[
            placement_pb2.WorkerExplanation(
                worker=f"workers/gpu-{n:05}", rank=n + 1, score=9.5, score_parts=parts
            )
            for n in range(10)
        ],
    )


async def _list_everything(client: RegistryClient) -> int:
    count = 0
    request = watch_service_pb2.WatchRequest(initial_state=True)
    async with reading(client.watch.Watch(request)) as events:
        async for event in events:
            if event.operation == watch_service_pb2.WATCH_OPERATION_BOOKMARK:
                break
            count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--instances", type=int, default=10_000)
    options = parser.parse_args()
    with scratch() as home, postgres(home) as urls:
        result = asyncio.run(measure(urls, home, workers=options.workers, instances=options.instances))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
