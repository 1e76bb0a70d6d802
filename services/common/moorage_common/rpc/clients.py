"""Typed clients of the four services: their stubs by group, over a channel of the mesh.

    async with RegistryClient.connect(ChannelConfig(target="127.0.0.1:7600"), telemetry=telemetry) as registry:
        model = (await registry.models.GetModel(GetModelRequest(name="models/llama3"))).model

Calls raise the MoorageError that the server's handler raised.
"""

from collections.abc import Iterable
from types import TracebackType
from typing import ClassVar, Self

import grpc
from google.protobuf.descriptor import FileDescriptor

from moorage.agent.v1 import agent_service_pb2, agent_service_pb2_grpc
from moorage.downloader.v1 import (
    blob_service_pb2,
    blob_service_pb2_grpc,
    download_service_pb2,
    download_service_pb2_grpc,
)
from moorage.registry.v1 import (
    artifact_service_pb2,
    artifact_service_pb2_grpc,
    audit_service_pb2,
    audit_service_pb2_grpc,
    instance_service_pb2,
    instance_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    watch_service_pb2,
    watch_service_pb2_grpc,
    worker_service_pb2,
    worker_service_pb2_grpc,
)
from moorage.scheduler.v1 import scheduler_service_pb2, scheduler_service_pb2_grpc
from moorage_common.rpc.channels import ChannelConfig, open_channel
from moorage_common.runtime.telemetry import Telemetry


class Client:
    """A channel and the stubs on it. As an async context manager it closes the channel."""

    files: ClassVar[Iterable[FileDescriptor]] = ()
    """The protos of the services that the client calls."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes over a channel: closing the client closes it."""
        self.channel = channel

    @classmethod
    def connect(cls, config: ChannelConfig, *, telemetry: Telemetry) -> Self:
        """Makes a client with a channel of its own. It connects when it is first used.

        Raises:
            InvalidArgument: The target is not an address.
            FailedPrecondition: The target is not loopback and the configuration is not insecure.
        """
        services = [service for file in cls.files for service in file.services_by_name.values()]
        return cls(open_channel(config, telemetry=telemetry, services=services))

    async def close(self) -> None:
        """Closes the channel, and ends the calls that are open on it."""
        await self.channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class RegistryClient(Client):
    """Calls the registry."""

    files = (
        worker_service_pb2.DESCRIPTOR,
        model_service_pb2.DESCRIPTOR,
        instance_service_pb2.DESCRIPTOR,
        artifact_service_pb2.DESCRIPTOR,
        watch_service_pb2.DESCRIPTOR,
        audit_service_pb2.DESCRIPTOR,
    )

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self.workers = worker_service_pb2_grpc.WorkerServiceStub(channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(channel)
        self.instances = instance_service_pb2_grpc.InstanceServiceStub(channel)
        self.artifacts = artifact_service_pb2_grpc.ArtifactServiceStub(channel)
        self.watch = watch_service_pb2_grpc.WatchServiceStub(channel)
        self.audit = audit_service_pb2_grpc.AuditServiceStub(channel)


class SchedulerClient(Client):
    """Calls the scheduler."""

    files = (scheduler_service_pb2.DESCRIPTOR,)

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self.scheduler = scheduler_service_pb2_grpc.SchedulerServiceStub(channel)


class DownloaderClient(Client):
    """Calls a downloader, or whoever else serves blobs."""

    files = (download_service_pb2.DESCRIPTOR, blob_service_pb2.DESCRIPTOR)

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self.downloads = download_service_pb2_grpc.DownloadServiceStub(channel)
        self.blobs = blob_service_pb2_grpc.BlobServiceStub(channel)


class AgentClient(Client):
    """Calls an agent."""

    files = (agent_service_pb2.DESCRIPTOR,)

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self.agent = agent_service_pb2_grpc.AgentServiceStub(channel)
