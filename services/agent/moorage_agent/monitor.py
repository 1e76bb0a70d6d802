"""Measures the node every few seconds, in threads, so that nothing that hangs can hold up the agent."""

import asyncio
from collections.abc import Callable

from moorage_agent.core.measure import RAM, Measurements, StorageFigures, foreign_bytes
from moorage_agent.devices.gpus import Gpu, GpuMonitor
from moorage_agent.devices.host import own_ram_bytes, ram_use
from moorage_agent.engines.process import group_members

_EVERY_S = 5.0


class NodeMonitor:
    """The node's figures, as last measured."""

    def __init__(
        self,
        gpus: GpuMonitor,
        *,
        engine_pids: Callable[[], list[int]],
        storage: Callable[[], StorageFigures],
    ) -> None:
        """Takes what to ask.

        Args:
            gpus: The node's GPUs.
            engine_pids: Returns the ids of the engines' processes.
            storage: Measures room for artifacts; called in a thread.
        """
        self._gpus = gpus
        self._engine_pids = engine_pids
        self._storage = storage
        self._measuring = asyncio.Lock()
        self.gpus: tuple[Gpu, ...] = ()
        self.measurements = Measurements()

    async def measure(self) -> None:
        """Measures everything once."""
        async with self._measuring:
            self.gpus, self.measurements = await asyncio.to_thread(self._measure, self._engine_pids())

    async def run(self, on_gpus_changed: Callable[[], None]) -> None:
        """Measures for ever.

        Args:
            on_gpus_changed: Called when a GPU came, went or changed: then the node's facts did.
        """
        while True:
            before = _identities(self.gpus)
            await self.measure()
            if _identities(self.gpus) != before:
                on_gpus_changed()
            await asyncio.sleep(_EVERY_S)

    def _measure(self, engine_pids: list[int]) -> tuple[tuple[Gpu, ...], Measurements]:
        own = group_members(engine_pids)
        gpus = tuple(self._gpus.read(own))
        foreign = {gpu.uuid: foreign_bytes(used=gpu.memory_used_bytes, own=gpu.own_bytes) for gpu in gpus}
        foreign[RAM] = foreign_bytes(used=ram_use().used_bytes, own=own_ram_bytes(own))
        return gpus, Measurements(foreign_bytes=foreign, storage=self._storage())


def _identities(gpus: tuple[Gpu, ...]) -> list[tuple[str, int, int]]:
    return [(gpu.uuid, gpu.index, gpu.memory_total_bytes) for gpu in gpus]
