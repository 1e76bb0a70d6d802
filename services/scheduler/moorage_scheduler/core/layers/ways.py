"""The ways in which units lie: what memory holds besides them depends on where all of them are.

on one GPU        all of them
on several GPUs   all of them between these, which work on batches in turn: each has inputs for every one
beside RAM        some of them, or none: of what is in RAM, one of the leader's GPUs has copies to compute with

Units themselves take the same in all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.codes import ACCELERATORS
from moorage_scheduler.core.memory import MemoryProfile, Parts
from moorage_scheduler.core.snapshot import Int64s


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Way:
    """One of them: what it takes in parts, and in bytes as a search adds them up."""

    profile: MemoryProfile
    goal: int
    """Units that GPUs hold, at most."""
    most_gpus: int | None
    """GPUs that hold them, at most. None: any number."""
    beside: Mapping[AcceleratorKind, Parts]
    """What each GPU that is used holds besides units."""
    on_first: Mapping[AcceleratorKind, Parts] = field(default_factory=dict)
    """What the first of the leader's GPUs, in the order of layers, holds on top. It is the last to be filled."""
    host: Parts
    """What the leader's RAM holds besides units."""
    per_gpu: Int64s = field(init=False)
    """[kind]: bytes of `beside`."""
    per_first: Int64s = field(init=False)
    """[kind]: bytes of `on_first`."""
    in_ram: Int64s = field(init=False)
    """[u]: bytes that the leader's RAM holds while the first u units are on GPUs."""

    def __post_init__(self) -> None:
        for name, parts in (("per_gpu", self.beside), ("per_first", self.on_first)):
            object.__setattr__(self, name, _by_code(parts))
        sizes = [unit.on_cpu.total for unit in self.profile.units]
        left: Int64s = (
            np.cumsum([0, *reversed(sizes)], dtype=np.int64)[::-1][: self.goal + 1] + self.host.total
        )
        if sizes:
            left[0] += self.profile.host_alone.total
        object.__setattr__(self, "in_ram", left)

    @property
    def holds_all(self) -> bool:
        """Whether GPUs hold all units."""
        return self.goal == len(self.profile.units)

    def ram(self, units: int) -> Parts:
        """What the leader's RAM holds while so many units are on GPUs."""
        host = self.host if units else self.host + self.profile.host_alone
        return sum((unit.on_cpu for unit in self.profile.units[units:]), host)

    def gpu(self, start: int, stop: int, kind: AcceleratorKind, *, first: bool = False) -> Parts:
        """What a GPU holds with the units from `start` up to `stop`, and if it is the leader's first."""
        parts = sum((unit.on_gpu for unit in self.profile.units[start:stop]), self.beside[kind])
        return parts + self.on_first.get(kind, Parts()) if first else parts


def on_one(profile: MemoryProfile) -> Way:
    """Returns the way to lie on one GPU."""
    return Way(
        profile=profile,
        goal=len(profile.units),
        most_gpus=1,
        beside=profile.per_gpu,
        host=profile.host + profile.host_beside_gpu,
    )


def on_several(profile: MemoryProfile, most_gpus: int | None = None) -> Way:
    """Returns the way to lie on several GPUs."""
    return Way(
        profile=profile,
        goal=len(profile.units),
        most_gpus=most_gpus,
        beside=profile.per_gpu_of_several,
        host=profile.host + profile.host_beside_several,
    )


def beside_ram(profile: MemoryProfile, goal: int | None = None, most_gpus: int | None = None) -> Way:
    """Returns the way to lie in RAM, with at most so many units on GPUs."""
    return Way(
        profile=profile,
        goal=max(0, len(profile.units) - 1) if goal is None else goal,
        most_gpus=most_gpus,
        beside=profile.per_gpu,
        on_first=profile.per_gpu_beside_ram,
        host=profile.host + profile.host_computing,
    )


def _by_code(parts: Mapping[AcceleratorKind, Parts]) -> Int64s:
    sizes = np.zeros(len(ACCELERATORS), np.int64)
    for kind, part in parts.items():
        sizes[ACCELERATORS.of(kind)] = part.total
    return sizes
