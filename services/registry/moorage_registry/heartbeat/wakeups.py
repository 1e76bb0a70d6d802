"""Tells the stream of each connected agent when what its node should hold and run may have changed."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from moorage_registry.watch.tail import EventTail


class Signal:
    """Wakes one stream, and remembers whether to look at its node's assignments."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()
        self._changed = False

    def change(self) -> None:
        """The node's assignments may have changed."""
        self._changed = True
        self._wake.set()

    def wake(self) -> None:
        """Something else is to be said."""
        self._wake.set()

    async def wait(self) -> None:
        """Waits until there is something to do."""
        await self._wake.wait()

    def take(self) -> bool:
        """Whether the assignments may have changed since this was last asked; the stream waits again."""
        self._wake.clear()
        changed, self._changed = self._changed, False
        return changed


class NodeWakeups:
    """One signal per connected agent, given by changes that concern its node."""

    def __init__(self, tail: EventTail) -> None:
        """Takes the tail that tells of changes."""
        self._tail = tail
        self._connected: dict[str, set[Signal]] = defaultdict(set)

    @contextmanager
    def subscribe(self, worker_id: str) -> Iterator[Signal]:
        """Yields a signal that is given whenever something that concerns the node changed; it is given at first."""
        signal = Signal()
        signal.change()
        self._connected[worker_id].add(signal)
        try:
            yield signal
        finally:
            self._connected[worker_id].discard(signal)
            if not self._connected[worker_id]:
                del self._connected[worker_id]

    async def run(self) -> None:
        """Passes changes on, for ever."""
        await self._tail.wait_ready()
        start = self._tail.revision
        # What happened while nobody listened is unknown: everybody looks again.
        for everybody in self._connected.values():
            for signal in everybody:
                signal.change()
        async for advance in self._tail.follow(start):
            for worker_id in {worker for event in advance.events for worker in event.workers}:
                for signal in self._connected.get(worker_id, ()):
                    signal.change()
