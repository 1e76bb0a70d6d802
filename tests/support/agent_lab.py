"""Engine managers over real llama.cpp processes, for tests of the agent."""

import asyncio
import os
import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from moorage_agent.core.domain import EnginePhase, EngineStatus, InstanceAssignment
from moorage_agent.core.environment import MARK
from moorage_agent.core.restart import RestartPolicy
from moorage_agent.core.spec import EngineSpec
from moorage_agent.engines.contract import Engine
from moorage_agent.engines.manager import EngineManager, EngineSettings
from moorage_agent.engines.process import find_marked
from moorage_agent.engines.watch import WatchTimes
from moorage_common.core.backoff import BackoffPolicy
from moorage_common.core.clock import SystemClock
from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.core.states import EngineKind
from moorage_common.runtime.tasks import TaskSupervisor

IMPATIENT = WatchTimes(
    start_timeout_s=20,
    interval_s=0.1,
    answer_timeout_s=0.3,
    deep_every=5,
    sick_after=2,
    hopeless_after_s=60,
    stop_grace_s=5,
)
QUICK_RESTART = RestartPolicy(backoff=BackoffPolicy(first_s=0.1, cap_s=0.2, floor_s=0.05))


@dataclass
class PlainFiles:
    """Finds the files of artifacts in a dict."""

    files: dict[tuple[str, str], Path] = field(default_factory=dict)

    def open_path(self, artifact: str, path: str) -> Path:
        try:
            return self.files[artifact, path]
        except KeyError:
            raise FailedPrecondition("not here", reason=ErrorReason.ARTIFACT_NOT_READY) from None


def assignment(generation: int = 1, **changes: Any) -> InstanceAssignment:
    """An instance that serves the tiny model."""
    values: dict[str, Any] = {
        "kind": EngineKind.LLAMA_CPP,
        "alias": "tiny",
        "artifact": "tiny-artifact",
        "entry_point": "tiny.gguf",
        "context_length": 256,
        "threads": 1,
    }
    return InstanceAssignment(
        uid="uid-1",
        instance="models/tiny/instances/a",
        generation=generation,
        spec=EngineSpec(**{**values, **changes}),
    )


@dataclass
class EngineLab:
    """Managers over one directory: making a second one is what an agent's restart is."""

    root: Path
    files: PlainFiles
    engine: Engine
    tasks: TaskSupervisor = field(default_factory=lambda: TaskSupervisor(random=Random(1)))
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[EnginePhase] = field(default_factory=list)
    """Phases that the one engine was in when something changed."""

    def manager(
        self, *, installed: Collection[EngineKind] = frozenset(EngineKind), **changes: Any
    ) -> EngineManager:
        values: dict[str, Any] = {
            "root": self.root,
            "host": "127.0.0.1",
            "public_host": "127.0.0.1",
            "environment": os.environ,
            "times": IMPATIENT,
            "restart": QUICK_RESTART,
        }

        def on_change() -> None:
            self.seen += [status.phase for status in manager.statuses()]
            self.changed.set()

        manager = EngineManager(
            engines={EngineKind.LLAMA_CPP: self.engine},
            installed=installed,
            files=self.files,
            settings=EngineSettings(**{**values, **changes}),
            tasks=self.tasks,
            clock=SystemClock(),
            random=Random(1),
            on_change=on_change,
        )
        return manager

    async def until(self, manager: EngineManager, met: Callable[[EngineStatus], bool]) -> EngineStatus:
        """Waits until the one engine is as described."""
        async with asyncio.timeout(30):
            while True:
                self.changed.clear()
                for status in manager.statuses():
                    if met(status):
                        return status
                await self.changed.wait()

    async def until_running(self, manager: EngineManager) -> EngineStatus:
        return await self.until(manager, lambda status: status.phase is EnginePhase.RUNNING)

    async def until_failed(self, manager: EngineManager) -> EngineStatus:
        return await self.until(manager, lambda status: status.phase is EnginePhase.BACKING_OFF)

    async def until_none(self, manager: EngineManager) -> None:
        async with asyncio.timeout(30):
            while manager.statuses():
                self.changed.clear()
                await self.changed.wait()


def end_engines(root: Path) -> None:
    """Kills the engines that were started under a directory."""
    for directory, identity in find_marked(MARK).items():
        if Path(directory).is_relative_to(root):
            with suppress(ProcessLookupError):
                os.killpg(identity.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(identity.pid, 0)


def break_wheel(folder: Path) -> dict[str, str]:
    """Returns an environment in which the xllamacpp wheel is installed but its library cannot be loaded.

    It needs libgomp of the system, which slim images lack.
    """
    (folder / "libgomp.so.1").write_text("no library\n")
    return {"LD_LIBRARY_PATH": str(folder)}
