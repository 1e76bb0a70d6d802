"""Channels of the mesh: the one place where they are made.

Most code wants the typed clients in `moorage_common.rpc.clients`, which open channels by this module.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from opentelemetry.instrumentation.grpc import aio_client_interceptors

from moorage_common.core.address import Address, require_plaintext_allowed
from moorage_common.rpc.outgoing import CallDefaults, outgoing_interceptors
from moorage_common.rpc.retries import service_config
from moorage_common.runtime.telemetry import Telemetry


class _Cancellable(Protocol):
    def cancel(self) -> bool: ...


CallT = TypeVar("CallT", bound=_Cancellable)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelConfig:
    """Whom a channel speaks to, and how."""

    target: str
    """HOST:PORT of the server."""
    insecure: bool = False
    """Whether it may speak plaintext to an address other than loopback."""
    wait_for_ready: bool = False
    """Whether calls wait, up to their deadline, for a server that is not there yet, instead of failing
    with `Unavailable` at once."""
    default_deadline_s: float = 30.0
    """Seconds that a unary call may take that is given no ``timeout``. Streams have none by default."""
    max_receive_bytes: int = 64 * 1024 * 1024
    """The largest response it reads."""
    keepalive_s: float = 20.0
    """A connection on which nothing arrives for so many seconds is probed."""
    keepalive_timeout_s: float = 10.0
    """A probe that is not answered for so many seconds ends the connection and its calls."""
    actor: str = ""
    """Who calls, e.g. "ada@bridge": goes with every call, for the registry's audit records. Printable ASCII.
    Whoever asked for the call being served goes before it. Empty: not said."""


def open_channel(
    config: ChannelConfig, *, telemetry: Telemetry, services: Iterable[ServiceDescriptor] = ()
) -> grpc.aio.Channel:
    """Opens a channel whose calls raise MoorageErrors.

    It connects when it is first used. Close it, or use it as an async context manager.

    Args:
        config: Whom to speak to, and how.
        telemetry: Makes the spans.
        services: Those whose reading methods are repeated when the server cannot be reached.

    Raises:
        InvalidArgument: The target is not an address.
        FailedPrecondition: The target is not loopback and the configuration is not insecure.
    """
    address = Address.parse(config.target, field="target")
    require_plaintext_allowed(address, insecure=config.insecure)
    defaults = CallDefaults(
        target=config.target,
        default_deadline_s=config.default_deadline_s,
        wait_for_ready=config.wait_for_ready,
        actor=config.actor,
    )
    spans = aio_client_interceptors(tracer_provider=telemetry.tracer_provider)  # type: ignore[no-untyped-call]
    return grpc.aio.insecure_channel(
        str(address),
        options=_options(config, services),
        interceptors=outgoing_interceptors(defaults, spans),
    )


@asynccontextmanager
async def reading(call: CallT) -> AsyncIterator[CallT]:
    """Ends a streaming call when its reader leaves, however it leaves.

    ``async for`` alone does not: a stream that is left early stays open until it is collected as garbage.

        async with reading(registry.watch.Watch(request)) as events:
            async for event in events:
                ...
    """
    try:
        yield call
    finally:
        call.cancel()


def _options(config: ChannelConfig, services: Iterable[ServiceDescriptor]) -> list[tuple[str, int | str]]:
    return [
        ("grpc.service_config", service_config(services)),
        ("grpc.max_receive_message_length", config.max_receive_bytes),
        # What is sent is bounded by the server, which says so in its error.
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", int(config.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", int(config.keepalive_timeout_s * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # A server that restarts is found again within seconds; gRPC's own cap is two minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # Services are reached as configured, never by a proxy that the environment names for the web.
        ("grpc.enable_http_proxy", 0),
    ]
