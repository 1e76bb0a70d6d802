"""An agent in a mesh whose other parts the test plays: registry for real, downloader and scheduler by hand."""

import asyncio
import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from fleet_tools import GIB, Fleet

from moorage.agent.v1 import agent_service_pb2 as agent_pb
from moorage.downloader.v1 import blob_service_pb2 as blob_pb
from moorage.downloader.v1 import blob_service_pb2_grpc
from moorage.registry.v1 import artifact_pb2, artifact_service_pb2, instance_pb2, model_pb2
from moorage_common.core.errors import ErrorReason, NotFound
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import AgentClient
from moorage_common.rpc.server import RpcServer, ServerConfig
from moorage_common.runtime.telemetry import Telemetry

T = TypeVar("T")
StartAgent = Callable[..., "AgentProcess"]

TELEMETRY = Telemetry(service="test")
WORKER = "node-a"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def eventually(
    probe: Callable[[], Awaitable[T]], check: Callable[[T], bool], within_s: float = 30
) -> T:
    """Waits until what a probe finds is as it should be; returns it."""
    found: T | None = None
    try:
        async with asyncio.timeout(within_s):
            while True:
                found = await probe()
                if check(found):
                    return found
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not so within {within_s} s; last: {found}") from None


@dataclass
class BlobServer(blob_service_pb2_grpc.BlobServiceServicer):
    """Serves one file under any artifact, and misbehaves when told to."""

    content: bytes
    address: str = ""
    flips: int = 0
    """So many readings get a wrong first byte."""
    gone: bool = False
    reads: list[int] = field(default_factory=list)
    """Offsets that were asked for."""

    async def ReadBlob(self, request, context) -> AsyncIterator[blob_pb.ReadBlobResponse]:  # noqa: N802
        self.reads.append(request.offset_bytes)
        if self.gone:
            raise NotFound("not held here", reason=ErrorReason.BLOB_NOT_FOUND)
        content = self.content[request.offset_bytes :]
        if self.flips:
            self.flips -= 1
            content = b"?" + content[1:]
        for start in range(0, len(content), 2**16):
            yield blob_pb.ReadBlobResponse(data=content[start : start + 2**16])
        yield blob_pb.ReadBlobResponse(sha256=hashlib.sha256(self.content).hexdigest())


@asynccontextmanager
async def serve_blobs(content: bytes) -> AsyncIterator[BlobServer]:
    blobs = BlobServer(content)
    async with RpcServer(ServerConfig(drain_grace_s=0.2), telemetry=TELEMETRY) as server:
        server.add(blob_service_pb2_grpc.add_BlobServiceServicer_to_server, blobs)
        await server.start()
        blobs.address = server.address
        yield blobs


@dataclass
class AgentProcess:
    """``python -m moorage_agent``, as a process of its own."""

    process: subprocess.Popen[bytes]
    output: Path
    address: str

    @classmethod
    def start(
        cls,
        *,
        registry: str,
        data_dir: Path,
        logs: Path,
        port: int,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> "AgentProcess":
        output = logs / f"agent-{port}.log"
        address = f"127.0.0.1:{port}"
        flags = ["--listen", address, "--registry-address", registry, "--data-dir", str(data_dir)]
        flags += ["--worker-name", WORKER, "--drain-grace-s", "1", "--engine-check-interval-s", "0.5"]
        with output.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "moorage_agent", *flags, *arguments],
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], **environment},
            )
        return cls(process, output, address)

    def said(self) -> str:
        return self.output.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await self.wait()

    async def wait(self) -> int:
        return await asyncio.to_thread(self.process.wait, 30)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AgentClient]:
        config = ChannelConfig(target=self.address, wait_for_ready=True)
        async with AgentClient.connect(config, telemetry=TELEMETRY) as client:
            yield client

    async def engines(self) -> list[agent_pb.Engine]:
        async with self.client() as client:
            return list((await client.agent.ListEngines(agent_pb.ListEnginesRequest())).engines)


@dataclass
class PlayedMesh:
    """Deploys the tiny model on the one worker, by the registry's API alone."""

    fleet: Fleet
    blobs: BlobServer

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.blobs.content).hexdigest()

    def artifact(self) -> artifact_pb2.Artifact:
        artifact = self.fleet.artifact(artifact_id="tiny-artifact", size=len(self.blobs.content))
        artifact.files[0].sha256 = self.digest
        artifact.files[0].digest_origin = artifact_pb2.DIGEST_ORIGIN_SOURCE
        return artifact

    async def until_ready(self) -> None:
        """Waits until the worker is READY."""
        from moorage.registry.v1 import worker_pb2

        async def state() -> int:
            try:
                return (await self.fleet.worker(WORKER)).state
            except NotFound:
                return 0

        await eventually(state, lambda found: found == worker_pb2.WORKER_STATE_READY)

    async def nominate(self) -> None:
        """Creates the model, resolves its source, and nominates its instance for the worker."""
        options = {"context_length": 256, "threads": 1}
        await self.fleet.create(llama_cpp=options)
        await self.fleet.resolve_all(self.artifact())
        await self.until_ready()
        [instance] = await self.fleet.instances()
        [result] = await self.fleet.nominate((instance, WORKER))
        assert result.status.code == 0, result.status

    async def pull(self) -> None:
        """Takes the waiting pull on, so that the agent knows where to read."""
        await self.fleet.lease_pulls(address=self.blobs.address)

    async def finish_pull(self, lease: artifact_service_pb2.PullLease) -> None:
        """Reports a pull as whole."""
        pulled = artifact_service_pb2.PulledFiles(files=self.artifact().files)
        await self.fleet.client.artifacts.ReportPull(
            artifact_service_pb2.ReportPullRequest(lease_id=lease.lease_id, pulled=pulled)
        )

    async def bind(self) -> None:
        """Binds the instance once the worker has the artifact."""
        instance = await self.until_instance(instance_pb2.INSTANCE_STATE_FETCHED)
        binding = self.fleet.binding(instance, WORKER, size=GIB, pool="ram")
        binding.placement.context_length = 256
        [result] = await self.fleet.bind(binding)
        assert result.status.code == 0, result.status

    async def deploy(self) -> instance_pb2.Instance:
        """All of it; returns the instance, RUNNING."""
        await self.nominate()
        await self.pull()
        await self.bind()
        return await self.until_instance(instance_pb2.INSTANCE_STATE_RUNNING)

    async def until_instance(
        self, state: int, check: Callable[[instance_pb2.Instance], bool] = lambda _: True
    ) -> instance_pb2.Instance:
        async def probe() -> instance_pb2.Instance:
            [instance] = await self.fleet.instances()
            return instance

        return await eventually(probe, lambda found: found.state == state and check(found))

    async def copy(self) -> artifact_pb2.ArtifactCopy:
        request = artifact_service_pb2.GetArtifactCopyRequest(name=f"artifacts/tiny-artifact/copies/{WORKER}")
        return (await self.fleet.client.artifacts.GetArtifactCopy(request)).copy

    async def model(self) -> model_pb2.Model:
        return await self.fleet.model()
