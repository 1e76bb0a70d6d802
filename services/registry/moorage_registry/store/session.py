"""A database session outside the pool, for what lives as long as a session does: locks and notifications."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg

from moorage_common.core.errors import ErrorReason, Unavailable
from moorage_registry.store.database import translated

_COMMAND_TIMEOUT_S = 10.0
"""Nothing that a session does takes long, but for waiting: silence for so many seconds means that it is dead."""


class Session:
    """One session."""

    def __init__(self, connection: "asyncpg.Connection") -> None:
        """Takes the open connection."""
        self._connection = connection

    async def lock(self, key: int, *, within_s: float) -> bool:
        """Waits for an advisory lock that is then held until the session ends; returns whether it was got."""
        try:
            await self._connection.execute("SELECT pg_advisory_lock($1)", key, timeout=within_s)
        except TimeoutError:
            return False
        return True

    async def listen(self, channel: str, heard: Callable[[], None]) -> None:
        """Calls a function for every notification on a channel, and when the session ends."""
        await self._connection.add_listener(channel, lambda *_: heard())
        self._connection.add_termination_listener(lambda *_: heard())

    async def notify(self, channel: str) -> None:
        """Notifies whoever listens on a channel."""
        await self._connection.execute("SELECT pg_notify($1, '')", channel)

    async def ping(self) -> None:
        """Raises if the session has ended, also if nobody has noticed yet."""
        await self._connection.execute("SELECT 1")

    def check(self) -> None:
        """Raises if the session is known to have ended.

        Raises:
            Unavailable: It has (DATABASE_UNAVAILABLE).
        """
        if self._connection.is_closed():
            raise Unavailable("the database session ended", reason=ErrorReason.DATABASE_UNAVAILABLE)


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
