"""What time alone decides: leases that lapse, answers and events that grow old. Any replica may do any of it."""

import asyncio
from datetime import timedelta

from moorage_common.core.errors import Unavailable
from moorage_common.runtime.logs import get_logger
from moorage_registry.store import events, instances, requests, workers
from moorage_registry.store.database import Database

log = get_logger(__name__)

_LAPSE_INTERVAL_S = 1.0
_AGE_INTERVAL_S = 60.0


class Housekeeping:
    """The registry's periodic work."""

    def __init__(
        self, database: Database, *, lease_ttl: timedelta, replace_after: timedelta, kept_events: int
    ) -> None:
        """Describes what grows old when.

        Args:
            database: The pool to write with.
            lease_ttl: How long a worker's lease lives.
            replace_after: How long an instance may be UNREACHABLE before its model gets another one.
            kept_events: How many events watchers can go back.
        """
        self._database = database
        self._lease_ttl = lease_ttl
        self._replace_after = replace_after
        self._kept_events = kept_events

    async def lapse(self) -> None:
        """Marks what lost its lease, for ever."""
        while True:
            try:
                await self._lapse_once()
            except Unavailable as error:
                log.warning("no lease lapses while the database is away", error=error.message)
                await self._until_agents_could_come_back()
            await asyncio.sleep(_LAPSE_INTERVAL_S)

    async def _lapse_once(self) -> None:
        lapsed = await self._database.transact(workers.mark_lapsed)
        if lapsed:
            log.warning("workers are unreachable: their leases lapsed", workers=lapsed)
        moved = await self._database.transact(instances.release_lapsed)
        replaced = await self._database.transact(
            lambda tx: instances.replace_unreachable(tx, self._replace_after)
        )
        if moved or replaced:
            log.warning("instances lost their worker", moved=moved, replaced=replaced)

    async def _until_agents_could_come_back(self) -> None:
        """While the database was away nobody could renew a lease: everybody gets the time of one to register again."""
        while True:
            try:
                await self._database.ping()
                break
            except Unavailable:
                await asyncio.sleep(_LAPSE_INTERVAL_S)
        await asyncio.sleep(self._lease_ttl.total_seconds())

    async def age(self) -> None:
        """Drops what is too old, for ever."""
        while True:
            await self._database.transact(requests.forget_old)
            await self._database.transact(lambda tx: events.compact(tx.connection, self._kept_events))
            await asyncio.sleep(_AGE_INTERVAL_S)
