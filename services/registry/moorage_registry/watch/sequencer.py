"""Gives committed changes their revisions.

Whichever replica holds a session lock leads; the others wait for the lock, and tell the leader when they have committed
something. The lock only keeps replicas from contending; what keeps the order right is in `store.events`.
"""

import asyncio

from moorage_common.runtime.logs import get_logger
from moorage_registry.store import events
from moorage_registry.store.database import Database
from moorage_registry.store.session import Session, open_session

log = get_logger(__name__)

_LEADER_LOCK = 0x6D6F6F73
_BATCH = 1000
_PING_S = 20.0
"""How long a session whose end nobody noticed can go on, in seconds."""
_ELECTION_S = 30.0
"""Likewise, of one that waits for the lock."""
_GATHER_S = 0.003
"""Commits within this time are sequenced, or announced to the leading replica, as one, in seconds."""


class Sequencer:
    """One replica's part in sequencing."""

    def __init__(self, database: Database, url: str) -> None:
        """Takes the pool that sequences, and the URL of the session that holds the lock."""
        self._database = database
        self._url = url

    async def run(self) -> None:
        """Leads or follows until a session breaks; its supervisor runs it again."""
        async with open_session(self._url) as session:
            await self._follow_until_elected(session)
            log.info("leading the sequence of changes")
            await self._lead(session)

    async def _follow_until_elected(self, session: Session) -> None:
        electing = asyncio.create_task(_elect(session))
        try:
            async with open_session(self._url) as messenger:
                while not await self._committed_before(electing):
                    self._database.committed.clear()
                    await messenger.notify(events.CHANNEL_OUTBOX)
                    await asyncio.sleep(_GATHER_S)
            electing.result()
        finally:
            electing.cancel()
            await asyncio.gather(electing, return_exceptions=True)

    async def _committed_before(self, electing: asyncio.Task[None]) -> bool:
        """Waits for a commit of this replica, or for its election; returns whether it is elected."""
        committed = asyncio.create_task(self._database.committed.wait())
        try:
            await asyncio.wait({committed, electing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            committed.cancel()
        return electing.done()

    async def _lead(self, session: Session) -> None:
        await session.listen(events.CHANNEL_OUTBOX, self._database.committed.set)
        while True:
            self._database.committed.clear()
            async with self._database.alone() as connection:
                count = await events.sequence(connection, _BATCH)
            if count < _BATCH:
                await self._wait(session)

    async def _wait(self, session: Session) -> None:
        try:
            async with asyncio.timeout(_PING_S):
                await self._database.committed.wait()
        except TimeoutError:
            await session.ping()
        # The session is the leadership: a leader whose session is gone must not go on as one.
        session.check()
        await asyncio.sleep(_GATHER_S)


async def _elect(session: Session) -> None:
    while not await session.lock(_LEADER_LOCK, within_s=_ELECTION_S):
        pass
