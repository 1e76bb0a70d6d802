"""What time alone decides: leases that lapse, answers and events that grow old. Any replica may do any of it."""

import asyncio
from datetime import timedelta
from functools import partial

from moorage_common.core.clock import Clock
from moorage_common.core.errors import Unavailable
from moorage_common.runtime.logs import get_logger
from moorage_registry.lookout import Lookout
from moorage_registry.store import drains, events, instances, requests, workers
from moorage_registry.store.database import Database
from moorage_registry.store.glance import Glance

log = get_logger(__name__)

_AGE_INTERVAL_S = 60.0


class Housekeeping:
    """The registry's periodic work."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        lease_ttl: timedelta,
        replace_after: timedelta,
        kept_events: int,
    ) -> None:
        """Describes what grows old when.

        Args:
            database: The pool to write with.
            clock: Measures how long the database has been back.
            lease_ttl: How long a worker's lease lives.
            replace_after: How long an instance may be UNREACHABLE before its model gets another one.
            kept_events: How many events watchers can go back.
        """
        self._database = database
        self._clock = clock
        self._lease_ttl = lease_ttl
        self._replace_after = replace_after
        self._kept_events = kept_events
        self._patient_until = 0.0

    async def lapse(self, lookout: Lookout) -> None:
        """Marks what lost its lease, for ever."""
        async for seen in lookout.looks():
            try:
                await self._lapse(seen)
            except Unavailable as error:
                log.warning("no lease lapses while the database is away", error=error.message)
                self._be_patient()

    async def _lapse(self, seen: Glance | None) -> None:
        if seen is None:
            self._be_patient()
        elif self._clock.monotonic() < self._patient_until:
            return
        elif seen.lapsed or seen.stranded:
            await self._lapse_now()

    def _be_patient(self) -> None:
        """While the database is away nobody can renew a lease: everybody gets the time of one to register again."""
        self._patient_until = self._clock.monotonic() + self._lease_ttl.total_seconds()

    async def _lapse_now(self) -> None:
        lapsed = await self._database.transact(workers.mark_lapsed)
        if lapsed:
            log.warning("workers are unreachable: their leases lapsed", workers=lapsed)
        moved = await self._database.transact(instances.release_lapsed)
        replaced = await self._database.transact(
            lambda tx: instances.replace_unreachable(tx, self._replace_after)
        )
        if moved or replaced:
            log.warning("instances lost their worker", moved=moved, replaced=replaced)

    async def drain(self, lookout: Lookout) -> None:
        """Brings drains on, for ever."""
        async for seen in lookout.looks():
            if seen is None or not seen.draining:
                continue
            try:
                await self._drain_on()
            except Unavailable as error:
                log.warning("drains wait for the database", error=error.message)

    async def _drain_on(self) -> None:
        async with self._database.read() as connection:
            ids = await drains.active(connection)
        for worker_id in ids:
            view = await self._database.transact(partial(drains.settle, worker_id=worker_id))
            if view is not None and view.worker.drain_completed_at is not None:
                log.info("worker is drained", worker=worker_id)

    async def age(self) -> None:
        """Drops what is too old, for ever."""
        while True:
            await self._database.transact(requests.forget_old)
            await self._database.transact(lambda tx: events.compact(tx.connection, self._kept_events))
            await asyncio.sleep(_AGE_INTERVAL_S)
