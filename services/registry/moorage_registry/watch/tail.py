"""The newest events in memory, read from the database once for all watchers of a replica.

A watcher is only a position in this ring: there is no queue per watcher that could overflow. One that begins further
back reads from the database until it has caught up; one that falls out of the ring afterwards is too slow, and is sent
away with the revision to go on from.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from moorage_common.core.errors import ErrorReason, OutOfRange, Unavailable
from moorage_registry.core.records import Kind
from moorage_registry.store import events
from moorage_registry.store.database import Database
from moorage_registry.store.events import StoredEvent
from moorage_registry.store.session import open_session
from moorage_registry.watch.ring import Event, Ring

_BATCH = 1000
_PING_S = 20.0
"""How long a session whose end nobody noticed can go on, in seconds."""

Finish = Callable[[bytes, int], bytes]
"""Adds its revision to an encoded event."""


@dataclass(frozen=True, slots=True)
class Advance:
    """What a watcher gets: events in order, and how far that brings it."""

    events: Sequence[Event]
    """Empty: nothing happened for a while."""
    revision: int
    """Everything up to here has been given."""


class EventTail:
    """Follows the events as they get revisions."""

    def __init__(
        self,
        database: Database,
        url: str,
        *,
        finish: Finish,
        max_events: int = 20_000,
        max_bytes: int = 16 << 20,
    ) -> None:
        """Describes what to follow, and how much of it to hold.

        Args:
            database: The pool to read from.
            url: Of the session that listens.
            finish: Adds its revision to an encoded event.
            max_events: Events to hold at most.
            max_bytes: Encoded bytes to hold at most.
        """
        self._database = database
        self._url = url
        self._finish = finish
        self._ring = Ring(max_events=max_events, max_bytes=max_bytes)
        self._revision = -1
        self._notified = asyncio.Event()
        self._grown = asyncio.Event()

    @property
    def revision(self) -> int:
        """The newest revision that was read; -1 before the first read."""
        return self._revision

    def heed(self, revision: int) -> None:
        """Reads on if there is a newer revision than what was read: its notification may have been lost."""
        if revision > self._revision:
            self._notified.set()

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
                    async with asyncio.timeout(_PING_S):
                        await self._notified.wait()
                except TimeoutError:
                    await session.ping()
                session.check()

    async def follow(self, after: int, *, quiet_s: float | None = None) -> AsyncIterator[Advance]:
        """Yields every event after a revision, in order, in batches, for ever.

        Args:
            after: The last revision that the watcher has.
            quiet_s: Yield an empty advance whenever nothing happened for so many seconds. None: never.

        Raises:
            OutOfRange: The revision is compacted or never was (REVISION_COMPACTED).
            Unavailable: The watcher was slower than what happens (WATCHER_TOO_SLOW).
        """
        position, caught_up = after, False
        while True:
            grown = self._grown
            batch = self._ring_after(position)
            if batch is None:
                if caught_up:
                    raise _too_slow(position)
                batch = await self._database_after(position)
            else:
                caught_up = True
            if batch:
                position = batch[-1].revision
                yield Advance(batch, position)
            elif not await _set_within(grown, quiet_s):
                yield Advance((), position)

    async def _read_new(self) -> None:
        async with self._database.read() as connection:
            if self._revision < 0:
                self._revision = (await events.bounds(connection)).revision
                self._wake()
            more = True
            while more:
                found = await events.after(connection, self._revision, _BATCH)
                more = len(found) == _BATCH
                if found:
                    self._ring.extend(self._finished(found))
                    self._revision = found[-1].revision
                    self._wake()

    def _wake(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def _ring_after(self, position: int) -> Sequence[Event] | None:
        return () if position == self._revision else self._ring.after(position, _BATCH)

    async def _database_after(self, position: int) -> Sequence[Event]:
        async with self._database.read(snapshot=True) as connection:
            bounds = await events.bounds(connection)
            if not bounds.compacted <= position <= bounds.revision:
                raise OutOfRange(
                    f"revision {position} is not among those kept, {bounds.compacted} to {bounds.revision}",
                    reason=ErrorReason.REVISION_COMPACTED,
                    remedy="Watch again with initial_state.",
                    metadata={"oldest": str(bounds.compacted), "newest": str(bounds.revision)},
                )
            return self._finished(await events.after(connection, position, _BATCH))

    def _finished(self, found: Sequence[StoredEvent]) -> list[Event]:
        return [
            Event(e.revision, Kind(e.kind), e.name, tuple(e.worker_ids), self._finish(e.event, e.revision))
            for e in found
        ]


async def _set_within(event: asyncio.Event, seconds: float | None) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _too_slow(position: int) -> Unavailable:
    return Unavailable(
        "more changes wait for this watcher than are held in memory",
        reason=ErrorReason.WATCHER_TOO_SLOW,
        remedy=f"Watch again, after revision {position}, and read faster.",
        metadata={"resume_after_revision": str(position)},
        retry_after_s=1.0,
    )
