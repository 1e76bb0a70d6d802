"""Agents that are played: real registrations and real heartbeat streams, and no node behind them."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from moorage.common.v1.engine_pb2 import ENGINE_KIND_LLAMA_CPP
from moorage.registry.v1 import instance_pb2, worker_pb2
from moorage.registry.v1 import worker_service_pb2 as pb
from moorage.registry.v1.artifact_pb2 import COPY_STATE_READY
from moorage.registry.v1.artifact_service_pb2 import ReportArtifactCopyRequest
from moorage_common.core.errors import ErrorReason, MoorageError
from moorage_common.rpc.channels import reading
from moorage_common.rpc.clients import RegistryClient

GIB = 1 << 30
_MEASURED_EVERY = 12
"""Heartbeats from one that says that something changed on the node to the next."""


def facts(number: int, *, gpus: int = 8) -> worker_pb2.NodeFacts:
    """A node with GPUs."""
    return worker_pb2.NodeFacts(
        node_id=f"node-{number:05}",
        hostname=f"gpu-{number:05}",
        operating_system=worker_pb2.OPERATING_SYSTEM_LINUX,
        cpu_architecture=worker_pb2.CPU_ARCHITECTURE_X86_64,
        cpu_cores=64,
        ram_total_bytes=512 * GIB,
        agent_address=f"10.0.{number // 250}.{number % 250 + 1}:7603",
        agent_version="0.1.0",
        accelerators=[
            worker_pb2.Accelerator(
                uuid=f"GPU-{number:05}-{index}",
                index=index,
                kind=worker_pb2.ACCELERATOR_KIND_CUDA,
                product="NVIDIA L40S",
                memory_total_bytes=48 * GIB,
                compute_capability="8.9",
            )
            for index in range(gpus)
        ],
        engines=[
            worker_pb2.InstalledEngine(
                kind=ENGINE_KIND_LLAMA_CPP, accelerator_kinds=[worker_pb2.ACCELERATOR_KIND_CUDA]
            )
        ],
    )


@dataclass
class PlayedAgent:
    """One agent: it keeps its lease for as long as it runs, through the registry's restarts."""

    number: int
    client: RegistryClient
    gpus: int = 8
    lease_id: str = ""
    interval_s: float = 5.0
    fetches: bool = False
    """Whether it says of every artifact at once that it is there, when it is wanted."""
    beats: int = 0
    lost: int = 0
    """How often it was told that its lease is stale."""
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    instances: list[instance_pb2.Instance] = field(default_factory=list)
    """Bound to its worker."""
    _fetched: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return f"workers/gpu-{self.number:05}"

    async def register(self) -> None:
        request = pb.RegisterWorkerRequest(name=self.name, facts=facts(self.number, gpus=self.gpus))
        response = await self.client.workers.RegisterWorker(request)
        self.lease_id = response.lease_id
        self.interval_s = response.heartbeat_interval.ToTimedelta().total_seconds()

    async def run(self) -> None:
        """Beats for ever."""
        while True:
            try:
                async with reading(self.client.workers.Heartbeat(self._requests())) as responses:
                    async for response in responses:
                        self.connected.set()
                        if self.fetches:
                            await self._fetch(response.desired_state)
            except MoorageError as error:
                self.connected.clear()
                if error.reason is ErrorReason.LEASE_STALE:
                    self.lost += 1
                    await self.register()
            await asyncio.sleep(random.uniform(0.1, 1.0))

    async def _fetch(self, desired: pb.DesiredNodeState) -> None:
        for copy in desired.copies:
            if copy.artifact not in self._fetched:
                self._fetched.add(copy.artifact)
                name = f"{copy.artifact}/copies/{self.name.removeprefix('workers/')}"
                report = ReportArtifactCopyRequest(
                    name=name, lease_id=self.lease_id, state=COPY_STATE_READY, done_bytes=1000
                )
                await self.client.artifacts.ReportArtifactCopy(report)

    async def _requests(self) -> AsyncIterator[pb.HeartbeatRequest]:
        while True:
            request = pb.HeartbeatRequest(worker=self.name, lease_id=self.lease_id)
            if self.beats % _MEASURED_EVERY == self.number % _MEASURED_EVERY:
                request.measurements.foreign_bytes["ram"] = random.randrange(GIB)
                request.measurements.instances.extend(map(_measured, self.instances))
            self.beats += 1
            yield request
            await asyncio.sleep(self.interval_s)


def _measured(instance: instance_pb2.Instance) -> pb.InstanceMeasurement:
    return pb.InstanceMeasurement(
        instance_uid=instance.uid,
        generation=instance.generation,
        performance=instance_pb2.InstancePerformance(
            decode_tokens_per_s=random.uniform(10, 100), concurrent_requests=1.0, generated_tokens=1000
        ),
    )
