"""What an engine must offer to be run by an agent.

Life cycle of one engine process, as `supervisor` drives it:

    command ──spawn──► process loads ──locate──► address known ──answer──► RUNNING
                            │                                                 │ alive, every few seconds
                            └──────────── exits, or hangs ◄───────────────────┘
                                              │
                                        explain(log) ──► what the registry is told

An engine is any program that serves OpenAI's completions over HTTP. It leads a process group, gets
a list of arguments and an environment that is built for it, and writes its log to stdout and stderr.
It may outlive the agent: nothing that it needs may live in the agent's process.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from moorage_agent.core.spec import EngineSpec
from moorage_agent.core.usage import EngineCounters
from moorage_common.core.states import AcceleratorKind, EngineKind


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledEngine:
    """An engine that can be started on this node."""

    kind: EngineKind
    version: str
    accelerators: tuple[AcceleratorKind, ...] = ()
    """Kinds of accelerators that this build drives. Empty: it computes on the CPU only."""
    single_worker_only: bool
    """Whether it cannot serve an instance together with other workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Everything that one start of an engine depends on."""

    spec: EngineSpec
    model_path: Path
    """The file to load."""
    directory: Path
    """Private to this engine; what it writes here is found again after the agent restarts."""
    host: str
    """Address to serve on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How to start a process."""

    arguments: tuple[str, ...]
    """The program and its arguments; no shell."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the few variables that every engine gets."""


class Engine(Protocol):
    """One kind of engine, as installed on this node."""

    @property
    def kind(self) -> EngineKind:
        """Which engine it is."""
        ...

    async def installed(self) -> InstalledEngine:
        """Has the engine say what it is, in a short process of its own: nothing of it is loaded into the agent.

        Raises:
            EngineUnusable: It cannot be started here.
        """
        ...

    def command(self, launch: Launch) -> Command:
        """Prepares a start: writes what the process reads, and returns how to start it."""
        ...

    def locate(self, directory: Path) -> str | None:
        """Returns the base URL of a started engine, e.g. ``http://127.0.0.1:41234``; None: not known yet."""
        ...

    async def answer(self, url: str, alias: str) -> bool:
        """Has the engine complete a few tokens for real.

        Returns:
            True once it did; False while it loads.

        Raises:
            EngineSick: It answered wrongly. A connection that fails counts as still loading.
        """
        ...

    async def alive(self, url: str, alias: str, *, deep: bool, timeout_s: float) -> None:
        """Checks an engine that has answered before.

        Args:
            url: Its base URL.
            alias: The model's name in its API.
            deep: Whether it must compute something if it is idle. That may cost it a cached prompt.
            timeout_s: How long to wait for each of its answers.

        Raises:
            EngineSick: It answered wrongly, or not at all.
        """
        ...

    async def usage(self, url: str) -> EngineCounters | None:
        """Returns what an engine that answers has counted, less what the agent itself asked it.

        Returns:
            None if it does not say just now.
        """
        ...

    def explain(self, log: str) -> str:
        """Returns why an engine failed, in one line for people, from the end of its log. Empty: no idea."""
        ...


class EngineUnusable(Exception):
    """An engine is not installed, or what is installed does not run. The message says why, in one line."""


class EngineSick(Exception):
    """An engine does not do what an engine does. The message says what it did instead."""
