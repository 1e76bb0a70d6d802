"""What a model needs of a worker's memory, as the search wants to know it: layer by layer, part by part.

An estimator makes a `MemoryProfile` from a model's facts; the search then only adds up. A *unit* is what
goes to a GPU or stays on the CPU as a whole: the output layer, or one block. Units are listed in the order in
which they go to GPUs: the output layer first, then the last block, then the one before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from moorage_common.core.placement import MemoryPart
from moorage_common.core.states import AcceleratorKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Bytes by what they pay for."""

    weights: int = 0
    kv_cache: int = 0
    compute: int = 0
    overhead: int = 0

    @property
    def total(self) -> int:
        """Sum of the parts, in bytes."""
        return self.weights + self.kv_cache + self.compute + self.overhead

    def __add__(self, other: "Parts") -> "Parts":
        return Parts(
            weights=self.weights + other.weights,
            kv_cache=self.kv_cache + other.kv_cache,
            compute=self.compute + other.compute,
            overhead=self.overhead + other.overhead,
        )

    def by_part(self) -> dict[MemoryPart, int]:
        """The parts that are not zero, under their names."""
        sizes = {
            MemoryPart.WEIGHTS: self.weights,
            MemoryPart.KV_CACHE: self.kv_cache,
            MemoryPart.COMPUTE: self.compute,
            MemoryPart.OVERHEAD: self.overhead,
        }
        return {part: size for part, size in sizes.items() if size}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One layer that goes to a GPU or stays on the CPU as a whole."""

    on_gpu: Parts
    on_cpu: Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryProfile:
    """What a model needs, wherever its layers go."""

    units: tuple[Unit, ...]
    """Output layer first, then blocks from the last to the first."""
    per_gpu: Mapping[AcceleratorKind, Parts]
    """What a GPU needs besides the units that it holds, by its kind: as the only one that holds any, or while
    others are in RAM."""
    per_gpu_of_several: Mapping[AcceleratorKind, Parts]
    """As `per_gpu`, when several GPUs hold all units between them, of one worker or of several."""
    per_gpu_beside_ram: Mapping[AcceleratorKind, Parts] = field(default_factory=dict)
    """What the first of the leader's GPUs needs on top of `per_gpu` while any unit is in RAM."""
    host: Parts
    """What RAM holds wherever the layers are."""
    host_beside_gpu: Parts = field(default_factory=Parts)
    """What RAM holds besides when all units are on one GPU."""
    host_beside_several: Parts = field(default_factory=Parts)
    """What RAM holds besides when several GPUs hold all units between them."""
    host_computing: Parts = field(default_factory=Parts)
    """What RAM holds besides when any unit is in it."""
    host_alone: Parts = field(default_factory=Parts)
    """What RAM holds on top when no unit is on a GPU."""
    per_remote_gpu: Parts = field(default_factory=Parts)
    """What a GPU of another worker than the leader's needs on top."""
    host_remote: Parts = field(default_factory=Parts)
    """What the RAM of each worker but the leader holds."""
    context_length: int
    """Tokens that all this is for, shared by all slots."""
