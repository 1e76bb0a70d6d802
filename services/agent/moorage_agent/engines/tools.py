"""Small things that engines need while they are looked for and started."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from moorage_agent.engines.contract import EngineUnusable

_TIMEOUT_S = 60.0
"""A build with code for many GPUs takes its time to load from a cold disk."""
_MAX_REASON = 300


class Printed(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


async def printed_by(arguments: Sequence[str], *, environment: Mapping[str, str]) -> Printed:
    """Runs a short command of an engine to its end.

    Args:
        arguments: The program and its arguments; no shell.
        environment: All that it gets.

    Raises:
        EngineUnusable: It cannot be run, fails, or does not end.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
    except OSError as error:
        raise EngineUnusable(f"{arguments[0]}: {error.strerror or type(error).__name__}") from error
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        raise EngineUnusable(f"{arguments[0]}: it did not end within {_TIMEOUT_S:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    printed = Printed(stdout.decode(errors="replace"), stderr.decode(errors="replace"))
    if process.returncode:
        raise EngineUnusable(_why(process.returncode, printed))
    return printed


def free_port(host: str) -> int:
    """Returns a port that nobody listens on now.

    Another may take it first: the engine then fails, and is started again with another one.
    """
    family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _why(code: int, printed: Printed) -> str:
    """Programs say last what was fatal."""
    lines = (printed.stderr.strip() or printed.stdout.strip()).splitlines() or ["it says nothing"]
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"{lines[-1].strip()[:_MAX_REASON]} ({how})"
