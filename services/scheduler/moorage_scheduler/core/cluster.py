"""The fleet as the scheduler sees it: what a worker is, what it has, and who holds what there.

Names of resources are opaque here: nothing is ever read out of them, so a placement cannot depend on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from moorage_common.core.placement import CpuArchitecture, OperatingSystem
from moorage_common.core.states import AcceleratorKind, EngineKind, WorkerState

RAM = "ram"
"""Name of the memory pool that every worker has."""

Pool: TypeAlias = tuple[str, str]
"""A memory pool of a worker: the worker's name, and the pool's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One GPU or other accelerator."""

    uuid: str
    """Identifies the card, and is the name of its memory pool."""
    kind: AcceleratorKind
    index: int = 0
    """Position among the worker's cards of this kind, for people."""
    product: str = ""
    """What the table of accelerators knows it by."""
    capability: tuple[int, ...] = ()
    """Compute capability, e.g. (8, 9). Empty: not known, and taken for good enough."""
    driver: tuple[int, ...] = ()
    """Version of its driver, e.g. (550, 54, 14). Empty: not known, and taken for good enough."""
    bytes_per_s: float = 0.0
    """From its memory, at most. 0: not known."""
    link_group: str = ""
    """The worker's cards with the same one are linked by NVLink, XGMI or HCCS. Empty: not known, or none is."""
    switch_group: str = ""
    """The worker's cards with the same one hang on the same PCIe switches. Empty: not known, or on none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An engine that a worker's agent can start."""

    version: str = ""
    drives: frozenset[AcceleratorKind] = frozenset()
    """Kinds of accelerators that this build computes on. Empty: it computes on the CPU only."""
    distributes: bool = True
    """Whether this build can serve one instance together with other workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What seldom changes about a worker."""

    name: str
    operating_system: OperatingSystem | None
    """None: one that the mesh does not know."""
    cpu_architecture: CpuArchitecture | None
    labels: Mapping[str, str] = field(default_factory=dict)
    accelerators: tuple[Accelerator, ...] = ()
    engines: Mapping[EngineKind, tuple[Engine, ...]] = field(default_factory=dict)
    """The builds of each engine that it has."""
    unified_memory: bool = False
    """Whether CPU and accelerators share one memory, which is the RAM pool."""
    local_paths: frozenset[str] = frozenset()
    """Paths that models may be loaded from without being fetched."""
    cpu: str = ""
    """The CPU's product name. Empty: not known."""
    cpu_cores: int = 0
    """That engines may use. 0: not known."""
    ram_bytes_per_s: int = 0
    """0: not known."""
    network_bytes_per_s: int = 0
    """0: not known."""

    @property
    def pools(self) -> tuple[str, ...]:
        """Names of its memory pools: RAM, then one per accelerator unless memory is unified."""
        return (RAM, *(() if self.unified_memory else (card.uuid for card in self.accelerators)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What often changes about a worker."""

    state: WorkerState = WorkerState.READY
    cordoned: bool = False
    draining: bool = False
    maintenance: bool = False
    disk_free: int | None = None
    """Bytes free for artifacts. None: not known, and taken for enough."""
    total: Mapping[str, int] = field(default_factory=dict)
    """Per pool, all of its bytes. A pool that is not named is as large as its capacity."""
    capacity: Mapping[str, int] = field(default_factory=dict)
    """Per pool, bytes that instances may hold: total less reserve."""
    foreign: Mapping[str, int] = field(default_factory=dict)
    """Per pool, bytes that processes which are not ours use, as last measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An instance that is nominated for a worker or bound to it."""

    model: str
    worker: str
    """The one that leads it."""
    claims: Mapping[Pool, int] = field(default_factory=dict)
    """Bytes that it holds. Empty: it is only nominated."""
    subordinates: tuple[str, ...] = ()
    """Workers that take part beside the one that leads."""
    exclusive: bool = False
    """Whether it is a distributed vLLM instance, of which a worker can serve only one at a time."""

    @property
    def members(self) -> tuple[str, ...]:
        """All workers that take part, the one that leads first."""
        return (self.worker, *self.subordinates)
