"""Which loopback ports the processes of a mesh listen on."""

import socket
from collections.abc import Mapping, Sequence

from moorage_common.core.errors import ErrorReason, Unavailable

LOOPBACK = "127.0.0.1"
FIRST_PORT = 7600
_BLOCK = 10
_BLOCKS_TRIED = 500


def choose_addresses(
    names: Sequence[str], *, known: Mapping[str, str], first_port: int = FIRST_PORT
) -> dict[str, str]:
    """Returns "127.0.0.1:port" for every name: the known ones as long as they are free, or a new block.

    A new block is consecutive ports: `first_port` on, or as many tens later as it takes. Fixed ports are
    easier to remember than random ones, and lie below those that the system gives to outgoing connections.

    Args:
        names: At most ten.
        known: Addresses of an earlier start.
        first_port: Where to look for a new block.

    Raises:
        Unavailable: No block is free.
    """
    kept = {name: known[name] for name in names if name in known}
    if len(kept) == len(names) and all(_is_free(_port(address)) for address in kept.values()):
        return kept
    for block in range(_BLOCKS_TRIED):
        start = first_port + block * _BLOCK
        ports = range(start, start + len(names))
        if ports[-1] <= 65535 and all(_is_free(port) for port in ports):
            return {name: f"{LOOPBACK}:{port}" for name, port in zip(names, ports, strict=True)}
    raise Unavailable(
        f"no {len(names)} consecutive loopback ports are free from {first_port} on",
        reason=ErrorReason.SERVICE_UNAVAILABLE,
        remedy="Give another first port with --first-port.",
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: the remains of closed connections do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
