"""A model's needs in the form that a search adds up."""

from copy import copy

import numpy as np

from moorage_scheduler.core.layers.ways import Way, beside_ram, on_one, on_several
from moorage_scheduler.core.memory import MemoryProfile
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.core.snapshot import Int64s


class Demand:
    """Prefix sums over units, in bytes, and what the user wants."""

    def __init__(self, profile: MemoryProfile, options: LlamaCppOptions, exact_gpus: int = 0) -> None:
        total = len(profile.units)
        self.profile = profile
        self.total_units = total
        self.fixed_units = None if options.gpu_layers is None else min(options.gpu_layers, total)
        """How many units the user wants on GPUs. None: as many as fit."""
        self.goal = total if self.fixed_units is None else self.fixed_units
        self.may_offload = not options.forbid_cpu_offload
        """Whether units may be in RAM beside GPUs."""
        self.must_hold_all = self.fixed_units is not None or options.forbid_cpu_offload
        """Whether GPUs must hold all units that are to go there, if they hold any."""
        self.exact_gpus = exact_gpus
        """How many GPUs must hold units. 0: as few as will do."""
        on_gpu = [unit.on_gpu.total for unit in profile.units]
        self.on_gpus: Int64s = np.cumsum([0, *on_gpu], dtype=np.int64)
        """[u]: what the first u units take on GPUs."""
        self.smallest_unit = min(on_gpu, default=0)
        self.largest_unit = max(on_gpu, default=0)
        self.ways = _ways(profile, self.goal, exact_gpus)
        """The ways in which it may lie, best first. The last is the one beside RAM."""

    @property
    def beside_ram(self) -> Way:
        """The way to lie with units in RAM."""
        return self.ways[-1]

    def exactly(self, gpus: int) -> "Demand":
        """The same, with units on so many GPUs."""
        other = copy(self)
        other.exact_gpus = gpus
        other.ways = _ways(self.profile, self.goal, gpus)
        return other


def _ways(profile: MemoryProfile, goal: int, exact_gpus: int) -> tuple[Way, ...]:
    total, most = len(profile.units), exact_gpus or None
    beside = beside_ram(profile, min(goal, max(0, total - 1)), most)
    if goal < total:
        return (beside,)
    if exact_gpus == 1:
        return (on_one(profile), beside)
    several = on_several(profile, most)
    return (several, beside) if exact_gpus else (on_one(profile), several, beside)
