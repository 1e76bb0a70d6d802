"""Leases of all connected agents, renewed together: one statement for a replica, however many agents it serves."""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from moorage_common.core.errors import MoorageError
from moorage_registry.store import workers
from moorage_registry.store.database import Database, Transaction

_GATHER_S = 0.25
"""For how long heartbeats are gathered into one statement, in seconds."""

_Key = tuple[str, str]


class LeaseRenewer:
    """Gathers heartbeats and renews their leases."""

    def __init__(self, database: Database, ttl: timedelta) -> None:
        """Takes the pool to write with, and how long a renewed lease lives."""
        self._database = database
        self._ttl = ttl
        self._waiting: dict[_Key, asyncio.Future[datetime]] = {}
        self._asked = asyncio.Event()

    async def renew(self, worker_id: str, lease_id: str) -> datetime:
        """Renews one lease with the next statement, and returns when it expires.

        Raises:
            Aborted: The lease was replaced or has lapsed (LEASE_STALE).
        """
        key = (worker_id, lease_id)
        if key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().create_future()
        self._asked.set()
        return await asyncio.shield(self._waiting[key])

    async def run(self) -> None:
        """Renews what was asked for, for ever."""
        while True:
            await self._asked.wait()
            await asyncio.sleep(_GATHER_S)
            self._asked.clear()
            waiting, self._waiting = self._waiting, {}
            try:
                expiry = await self._database.transact(partial(_renew, list(waiting), self._ttl))
            except MoorageError as error:
                _fail(waiting.values(), error)
                continue
            for (worker_id, _), future in waiting.items():
                if worker_id in expiry:
                    future.set_result(expiry[worker_id])
                else:
                    _fail([future], workers.stale_lease(worker_id))


async def _renew(leases: list[_Key], ttl: timedelta, tx: Transaction) -> dict[str, datetime]:
    return await workers.renew(tx, leases, ttl)


def _fail(futures: Iterable[asyncio.Future[datetime]], error: MoorageError) -> None:
    for future in futures:
        future.set_exception(error)
        # An agent that left meanwhile asks no more; its answer is not a defect.
        future.exception()
