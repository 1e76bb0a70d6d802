"""The GPUs that a user chose for a model by hand."""

from collections import Counter
from collections.abc import Collection, Hashable
from dataclasses import dataclass

from moorage_registry.core.records import Json


@dataclass(frozen=True, slots=True)
class SelectedGpu:
    """One chosen GPU."""

    worker: str
    """``workers/{worker}``."""
    identity: Hashable
    """The same for two choices that must be the same card: its UUID, or its worker, kind and index."""


@dataclass(frozen=True, slots=True)
class GpuSelection:
    """The chosen GPUs, and how many of them each replica uses."""

    gpus: tuple[SelectedGpu, ...]
    per_replica: int
    """0: all of them."""

    @property
    def needed(self) -> int:
        """How many GPUs one replica uses."""
        return self.per_replica or len(self.gpus)

    @property
    def workers(self) -> frozenset[str]:
        """The workers whose GPUs were chosen."""
        return frozenset(gpu.worker for gpu in self.gpus)

    @property
    def most_on_one_worker(self) -> int:
        """How many of them the worker has that has most."""
        return max(Counter(gpu.worker for gpu in self.gpus).values(), default=0)

    def without(self, workers: Collection[str]) -> int:
        """Returns how many of them other workers than these have."""
        return sum(gpu.worker not in workers for gpu in self.gpus)


def selection_of(placement: Json) -> GpuSelection:
    """Returns what a model's placement chooses."""
    gpus = [SelectedGpu(gpu["worker"], _identity(gpu)) for gpu in placement.get("gpus", ())]
    return GpuSelection(tuple(gpus), placement.get("gpus_per_replica", 0))


def _identity(gpu: Json) -> Hashable:
    if "uuid" in gpu:
        return str(gpu["uuid"])
    position = gpu["position"]
    return gpu["worker"], position["kind"], position.get("index", 0)
