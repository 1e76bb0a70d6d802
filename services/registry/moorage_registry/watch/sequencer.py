"""Gives committed changes their revisions.

Whichever replica holds a session lock leads; the others tell it when they have committed something. The lock
only keeps replicas from contending; what keeps the order right is in `store.events`.
"""

import asyncio

from moorage_common.runtime.logs import get_logger
from moorage_registry.store import events
from moorage_registry.store.database import Database
from moorage_registry.store.session import Session, open_session

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
        async with open_session(self._url) as session:
            while not await session.try_lock(_LEADER_LOCK):
                await self._follow(session)
            log.info("leading the sequence of changes")
            await self._lead(session)

    async def _lead(self, session: Session) -> None:
        await session.listen(events.CHANNEL_OUTBOX, self._database.committed.set)
        while True:
            self._database.committed.clear()
            async with self._database.engine.connect() as connection:
                count = await events.sequence(connection, _BATCH)
                await connection.commit()
            if count < _BATCH and not await self._wait():
                # The session is the leadership: a leader whose session is gone must not go on as one.
                await session.ping()

    async def _follow(self, session: Session) -> None:
        if await self._wait():
            self._database.committed.clear()
            await session.notify(events.CHANNEL_OUTBOX)
            await asyncio.sleep(_COALESCE_S)

    async def _wait(self) -> bool:
        try:
            async with asyncio.timeout(_FALLBACK_S):
                await self._database.committed.wait()
        except TimeoutError:
            return False
        return True
