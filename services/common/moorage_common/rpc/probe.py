"""Whether a service does its work yet, asked from outside.

It is also a program, for health checks of containers::

    python -m moorage_common.rpc.probe 127.0.0.1:7600

It ends with 0 if the service says SERVING, with 1 if it does not, and with 2 if it was asked wrongly.
"""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Sequence

import grpc
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
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def is_serving(address: str, telemetry: Telemetry) -> bool:
    """Whether the gRPC server on "host:port" says that it serves.

    Raises:
        InvalidArgument: It is not an address.
    """
    # Plaintext, wherever it is: the question tells nothing, and the answer is believed to be no more than a sign.
    channel = open_channel(ChannelConfig(target=address, insecure=True), telemetry=telemetry)
    try:
        # A gRPC channel that was refused waits a second before it tries again: look first.
        return await accepts_connections(address) and await _says_serving(channel)
    finally:
        await channel.close()


async def _says_serving(channel: grpc.aio.Channel) -> bool:
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        response = await check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S)
    except MoorageError:
        return False
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


def main(argv: Sequence[str] | None = None) -> int:
    """Asks one service, and returns the exit code.

    Args:
        argv: Arguments without the program's name; the process's own if not given.
    """
    parser = argparse.ArgumentParser(
        prog="moorage_common.rpc.probe", description="Ask a service if it serves."
    )
    parser.add_argument("address", metavar="HOST:PORT", help="where it listens")
    address = parser.parse_args(argv).address
    try:
        serving = asyncio.run(is_serving(address, Telemetry(service="probe")))
    except MoorageError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    sys.stdout.write(f"{address} {'serves' if serving else 'does not serve'}\n")
    return 0 if serving else 1


if __name__ == "__main__":
    sys.exit(main())
