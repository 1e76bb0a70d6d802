"""Asks the running engines every few seconds what they have done."""

import asyncio
from collections.abc import Mapping

from moorage_agent.core.domain import EnginePhase, EngineStatus
from moorage_agent.core.usage import InstanceFigures, UsageTracker
from moorage_agent.engines.manager import EngineManager
from moorage_common.core.clock import Clock

_EVERY_S = 5.0


class UsageMonitor:
    """How much each engine of the node is used, and how fast it answers."""

    def __init__(self, engines: EngineManager, *, clock: Clock) -> None:
        """Takes the engines, and what tells when they were seen working."""
        self._engines = engines
        self._clock = clock
        self._trackers: dict[tuple[str, int, int], UsageTracker] = {}

    @property
    def figures(self) -> Mapping[str, InstanceFigures]:
        """What is known by now, by the instances' uids."""
        return {uid: tracker.figures for (uid, _, _), tracker in self._trackers.items()}

    async def run(self) -> None:
        """Asks for ever."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY_S)

    async def look(self) -> None:
        """Asks every engine once, all at the same time: one that hangs holds up no other."""
        running = [status for status in self._engines.statuses() if status.phase is EnginePhase.RUNNING]
        known = self._trackers
        self._trackers = {
            _process(status): known.get(_process(status))
            or UsageTracker(uid=status.uid, generation=status.generation, adopted=status.adopted)
            for status in running
        }
        await asyncio.gather(*map(self._ask, running))

    async def _ask(self, status: EngineStatus) -> None:
        counters = await self._engines.usage(status)
        tracker = self._trackers.get(_process(status))
        if counters is not None and tracker is not None:
            tracker.note(counters, now=self._clock.now().timestamp())


def _process(status: EngineStatus) -> tuple[str, int, int]:
    """Tells the processes of an engine apart: each counts from nothing."""
    return status.uid, status.generation, status.pid
