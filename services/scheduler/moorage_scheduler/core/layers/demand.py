"""A model's needs in the form that a search adds up."""

from copy import copy

import numpy as np

from moorage_scheduler.core.codes import ACCELERATORS
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
        on_gpu = [0]
        for unit in profile.units:
            on_gpu.append(on_gpu[-1] + unit.on_gpu.total)
        self.on_gpus: Int64s = np.array(on_gpu, np.int64)
        """[u]: what the first u units take on GPUs."""
        self.smallest_unit = min((unit.on_gpu.total for unit in profile.units), default=0)
        self.largest_unit = max((unit.on_gpu.total for unit in profile.units), default=0)
        self.in_ram: Int64s = np.array(_in_ram(profile), np.int64)
        """[u]: what RAM holds while the first u units are on GPUs."""
        self.per_gpu: Int64s = np.zeros(len(ACCELERATORS), np.int64)
        """[kind]: what each GPU that is used takes besides."""
        for kind, parts in profile.per_gpu.items():
            self.per_gpu[ACCELERATORS.of(kind)] = parts.total

    def exactly(self, gpus: int) -> "Demand":
        """The same, with units on so many GPUs."""
        other = copy(self)
        other.exact_gpus = gpus
        return other


def _in_ram(profile: MemoryProfile) -> list[int]:
    total = len(profile.units)
    needs = [(profile.host + profile.host_beside_gpu).total]
    computing = (profile.host + profile.host_computing).total
    left = 0
    for units in range(total - 1, -1, -1):
        left += profile.units[units].on_cpu.total
        needs.append(computing + left)
    if total:
        needs[-1] += profile.host_alone.total
    return needs[::-1]
