"""Tells the stream of each connected agent when what its node should hold and run may have changed."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from moorage_registry.watch.tail import EventTail


class NodeWakeups:
    """One event per connected agent, set by changes that concern its node."""

    def __init__(self, tail: EventTail) -> None:
        """Takes the tail that tells of changes."""
        self._tail = tail
        self._connected: dict[str, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def subscribe(self, worker_id: str) -> Iterator[asyncio.Event]:
        """Yields an event that is set whenever something that concerns the node changed."""
        changed = asyncio.Event()
        self._connected[worker_id].add(changed)
        try:
            yield changed
        finally:
            self._connected[worker_id].discard(changed)
            if not self._connected[worker_id]:
                del self._connected[worker_id]

    async def run(self) -> None:
        """Passes changes on, for ever."""
        await self._tail.wait_ready()
        start = self._tail.revision
        # What happened while nobody listened is unknown: everybody looks again.
        for everybody in self._connected.values():
            for changed in everybody:
                changed.set()
        async for batch in self._tail.follow(start):
            for worker_id in {event.worker_id for event in batch if event.worker_id}:
                for changed in self._connected.get(worker_id, ()):
                    changed.set()
