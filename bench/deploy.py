"""How long a deployment takes when the artifact is on the node already: CreateModel to RUNNING.

A whole mesh as real processes; one model file, deployed again and again under new names. The engine's part
is what its agent logs: from the start of its process to its first answer. The rest is the mesh's share.

Prints a table; the last line is one JSON object: {"median_s": …, "mesh_share_ms": …}, both medians.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from moorage.common.v1.engine_pb2 import LlamaCppOptions
from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.model_service_pb2 import CreateModelRequest, DeleteModelRequest
from moorage.registry.v1.watch_service_pb2 import (
    ResourceKind,
    WatchOperation,
    WatchRequest,
    WatchResponse,
)
from moorage_cli.launcher.home import MeshHome
from moorage_cli.launcher.mesh import Mesh, MeshOptions
from moorage_cli.quickstart.tiny_model import TinyModel, write_tiny_model
from moorage_common.rpc.channels import ChannelConfig, reading
from moorage_common.rpc.clients import RegistryClient
from moorage_common.runtime.telemetry import Telemetry

_ROUND_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Round:
    """One deployment."""

    total_s: float
    engine_s: float

    @property
    def mesh_s(self) -> float:
        return self.total_s - self.engine_s


class Events:
    """The registry's changes, as they come."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[WatchResponse] = asyncio.Queue()
        self.synced = asyncio.Event()

    async def follow(self, registry: RegistryClient) -> None:
        kinds = (ResourceKind.RESOURCE_KIND_MODEL, ResourceKind.RESOURCE_KIND_INSTANCE)
        request = WatchRequest(initial_state=True, kinds=kinds)
        async with reading(registry.watch.Watch(request)) as events:
            async for event in events:
                if event.operation == WatchOperation.WATCH_OPERATION_BOOKMARK:
                    self.synced.set()
                self._queue.put_nowait(event)

    async def until(self, condition: Callable[[WatchResponse], bool]) -> WatchResponse:
        async with asyncio.timeout(_ROUND_LIMIT_S):
            while not condition(event := await self._queue.get()):
                pass
        return event


async def measure(rounds: int, home: Path) -> list[Round]:
    file = home / "tiny.gguf"
    write_tiny_model(file, TinyModel())
    environment = {**os.environ, "MOORAGE_AGENT_LOG_FORMAT": "json", "MOORAGE_AGENT_LOG_LEVEL": "info"}
    with MeshHome(home).claim():
        mesh = Mesh(MeshOptions(home=home, environment=environment), report=lambda _: None)
        try:
            await mesh.start()
            config = ChannelConfig(target=mesh.addresses["registry"])
            async with RegistryClient.connect(config, telemetry=Telemetry(service="bench")) as registry:
                return await _deploy_rounds(registry, f"file:{file}", rounds, mesh.log_dir / "agent.log")
        finally:
            await mesh.stop()


async def _deploy_rounds(registry: RegistryClient, source: str, rounds: int, log: Path) -> list[Round]:
    events = Events()
    following = asyncio.create_task(events.follow(registry))
    await events.synced.wait()
    try:
        await _deploy(registry, events, source, "warm-up")  # Brings the artifact onto the node.
        measured = [await _deploy(registry, events, source, f"round-{n}") for n in range(rounds)]
    finally:
        following.cancel()
    engine_s = _engine_starts(log)
    return [Round(total_s, engine_s[instance]) for instance, total_s in measured]


async def _deploy(registry: RegistryClient, events: Events, source: str, model_id: str) -> tuple[str, float]:
    """Deploys and deletes a model; returns the instance's name and the seconds to RUNNING."""
    name = f"models/{model_id}"
    model = Model(source=source, llama_cpp=LlamaCppOptions(context_length=512, threads=1))
    started = time.perf_counter()
    await registry.models.CreateModel(CreateModelRequest(model_id=model_id, model=model))
    event = await events.until(lambda event: _runs(event.instance, name))
    took_s = time.perf_counter() - started
    await registry.models.DeleteModel(DeleteModelRequest(name=name))
    deleted = WatchOperation.WATCH_OPERATION_DELETED
    await events.until(lambda event: event.operation == deleted and event.model.name == name)
    return event.instance.name, took_s


def _runs(instance: Instance, model: str) -> bool:
    return instance.state == InstanceState.INSTANCE_STATE_RUNNING and instance.name.startswith(f"{model}/")


def _engine_starts(log: Path) -> dict[str, float]:
    """Returns the seconds from the start of each engine's process to its first answer, by instance."""
    moments: dict[tuple[str, str], datetime] = {}
    for line in log.read_text().splitlines():
        if line.startswith("{"):
            entry = json.loads(line)
            key = (entry.get("instance", ""), entry["event"])
            moments[key] = datetime.fromisoformat(entry["timestamp"])
    return {
        instance: (at - moments[instance, "engine started"]).total_seconds()
        for (instance, event), at in moments.items()
        if event == "engine answers"
    }


def _print(rounds: list[Round]) -> None:
    print(f"{'':>8} {'total ms':>9} {'engine ms':>10} {'mesh ms':>8}")
    ordered = sorted(rounds, key=lambda each: each.total_s)
    shown = {"fastest": ordered[0], "median": ordered[len(ordered) // 2], "slowest": ordered[-1]}
    for label, each in shown.items():
        figures = (each.total_s, each.engine_s, each.mesh_s)
        print(f"{label:>8} {figures[0] * 1e3:9.0f} {figures[1] * 1e3:10.0f} {figures[2] * 1e3:8.0f}")
    result = {
        "median_s": round(statistics.median(each.total_s for each in rounds), 3),
        "mesh_share_ms": round(statistics.median(each.mesh_s for each in rounds) * 1e3, 1),
    }
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    home = Path(tempfile.mkdtemp(prefix="moorage-bench-"))
    home.chmod(0o711)  # PostgreSQL's user passes through it.
    try:
        _print(asyncio.run(measure(rounds, home)))
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
