"""Looks at the database again and again, for what no event tells: time has passed, or a notification was lost.

Everything that would otherwise poll hangs on this one look: readiness, the sequencer, the tail of events, and the
housekeeping of leases and drains.
"""

import asyncio
from collections.abc import AsyncIterator

from moorage_common.core.errors import MoorageError
from moorage_registry.store import glance
from moorage_registry.store.database import Database
from moorage_registry.store.failures import cause
from moorage_registry.store.glance import Glance

_INTERVAL_S = 1.5


class Lookout:
    """Looks for ever, and shows what it sees to whoever wants to know."""

    def __init__(self, database: Database) -> None:
        """Takes what to look at."""
        self._database = database
        self._seen: Glance | None = None
        self._next = asyncio.Event()
        self.trouble = ""
        """Why the database did not answer when it last did not."""

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            self._seen = await self._look()
            looked, self._next = self._next, asyncio.Event()
            looked.set()
            await asyncio.sleep(_INTERVAL_S)

    async def looks(self) -> AsyncIterator[Glance | None]:
        """Yields what is seen from now on; None when the database does not answer. Who is slow misses looks."""
        while True:
            await self._next.wait()
            yield self._seen

    async def _look(self) -> Glance | None:
        try:
            async with self._database.read() as connection:
                return await glance.look(connection)
        except MoorageError as error:
            self.trouble = cause(error)
            return None
