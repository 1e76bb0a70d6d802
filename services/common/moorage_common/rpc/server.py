"""Servers of the mesh: the one place where they are made.

async with RpcServer(ServerConfig.of(settings), telemetry=process.telemetry) as server:
    server.add(model_service_pb2_grpc.add_ModelServiceServicer_to_server, ModelServicer(...))
    await server.start()          # listens; health says NOT_SERVING
    await server.set_serving()    # once what the services need is there
    await process.until_stopped()
# drained: health NOT_SERVING, streams ended, calls in progress finished, port closed
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from moorage_common.core.address import Address, require_plaintext_allowed
from moorage_common.core.clock import SystemClock
from moorage_common.core.errors import Unavailable
from moorage_common.rpc.interceptors.chain import server_interceptors
from moorage_common.rpc.reflection import add_reflection
from moorage_common.rpc.services import Handlers, ServiceRecorder
from moorage_common.runtime.config import ServiceSettings
from moorage_common.runtime.logs import get_logger
from moorage_common.runtime.telemetry import Telemetry

log = get_logger(__name__)

ServicerContext = grpc.aio.ServicerContext[Any, Any]
"""What a handler gets beside its request."""

ServicerT = TypeVar("ServicerT")

_MAX_PENDING = 50_000
"""Calls that have come in and are not looked at yet."""
_MAX_PENDING_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """How a server listens, and what it bears."""

    listen: str = "127.0.0.1:0"
    """HOST:PORT. Port 0 takes any free one."""
    insecure: bool = False
    """Whether it may listen in plaintext on an address other than loopback."""
    reflection: bool = True
    """Whether it serves gRPC reflection."""
    drain_grace_s: float = 10.0
    """Seconds that unary calls in progress get to finish when it drains. Streams end at once."""
    max_receive_bytes: int = 16 * 1024 * 1024
    """The largest request it reads."""
    max_unary_calls: int = 1_000
    """The most unary calls at once; more are refused with RESOURCE_EXHAUSTED."""
    max_streams: int = 10_000
    """The most streams at once; likewise."""
    default_deadline_s: float = 60.0
    """Seconds that a unary call may take whose caller set no deadline."""
    keepalive_s: float = 30.0
    """A connection on which nothing arrives for so many seconds is probed."""
    keepalive_timeout_s: float = 10.0
    """A probe that is not answered for so many seconds ends the connection."""
    max_connection_age_s: float = 3600.0
    """Connections are renewed after about so many seconds, so that clients find new replicas."""
    max_connection_age_grace_s: float = 300.0
    """Seconds that calls on an old connection get to finish."""

    @classmethod
    def of(cls, settings: ServiceSettings) -> Self:
        """Takes from a service's settings what concerns its server."""
        return cls(
            listen=settings.listen,
            insecure=settings.insecure,
            reflection=settings.reflection,
            drain_grace_s=settings.drain_grace_s,
        )


class RpcServer:
    """A gRPC server with health, reflection, limits, spans, access log and errors as the mesh has them."""

    def __init__(self, config: ServerConfig, *, telemetry: Telemetry) -> None:
        """Makes a server that does not listen yet.

        Raises:
            InvalidArgument: The address is not one.
            FailedPrecondition: The address is not loopback and the configuration is not insecure.
        """
        self._config = config
        self._address = Address.parse(config.listen, field="listen")
        require_plaintext_allowed(self._address, insecure=config.insecure)
        self.draining = asyncio.Event()
        """Set when the server begins to drain. Its open streams are ended by it; handlers need not look."""
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=server_interceptors(
                telemetry=telemetry,
                clock=SystemClock(),
                draining=self.draining,
                max_unary_calls=config.max_unary_calls,
                max_streams=config.max_streams,
                default_deadline_s=config.default_deadline_s,
            ),
            options=_options(config),
        )
        self._recorder = ServiceRecorder(self._server)

    @property
    def address(self) -> str:
        """HOST:PORT that it listens on, with the real port once it has started."""
        return str(self._address)

    @property
    def port(self) -> int:
        """The port that it listens on, once it has started."""
        return self._address.port

    def add(self, adder: Callable[[ServicerT, grpc.aio.Server], None], servicer: ServicerT) -> None:
        """Adds a service, before `start`.

        Args:
            adder: The generated ``add_…Servicer_to_server``.
            servicer: Its handlers: ``async def`` for single responses, async generators for streams.
        """
        self._recorder.add(adder, servicer)

    def add_handlers(self, service: str, handlers: Handlers) -> None:
        """Adds or replaces single methods of a service, before `start`.

        For methods whose messages are serialised by other means, e.g. once for many streams: a handler
        without a response serialiser yields bytes, and they are sent as they are.

        Args:
            service: Full name, e.g. ``moorage.registry.v1.WatchService``.
            handlers: By method name.
        """
        self._recorder.add_handlers(service, handlers)

    async def start(self) -> None:
        """Begins to listen. Health says NOT_SERVING until `set_serving`.

        Raises:
            Unavailable: The address cannot be listened on: taken, or not one of this machine.
        """
        services = self._recorder.services
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        await self.set_not_serving()
        if self._config.reflection:
            add_reflection([*services, health.SERVICE_NAME], self._server)
        self._address = self._address.with_port(await _bind(self._server, self._address))
        await self._server.start()
        if not self._address.is_loopback:
            log.warning(
                "INSECURE: everybody who reaches this address can read and do everything",
                address=self.address,
            )
        log.info("listening", address=self.address, services=list(services))

    async def set_serving(self, *services: str) -> None:
        """Lets health say SERVING, of the services named or of all and the server as a whole."""
        for service in services or self._health_names():
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def set_not_serving(self, *services: str) -> None:
        """Lets health say NOT_SERVING, of the services named or of all and the server as a whole."""
        for service in services or self._health_names():
            await self._health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)

    async def drain(self) -> None:
        """Stops serving without breaking anything: streams are sent away, unary calls finish."""
        await self._health.enter_graceful_shutdown()
        self.draining.set()
        await self._server.stop(self._config.drain_grace_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain()

    def _health_names(self) -> tuple[str, ...]:
        return (health.OVERALL_HEALTH, *self._recorder.services)


async def _bind(server: grpc.aio.Server, address: Address) -> int:
    """Opens the port and returns its number. gRPC itself says only that it failed, never why."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, target in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(target)
        return server.add_insecure_port(str(address))
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it was taken a moment ago"
        raise Unavailable(
            f"cannot listen on {address}: {why}", remedy="Choose another address with --listen."
        ) from error


def _options(config: ServerConfig) -> list[tuple[str, int]]:
    return [
        # Without it a second server would share the port and get some of the calls.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", config.max_receive_bytes),
        # What is sent is bounded by the client that asked for it.
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", int(config.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", int(config.keepalive_timeout_s * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # Clients of the mesh probe every 20 s; more often than this is abuse.
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        # A burst of calls is answered, if need be by SERVER_BUSY. By default gRPC itself cancels what is over 3,000, or
        # what waits for longer than 30 seconds.
        ("grpc.server.max_pending_requests", _MAX_PENDING),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING),
        ("grpc.server_max_unrequested_time_in_server", _MAX_PENDING_S),
        ("grpc.max_connection_age_ms", int(config.max_connection_age_s * 1000)),
        ("grpc.max_connection_age_grace_ms", int(config.max_connection_age_grace_s * 1000)),
    ]
