"""Whether a process does its work yet, asked from outside."""

import asyncio
import contextlib

from grpc_health.v1 import health_pb2

from moorage_common.core.errors import MoorageError
from moorage_common.rpc.channels import ChannelConfig, open_channel
from moorage_common.runtime.telemetry import Telemetry

_TIMEOUT_S = 1.0


async def accepts_connections(address: str) -> bool:
    """Whether something listens on "host:port"."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def is_serving(address: str, telemetry: Telemetry) -> bool:
    """Whether the gRPC server on "host:port" says that it serves."""
    # A gRPC channel that was refused waits a second before it tries again: look first.
    if not await accepts_connections(address):
        return False
    channel = open_channel(ChannelConfig(target=address), telemetry=telemetry)
    try:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        response = await check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S)
    except MoorageError:
        return False
    finally:
        await channel.close()
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
