"""Reads an engine's log to whoever asks, and on as it grows."""

import asyncio
from collections.abc import AsyncIterator

from moorage_agent.engines.log_file import LogChunk, LogFile

_LOOK_EVERY_S = 0.2


async def follow_log(log: LogFile, *, tail_lines: int, offset: int, follow: bool) -> AsyncIterator[LogChunk]:
    """Yields what an engine printed.

    Args:
        log: The engine's log.
        tail_lines: Start with so many of the last lines. 0: at the offset.
        offset: Where to start, in bytes since the first that was ever printed.
        follow: Whether to go on as more is printed, for ever; the engine may be started again.
    """
    if tail_lines:
        offset = await asyncio.to_thread(log.tail_offset, tail_lines)
    while True:
        chunk = await asyncio.to_thread(log.read, offset)
        offset = chunk.next_offset
        if chunk.data:
            yield chunk
        elif follow:
            await asyncio.sleep(_LOOK_EVERY_S)
        else:
            return
