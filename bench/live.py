"""Instances placed, nominated and bound a second: the real registry and PostgreSQL, two schedulers, played agents.

All models are resolved at once; it ends when every instance is bound to a worker. The agents' part is to say that the
artifact is there as soon as it is wanted. Claims are added up afterwards and held against what the GPUs have.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path

from lab.agents import GIB, PlayedAgent
from lab.postgres import postgres, scratch
from lab.registries import registries
from lab.schedulers import schedulers
from moorage.common.v1 import model_facts_pb2
from moorage.registry.v1 import (
    artifact_pb2,
    artifact_service_pb2,
    instance_pb2,
    instance_service_pb2,
    model_pb2,
    model_service_pb2,
    worker_service_pb2,
)
from moorage.registry.v1.watch_service_pb2 import ResourceKind
from moorage_cli.launcher.pgurls import PostgresUrls
from moorage_common.rpc.clients import RegistryClient
from moorage_common.rpc.informer import Informer

_PER_CHANNEL = 50
_BOUND = frozenset({instance_pb2.INSTANCE_STATE_STARTING, instance_pb2.INSTANCE_STATE_RUNNING})


async def measure(
    urls: PostgresUrls, home: Path, *, workers: int, models: int, replicas: int
) -> dict[str, float]:
    async with registries(urls, home, 1) as [registry], registry.client() as client:
        clients = [registry.client() for _ in range(0, workers, _PER_CHANNEL)]
        agents = [PlayedAgent(n, clients[n // _PER_CHANNEL], fetches=True) for n in range(workers)]
        running: list[asyncio.Task[None]] = []
        try:
            for agent in agents:
                await agent.register()
                running.append(asyncio.create_task(agent.run()))
            await asyncio.gather(*(agent.connected.wait() for agent in agents))
            for number in range(models):
                await _create(client, number, replicas)
            informer = Informer(client.watch, kinds=[ResourceKind.RESOURCE_KIND_INSTANCE])
            running.append(asyncio.create_task(informer.run()))
            async with schedulers(registry.address, home, 2):
                await asyncio.sleep(3)
                start = time.perf_counter()
                await _resolve(client)
                await _until_bound(informer, models * replicas)
                took = time.perf_counter() - start
            overcommitted = await _overcommitted(client)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for each in clients:
                await each.close()
    print(f"{models * replicas} instances of {models} models on {workers} workers in {took:.1f} s")
    return {"placed_per_s": round(models * replicas / took), "overcommitted": overcommitted}


async def _create(client: RegistryClient, number: int, replicas: int) -> None:
    model = model_pb2.Model(source=f"hf:acme/tiny/{number}.gguf", replicas=replicas)
    await client.models.CreateModel(
        model_service_pb2.CreateModelRequest(model_id=f"model-{number}", model=model)
    )


async def _resolve(client: RegistryClient) -> None:
    while True:
        request = artifact_service_pb2.LeaseResolutionsRequest(holder="bench", max_results=100)
        leases = (await client.artifacts.LeaseResolutions(request)).leases
        if not leases:
            return
        for lease in leases:
            report = artifact_service_pb2.ReportResolutionRequest(
                lease_id=lease.lease_id, artifact=_artifact()
            )
            await client.artifacts.ReportResolution(report)


def _artifact() -> artifact_pb2.Artifact:
    gguf = model_facts_pb2.GgufFacts(
        architecture="llama",
        block_count=32,
        block_bytes=[GIB // 8] * 32,
        embedding_length=4096,
        context_length=8192,
        vocabulary_size=32000,
        head_counts=[32] * 32,
        head_counts_kv=[8] * 32,
        key_length=128,
        value_length=128,
        feed_forward_lengths=[14336] * 32,
        output_bytes=GIB // 4,
        token_embedding_bytes=GIB // 4,
    )
    return artifact_pb2.Artifact(
        name="artifacts/a1",
        source="hf:acme/tiny@c0ffee/model.gguf",
        revision="c0ffee",
        files=[artifact_pb2.ArtifactFile(path="model.gguf", size_bytes=1000)],
        entry_point="model.gguf",
        facts=model_facts_pb2.ModelFacts(gguf=gguf),
    )


async def _until_bound(informer: Informer, wanted: int) -> None:
    deadline, generation, bound = time.monotonic() + 300, 0, 0
    while bound < wanted:
        if time.monotonic() > deadline:
            sys.exit(f"only {bound} of {wanted} instances were bound in time")
        generation = await informer.changed(since=generation)
        bound = sum(instance.state in _BOUND for instance in informer.snapshot().instances.values())
        await asyncio.sleep(0.1)


async def _instances(client: RegistryClient) -> list[instance_pb2.Instance]:
    found: list[instance_pb2.Instance] = []
    request = instance_service_pb2.ListInstancesRequest(parent="models/-", page_size=1000)
    while True:
        page = await client.instances.ListInstances(request)
        found += page.instances
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def _overcommitted(client: RegistryClient) -> int:
    """Pools of which more was given out than there is, by the instances' own placements."""
    claimed: Counter[tuple[str, str]] = Counter()
    for instance in await _instances(client):
        for claim in instance.placement.claims:
            claimed[claim.worker, claim.pool] += claim.size_bytes
    capacity: dict[tuple[str, str], int] = {}
    request = worker_service_pb2.ListWorkersRequest(page_size=1000)
    while True:
        page = await client.workers.ListWorkers(request)
        for worker in page.workers:
            for pool in (worker.ram, *worker.accelerator_memory):
                capacity[worker.name, pool.pool] = pool.total_bytes - pool.reserved_bytes
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    return sum(size > capacity.get(pool, 0) for pool, size in claimed.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--models", type=int, default=30)
    parser.add_argument("--replicas", type=int, default=100)
    options = parser.parse_args()
    with scratch() as home, postgres(home) as urls:
        result = asyncio.run(
            measure(urls, home, workers=options.workers, models=options.models, replicas=options.replicas)
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
