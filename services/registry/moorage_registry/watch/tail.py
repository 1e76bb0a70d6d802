"""The newest events in memory, read from the database once for all watchers of a replica.

A watcher is only a position in this ring: there is no queue per watcher that could overflow. One that falls behind the
ring reads on from the database, until what it wants is compacted.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from itertools import islice

from moorage_common.core.errors import ErrorReason, OutOfRange
from moorage_registry.store import events
from moorage_registry.store.database import Database
from moorage_registry.store.events import StoredEvent
from moorage_registry.store.session import open_session

_BATCH = 1000
_FALLBACK_S = 1.0
"""How long an event whose notification was lost can wait, in seconds."""


class EventTail:
    """Follows the events as they get revisions."""

    def __init__(self, database: Database, url: str, *, ring_size: int = 20_000) -> None:
        """Takes the pool to read from, the URL of the session that listens, and how many events to keep."""
        self._database = database
        self._url = url
        self._ring: deque[StoredEvent] = deque(maxlen=ring_size)
        self._revision = -1
        self._notified = asyncio.Event()
        self._grown = asyncio.Event()

    @property
    def revision(self) -> int:
        """The newest revision that was read; -1 before the first read."""
        return self._revision

    async def wait_ready(self) -> None:
        """Waits for the first read."""
        while self._revision < 0:
            await self._grown.wait()

    async def run(self) -> None:
        """Reads new events until the session breaks; its supervisor runs it again."""
        async with open_session(self._url) as session:
            await session.listen(events.CHANNEL_EVENTS, self._notified.set)
            while True:
                self._notified.clear()
                await self._read_new()
                try:
                    async with asyncio.timeout(_FALLBACK_S):
                        await self._notified.wait()
                except TimeoutError:
                    await session.ping()

    async def follow(self, after: int) -> AsyncIterator[Sequence[StoredEvent]]:
        """Yields every event after a revision, in order, in batches, for ever.

        Raises:
            OutOfRange: The revision is compacted or never was (REVISION_COMPACTED).
        """
        position = after
        while True:
            grown = self._grown
            batch = self._from_ring(position)
            if batch is None:
                batch = await self._from_database(position)
            if batch:
                yield batch
                position = batch[-1].revision
            else:
                await grown.wait()

    async def _read_new(self) -> None:
        async with self._database.read() as connection:
            if self._revision < 0:
                self._revision = (await events.bounds(connection)).revision
                self._wake()
            while batch := await events.after(connection, self._revision, _BATCH):
                if batch[0].revision > self._revision + 1:
                    # What lay between was compacted while the database could not be read.
                    self._ring.clear()
                self._ring.extend(batch)
                self._revision = batch[-1].revision
                self._wake()

    def _wake(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def _from_ring(self, position: int) -> Sequence[StoredEvent] | None:
        """What the ring has after a position; None if that begins before the ring or ends after it."""
        if position == self._revision:
            return ()
        if not self._ring or position < self._ring[0].revision - 1 or position > self._revision:
            return None
        # Revisions are consecutive, so a position is an index.
        start = position + 1 - self._ring[0].revision
        return list(islice(self._ring, start, start + _BATCH))

    async def _from_database(self, position: int) -> Sequence[StoredEvent]:
        async with self._database.read(snapshot=True) as connection:
            bounds = await events.bounds(connection)
            if not bounds.compacted <= position <= bounds.revision:
                raise OutOfRange(
                    f"revision {position} is not among those kept, {bounds.compacted} to {bounds.revision}",
                    reason=ErrorReason.REVISION_COMPACTED,
                    remedy="Watch again with initial_state.",
                    metadata={"oldest": str(bounds.compacted), "newest": str(bounds.revision)},
                )
            return await events.after(connection, position, _BATCH)
