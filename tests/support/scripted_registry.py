"""A registry and scheduler whose answers a test writes, on a real socket.

For what real ones do only at the wrong moment.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from moorage.registry.v1 import (
    artifact_service_pb2_grpc,
    audit_service_pb2_grpc,
    instance_service_pb2_grpc,
    model_service_pb2_grpc,
    watch_service_pb2_grpc,
    worker_service_pb2_grpc,
)
from moorage.scheduler.v1 import scheduler_service_pb2_grpc
from moorage_cli.target import MeshTarget
from moorage_common.rpc.server import RpcServer, ServerConfig
from moorage_common.runtime.telemetry import Telemetry

Handler = Callable[[Any, Any], Any]


class _Services(
    artifact_service_pb2_grpc.ArtifactServiceServicer,
    audit_service_pb2_grpc.AuditServiceServicer,
    instance_service_pb2_grpc.InstanceServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
    watch_service_pb2_grpc.WatchServiceServicer,
    worker_service_pb2_grpc.WorkerServiceServicer,
    scheduler_service_pb2_grpc.SchedulerServiceServicer,
):
    """Services whose methods are a test's handlers."""

    def __init__(self, handlers: dict[str, Handler]) -> None:
        for name, handler in handlers.items():
            setattr(self, name, handler)


@asynccontextmanager
async def scripted_registry(**handlers: Handler) -> AsyncIterator[MeshTarget]:
    """Serves these handlers, named as their methods, and yields where."""
    async with RpcServer(ServerConfig(drain_grace_s=1), telemetry=Telemetry(service="scripted")) as server:
        services = _Services(handlers)
        server.add(artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server, services)
        server.add(audit_service_pb2_grpc.add_AuditServiceServicer_to_server, services)
        server.add(instance_service_pb2_grpc.add_InstanceServiceServicer_to_server, services)
        server.add(model_service_pb2_grpc.add_ModelServiceServicer_to_server, services)
        server.add(watch_service_pb2_grpc.add_WatchServiceServicer_to_server, services)
        server.add(worker_service_pb2_grpc.add_WorkerServiceServicer_to_server, services)
        server.add(scheduler_service_pb2_grpc.add_SchedulerServiceServicer_to_server, services)
        await server.start()
        await server.set_serving()
        yield MeshTarget.at({"registry": server.address, "scheduler": server.address})
