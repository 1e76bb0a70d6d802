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

from lab.agents import PlayedAgent
from lab.population import populate
from lab.postgres import free_port, postgres, scratch
from lab.registries import TELEMETRY, Registry, registries
from moorage.registry.v1 import watch_service_pb2
from moorage_cli.launcher.pgurls import PostgresUrls
from moorage_common.rpc.channels import reading
from moorage_common.rpc.clients import RegistryClient
from moorage_common.rpc.probe import is_serving

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
            await populate(client, agents, instances)
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
