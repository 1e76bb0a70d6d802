"""A database session outside the pool, for what lives as long as a session does: locks and notifications."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg

from moorage_registry.store.database import translated

_COMMAND_TIMEOUT_S = 10.0
"""Nothing that a session does takes long: silence for so many seconds means that it is dead."""


class Session:
    """One session."""

    def __init__(self, connection: "asyncpg.Connection") -> None:
        """Takes the open connection."""
        self._connection = connection

    async def try_lock(self, key: int) -> bool:
        """Takes an advisory lock that is held until the session ends, unless another session holds it."""
        return bool(await self._connection.fetchval("SELECT pg_try_advisory_lock($1)", key))

    async def listen(self, channel: str, heard: Callable[[], None]) -> None:
        """Calls a function for every notification on a channel, until the session ends."""
        await self._connection.add_listener(channel, lambda *_: heard())

    async def notify(self, channel: str) -> None:
        """Notifies whoever listens on a channel."""
        await self._connection.execute("SELECT pg_notify($1, '')", channel)

    async def ping(self) -> None:
        """Raises if the session has ended."""
        await self._connection.execute("SELECT 1")


@asynccontextmanager
async def open_session(url: str) -> AsyncIterator[Session]:
    """Opens a session to ``postgresql://…``, and ends it.

    Raises:
        Unavailable: The database is away, at once or while the session is used (DATABASE_UNAVAILABLE).
    """
    with translated():
        connection = await asyncpg.connect(url, timeout=5, command_timeout=_COMMAND_TIMEOUT_S)
        try:
            yield Session(connection)
        finally:
            connection.terminate()
