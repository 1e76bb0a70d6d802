"""What works on one node, put together: needs no registry to be made, or to be looked at."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from random import Random

from moorage_agent.config import AgentSettings
from moorage_agent.core.naming import public_host
from moorage_agent.core.outbox import Outbox
from moorage_agent.devices.gpus import GpuMonitor
from moorage_agent.devices.nvml import Nvml
from moorage_agent.engines.contract import Engine
from moorage_agent.engines.manager import EngineManager, EngineSettings
from moorage_agent.engines.watch import WatchTimes
from moorage_agent.monitor import NodeMonitor
from moorage_agent.node import NodeLoop
from moorage_agent.storage.artifacts import ArtifactStore
from moorage_agent.storage.blobs import BlobStore
from moorage_agent.storage.copies import CopyManager, FetchSettings
from moorage_agent.storage.layout import Layout
from moorage_agent.storage.source import BlobSource
from moorage_agent.usage import UsageMonitor
from moorage_common.core.clock import Clock
from moorage_common.core.states import EngineKind
from moorage_common.runtime.tasks import TaskSupervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a node's parts get from the process that they live in."""

    environment: Mapping[str, str]
    hostname: str
    tasks: TaskSupervisor
    clock: Clock
    random: Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """The parts of one node's agent."""

    engines: EngineManager
    copies: CopyManager
    monitor: NodeMonitor
    usage: UsageMonitor
    loop: NodeLoop
    outbox: Outbox
    outbox_changed: asyncio.Event

    async def take_over(self) -> None:
        """Finds what an agent before this one left: artifacts, and engines that run."""
        await self.copies.adopt()
        await self.engines.adopt()
        await self.monitor.measure()


def build_agent(
    settings: AgentSettings,
    layout: Layout,
    *,
    engines: Mapping[EngineKind, Engine],
    installed: Collection[EngineKind],
    source: BlobSource,
    surroundings: Surroundings,
) -> Agent:
    """Puts the parts together.

    Args:
        settings: The agent's settings.
        layout: Its data directory.
        engines: The engines that can be looked after, should they run already.
        installed: Those of them that can be started.
        source: Where the bytes of artifacts come from.
        surroundings: What the process gives.
    """
    wake, outbox_changed, outbox = asyncio.Event(), asyncio.Event(), Outbox()
    store = ArtifactStore(layout, BlobStore(layout))
    tasks, clock, random = surroundings.tasks, surroundings.clock, surroundings.random
    copies = CopyManager(
        store=store,
        source=source,
        settings=FetchSettings(parallel_files=settings.parallel_files),
        tasks=tasks,
        clock=clock,
        random=random,
        on_change=wake.set,
    )
    manager = EngineManager(
        engines=engines,
        installed=installed,
        files=store,
        settings=_engine_settings(settings, layout, surroundings),
        tasks=tasks,
        clock=clock,
        random=random,
        on_change=wake.set,
    )
    loop = NodeLoop(
        engines=manager, copies=copies, outbox=outbox, wake=wake, outbox_changed=outbox_changed, clock=clock
    )
    monitor = NodeMonitor(GpuMonitor(Nvml()), engine_pids=manager.pids, storage=store.figures)
    return Agent(
        engines=manager,
        copies=copies,
        monitor=monitor,
        usage=UsageMonitor(manager, clock=clock),
        loop=loop,
        outbox=outbox,
        outbox_changed=outbox_changed,
    )


def _engine_settings(settings: AgentSettings, layout: Layout, surroundings: Surroundings) -> EngineSettings:
    return EngineSettings(
        root=layout.engines,
        host=settings.engine_host,
        public_host=public_host(
            settings.public_host, bound=settings.engine_host, hostname=surroundings.hostname
        ),
        environment=surroundings.environment,
        times=WatchTimes(
            start_timeout_s=settings.engine_start_timeout_s,
            interval_s=settings.engine_check_interval_s,
            stop_grace_s=settings.engine_stop_grace_s,
        ),
        log_limit_bytes=settings.engine_log_limit_bytes,
        parallel_starts=settings.engine_parallel_starts,
    )
