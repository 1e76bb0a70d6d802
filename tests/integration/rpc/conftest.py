"""Real servers on real sockets, with services of the mesh whose handlers the tests write."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from moorage.registry.v1 import (
    model_service_pb2_grpc,
    watch_service_pb2_grpc,
    worker_service_pb2_grpc,
)
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import RegistryClient
from moorage_common.rpc.server import RpcServer, ServerConfig
from moorage_common.runtime.logs import configure_logs
from moorage_common.runtime.telemetry import Telemetry

Handler = Callable[[Any, Any], Any]


class Services(
    model_service_pb2_grpc.ModelServiceServicer,
    watch_service_pb2_grpc.WatchServiceServicer,
    worker_service_pb2_grpc.WorkerServiceServicer,
):
    """Services whose methods are replaced by a test's handlers."""

    def __init__(self, **handlers: Handler) -> None:
        for name, handler in handlers.items():
            setattr(self, name, handler)


class Mesh:
    """What one test starts: ended in reverse order when it ends."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.spans = InMemorySpanExporter()
        self.telemetry = Telemetry(service="test")
        self.telemetry.export_to(SimpleSpanProcessor(self.spans))

    async def serve(self, config: ServerConfig | None = None, **handlers: Handler) -> RpcServer:
        """Starts a server, SERVING, with these handlers, named as their methods."""
        server = RpcServer(config or ServerConfig(drain_grace_s=1), telemetry=self.telemetry)
        services = Services(**handlers)
        server.add(model_service_pb2_grpc.add_ModelServiceServicer_to_server, services)
        server.add(watch_service_pb2_grpc.add_WatchServiceServicer_to_server, services)
        server.add(worker_service_pb2_grpc.add_WorkerServiceServicer_to_server, services)
        await self._stack.enter_async_context(server)
        await server.start()
        await server.set_serving()
        return server

    async def connect(self, server: RpcServer | str, **config: Any) -> RegistryClient:
        """Opens a client of the mesh to a server."""
        target = server if isinstance(server, str) else server.address
        client = RegistryClient.connect(ChannelConfig(target=target, **config), telemetry=self.telemetry)
        return await self._stack.enter_async_context(client)

    async def raw_channel(self, server: RpcServer) -> grpc.aio.Channel:
        """Opens a plain gRPC channel, as a stranger would."""
        return await self._stack.enter_async_context(grpc.aio.insecure_channel(server.address))


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with AsyncExitStack() as stack:
        yield Mesh(stack)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Waits until something holds; a test's own time limit bounds it."""

    async def wait(holds: Callable[[], bool]) -> None:
        while not holds():
            await asyncio.sleep(0.005)

    return wait


@pytest.fixture(autouse=True)
def logged() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Reads what has been logged so far, a dictionary per line."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure_logs(style="json", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers = handlers
    root.setLevel(level)
