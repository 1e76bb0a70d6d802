"""What all connected agents send, kept in memory and written together: few statements, however many agents there are.

A lease is promised no longer than it is written: an agent hears of its renewal once that is in the database, so a
registry that dies takes nothing with it that anybody counts on.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from moorage_common.core.clock import Clock
from moorage_common.core.errors import MoorageError
from moorage_registry.store import workers
from moorage_registry.store.database import Database
from moorage_registry.store.workers import Measured, Renewal

_SHARE_OF_TTL = 1 / 6
"""For how much of a lease's life heartbeats are gathered: agents send three in that time."""
_LONGEST_S = 2.5
_MEASUREMENTS_S = 10.0
"""Between two writings of measurements: a placement can wait for them, a lease cannot."""


@dataclass(slots=True)
class _Beat:
    """The heartbeats of one lease since the last batch."""

    received_s: float
    written: "asyncio.Future[datetime]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class HeartbeatBatch:
    """Gathers heartbeats, and writes leases and measurements."""

    def __init__(self, database: Database, clock: Clock, *, lease_ttl: timedelta) -> None:
        """Takes the pool to write with, what measures how long a heartbeat waited, and how long a lease lives."""
        self._database = database
        self._clock = clock
        self._ttl = lease_ttl
        self._gather_s = min(lease_ttl.total_seconds() * _SHARE_OF_TTL, _LONGEST_S)
        self._waiting: dict[tuple[str, str], _Beat] = {}
        self._measured: dict[str, Measured] = {}
        self._measured_at = -_MEASUREMENTS_S
        self._asked = asyncio.Event()

    async def take(self, worker_id: str, lease_id: str, measured: Measured) -> datetime:
        """Takes a heartbeat, and returns when its lease expires once that is written.

        Raises:
            Aborted: The lease was replaced or has lapsed (LEASE_STALE).
            Unavailable: The database is away.
        """
        now = self._clock.monotonic()
        beat = self._waiting.setdefault((worker_id, lease_id), _Beat(now))
        beat.received_s = now
        if not measured.empty:
            known = self._measured.get(worker_id, Measured())
            self._measured[worker_id] = known.with_newer(measured)
        self._asked.set()
        return await asyncio.shield(beat.written)

    async def run(self) -> None:
        """Writes what was gathered, for ever."""
        while True:
            await self._asked.wait()
            await asyncio.sleep(self._gather_s)
            self._asked.clear()
            waiting, self._waiting = self._waiting, {}
            try:
                expiry = await self._renew(waiting)
                await self._measure()
            except MoorageError as error:
                _fail(waiting.values(), error)
                continue
            except Exception as defect:
                _fail(waiting.values(), defect)
                raise
            for (worker_id, _), beat in waiting.items():
                if worker_id in expiry:
                    beat.written.set_result(expiry[worker_id])
                else:
                    _fail([beat], workers.stale_lease(worker_id))

    async def _renew(self, beats: Mapping[tuple[str, str], _Beat]) -> dict[str, datetime]:
        now = self._clock.monotonic()
        renewals = [
            Renewal(worker_id, lease_id, timedelta(seconds=now - beat.received_s))
            for (worker_id, lease_id), beat in beats.items()
        ]
        async with self._database.alone() as connection:
            return await workers.renew(connection, renewals, self._ttl)

    async def _measure(self) -> None:
        """Writes the measurements, unless some were written a moment ago. Agents send what changed, and only once."""
        now = self._clock.monotonic()
        if not self._measured or now - self._measured_at < _MEASUREMENTS_S:
            return
        measured = dict(self._measured)
        await self._database.transact(lambda tx: workers.measure(tx, measured))
        self._measured_at = now
        # What came meanwhile stays.
        self._measured = {
            worker_id: each
            for worker_id, each in self._measured.items()
            if each is not measured.get(worker_id)
        }


def _fail(beats: Iterable[_Beat], error: Exception) -> None:
    for beat in beats:
        beat.written.set_exception(error)
        # An agent that left meanwhile asks no more; its answer is not a defect.
        beat.written.exception()
