"""Gives committed changes their revisions.

Whichever replica holds a session lock leads; the others tell it when they have committed something. The lock
only keeps replicas from contending; what keeps the order right is in `store.events`.
"""

import asyncio

import asyncpg

from moorage_common.runtime.logs import get_logger
from moorage_registry.store import events
from moorage_registry.store.database import Database

log = get_logger(__name__)

_LEADER_LOCK = 0x6D6F6F73
_BATCH = 1000
_FALLBACK_S = 1.0
"""How long a commit whose wake-up was lost can wait, in seconds."""
_COALESCE_S = 0.005
"""Commits within this time are announced to the leading replica as one, in seconds."""


class Sequencer:
    """One replica's part in sequencing."""

    def __init__(self, database: Database, url: str) -> None:
        """Takes the pool that sequences, and the URL of the session that holds the lock."""
        self._database = database
        self._url = url

    async def run(self) -> None:
        """Leads or follows until the session breaks; its supervisor runs it again."""
        session = await asyncpg.connect(self._url, timeout=5)
        try:
            while not await session.fetchval("SELECT pg_try_advisory_lock($1)", _LEADER_LOCK):
                await self._follow(session)
            log.info("leading the sequence of changes")
            await self._lead(session)
        finally:
            session.terminate()

    async def _lead(self, session: asyncpg.Connection) -> None:
        await session.add_listener(events.CHANNEL_OUTBOX, self._wake)
        while True:
            self._database.committed.clear()
            async with self._database.engine.connect() as connection:
                count = await events.sequence(connection, _BATCH)
                await connection.commit()
            if count < _BATCH and not await self._wait():
                # The session is the leadership: a leader whose session is gone must not go on as one.
                await session.execute("SELECT 1")

    async def _follow(self, session: asyncpg.Connection) -> None:
        if await self._wait():
            self._database.committed.clear()
            await session.execute(f"NOTIFY {events.CHANNEL_OUTBOX}")
            await asyncio.sleep(_COALESCE_S)

    async def _wait(self) -> bool:
        try:
            async with asyncio.timeout(_FALLBACK_S):
                await self._database.committed.wait()
        except TimeoutError:
            return False
        return True

    def _wake(self, *_: object) -> None:
        self._database.committed.set()
