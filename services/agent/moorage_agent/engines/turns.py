"""Turns at starting: an engine that loads takes all of the disk and the CPU that it can get, so few do it at a time."""

import asyncio


class StartTurns:
    """Lets so many engines start at the same time; the others wait."""

    def __init__(self, limit: int) -> None:
        """Takes how many may start at the same time."""
        self._free = asyncio.Semaphore(limit)
        self._held: set[str] = set()

    async def take(self, uid: str, *, unless: asyncio.Event) -> bool:
        """Waits for an engine's turn. Returns False, without one, if the event is set before or meanwhile."""
        turn = asyncio.create_task(self._free.acquire())
        called_off = asyncio.create_task(unless.wait())
        try:
            await asyncio.wait({turn, called_off}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (turn, called_off):
                task.cancel()
            await asyncio.wait({turn, called_off})
            if not turn.cancelled():
                self._held.add(uid)
        if unless.is_set():
            self.give_back(uid)
        return uid in self._held

    def give_back(self, uid: str) -> None:
        """Ends an engine's turn, if it has one: it answers, or it is gone."""
        if uid in self._held:
            self._held.remove(uid)
            self._free.release()
