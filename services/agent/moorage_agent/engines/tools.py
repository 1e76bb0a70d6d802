"""Small things that engines need while they are looked for and started."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence

_TIMEOUT_S = 20.0


async def output_of(arguments: Sequence[str]) -> str:
    """Runs a short command and returns what it prints, on both streams; empty if it cannot be run."""
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError:
        return ""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            printed, _ = await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return ""
    return printed.decode(errors="replace")


def free_port(host: str) -> int:
    """Returns a port that nobody listens on now.

    Another may take it first: the engine then fails, and is started again with another one.
    """
    family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
