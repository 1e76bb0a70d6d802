"""The fleet as the scheduler sees it: what a worker is, what it has, and who holds what there.

Names of resources are opaque here: nothing is ever read out of them, so a placement cannot depend on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from moorage_common.core.placement import CpuArchitecture, OperatingSystem
from moorage_common.core.states import AcceleratorKind, EngineKind, WorkerState

RAM = "ram"
"""Name of the memory pool that every worker has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One GPU or other accelerator."""

    uuid: str
    """Identifies the card, and is the name of its memory pool."""
    kind: AcceleratorKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An engine that a worker's agent can start."""

    version: str = ""
    drives: frozenset[AcceleratorKind] = frozenset()
    """Kinds of accelerators that this build computes on. Empty: it computes on the CPU only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What seldom changes about a worker."""

    name: str
    operating_system: OperatingSystem | None
    """None: one that the mesh does not know."""
    cpu_architecture: CpuArchitecture | None
    labels: Mapping[str, str] = field(default_factory=dict)
    accelerators: tuple[Accelerator, ...] = ()
    engines: Mapping[EngineKind, Engine] = field(default_factory=dict)
    unified_memory: bool = False
    """Whether CPU and accelerators share one memory, which is the RAM pool."""

    @property
    def pools(self) -> tuple[str, ...]:
        """Names of its memory pools: RAM, then one per accelerator unless memory is unified."""
        return (RAM, *(() if self.unified_memory else (card.uuid for card in self.accelerators)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What often changes about a worker."""

    state: WorkerState = WorkerState.READY
    cordoned: bool = False
    capacity: Mapping[str, int] = field(default_factory=dict)
    """Per pool, bytes that instances may hold: total less reserve."""
    foreign: Mapping[str, int] = field(default_factory=dict)
    """Per pool, bytes that processes which are not ours use, as last measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An instance that is nominated for a worker or bound to it."""

    model: str
    worker: str
    claims: Mapping[str, int] = field(default_factory=dict)
    """Per pool, bytes that it holds. Empty: it is only nominated."""
