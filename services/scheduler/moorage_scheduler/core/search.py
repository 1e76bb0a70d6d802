"""Where a model's layers go on each of many workers at once: whole layers, by arithmetic on columns.

In order of preference: one GPU holds everything; the fewest GPUs of a worker do; GPUs hold the last layers and
RAM the rest; RAM holds everything. The largest GPU is filled first, with as many units as it holds, then the
next one: this needs the fewest GPUs, and is the same arithmetic for one GPU and for a hundred.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from moorage_common.core.states import EngineKind
from moorage_scheduler.core.codes import ACCELERATORS, ENGINES
from moorage_scheduler.core.memory import MemoryProfile
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.core.snapshot import Int64s, Mask, Snapshot


class Mode(IntEnum):
    """How a model lies on a worker; higher is better."""

    NOWHERE = 0
    CPU = 1
    """Everything in RAM."""
    PARTLY = 2
    """The last layers on GPUs, the others in RAM."""
    SEVERAL_GPUS = 3
    ONE_GPU = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offer:
    """The memory of some workers, one row each."""

    slots: NDArray[np.intp]
    """Which worker each row is."""
    available: Int64s
    """[row, pool]: bytes that may be claimed."""
    kinds: NDArray[np.uint8]
    """[row, pool]: the kind of the accelerator; 0: none that the engine computes on."""
    unified: Mask
    """Whether pool 0 is the accelerators' memory, too."""

    @property
    def has_gpu(self) -> Mask:
        """Which workers have an accelerator that the engine computes on."""
        return np.asarray((self.kinds != 0).any(axis=1))

    def rows(self, chosen: NDArray[np.intp]) -> "Offer":
        """Only these rows, in this order."""
        return Offer(
            slots=self.slots[chosen],
            available=self.available[chosen],
            kinds=self.kinds[chosen],
            unified=self.unified[chosen],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fits:
    """What the search found, one entry per row of the offer."""

    mode: NDArray[np.uint8]
    gpu_units: Int64s
    """Units on GPUs; where the mode is NOWHERE, as many as would have fitted there."""
    gpus: Int64s
    """GPUs that hold them."""
    gpu_short: Mask
    """Units that may not be in RAM do not fit the GPUs."""
    ram_short: Mask
    """What is left does not fit the RAM."""

    def rows(self, chosen: NDArray[np.intp]) -> "Fits":
        """Only these rows, in this order."""
        return Fits(
            mode=self.mode[chosen],
            gpu_units=self.gpu_units[chosen],
            gpus=self.gpus[chosen],
            gpu_short=self.gpu_short[chosen],
            ram_short=self.ram_short[chosen],
        )


class Demand:
    """A model's needs in the form that the search adds up: prefix sums over units, in bytes."""

    def __init__(self, profile: MemoryProfile, options: LlamaCppOptions) -> None:
        total = len(profile.units)
        self.profile = profile
        self.total_units = total
        self.fixed_units = None if options.gpu_layers is None else min(options.gpu_layers, total)
        """How many units the user wants on GPUs. None: as many as fit."""
        self.goal = total if self.fixed_units is None else self.fixed_units
        self.may_offload = not options.forbid_cpu_offload
        """Whether units may be in RAM beside GPUs."""
        on_gpu = [0]
        for unit in profile.units:
            on_gpu.append(on_gpu[-1] + unit.on_gpu.total)
        self.on_gpus: Int64s = np.array(on_gpu, np.int64)
        """[u]: what the first u units take on GPUs."""
        self.in_ram: Int64s = np.array(_in_ram(profile), np.int64)
        """[u]: what RAM holds while the first u units are on GPUs."""
        self.per_gpu: Int64s = np.zeros(len(ACCELERATORS), np.int64)
        """[kind]: what each GPU that is used takes besides."""
        for kind, parts in profile.per_gpu.items():
            self.per_gpu[ACCELERATORS.of(kind)] = parts.total


def offer(snapshot: Snapshot, mask: Mask, engine: EngineKind, *, empty: bool = False) -> Offer:
    """Returns what the workers in a mask have to give.

    Args:
        snapshot: The fleet.
        mask: Which workers.
        engine: Accelerators that the worker's build of it does not drive are left out.
        empty: As if nobody held or used anything.
    """
    slots = np.flatnonzero(mask)
    columns = snapshot.columns
    available = columns.capacity if empty else snapshot.available
    kinds = columns.kinds[slots]
    drives = columns.drives[slots, ENGINES.of(engine)]
    driven = (drives[:, np.newaxis] >> kinds) & (drives[:, np.newaxis] > 0) & 1
    return Offer(
        slots=slots,
        available=available[slots],
        kinds=np.where(driven, kinds, 0).astype(np.uint8),
        unified=columns.unified[slots],
    )


def search(demand: Demand, given: Offer) -> Fits:
    """Finds the best mode of every worker on offer."""
    units, gpus = _fill(demand, given)
    unified = given.unified & (given.kinds[:, 0] != 0)
    units = np.where(unified, demand.goal, units)
    gpus = np.where(unified, np.minimum(demand.goal, 1), gpus)
    ram = given.available[:, 0]
    needed = np.where(unified, _unified_need(demand, given, units), demand.in_ram[units])
    if demand.fixed_units is None and demand.may_offload:
        # Where one memory is too small for the GPU's extras, the same memory may do for the CPU alone.
        retreat = unified & (needed > ram)
        units, gpus = np.where(retreat, 0, units), np.where(retreat, 0, gpus)
        needed = np.where(retreat, demand.in_ram[0], needed)
    bound = np.full(len(ram), demand.fixed_units is not None)
    if not demand.may_offload:
        bound |= given.has_gpu
    gpu_short = bound & (units < demand.goal)
    ram_short = needed > ram
    mode = np.select(
        [gpu_short | ram_short, units == 0, units < demand.total_units, gpus > 1],
        [Mode.NOWHERE, Mode.CPU, Mode.PARTLY, Mode.SEVERAL_GPUS],
        Mode.ONE_GPU,
    )
    return Fits(
        mode=mode.astype(np.uint8), gpu_units=units, gpus=gpus, gpu_short=gpu_short, ram_short=ram_short
    )


def _in_ram(profile: MemoryProfile) -> list[int]:
    total = len(profile.units)
    needs = [(profile.host + profile.host_beside_gpu).total]
    computing = (profile.host + profile.host_computing).total
    left = 0
    for units in range(total - 1, -1, -1):
        left += profile.units[units].on_cpu.total
        needs.append(computing + left)
    return needs[::-1]


def _fill(demand: Demand, given: Offer) -> tuple[Int64s, Int64s]:
    """Units on GPUs, and how many GPUs they take, when GPUs are filled from the largest to the smallest."""
    kinds = given.kinds[:, 1:]
    room = np.where(kinds != 0, given.available[:, 1:] - demand.per_gpu[kinds], -1)
    room = -np.sort(-room, axis=1)
    sums = demand.on_gpus[: demand.goal + 1]
    start = np.zeros(len(room), np.int64)
    gpus = np.zeros(len(room), np.int64)
    for position in range(room.shape[1]):
        open_rows = np.flatnonzero((room[:, position] >= 0) & (start < demand.goal))
        if not len(open_rows):
            break
        begun = start[open_rows]
        stop = np.searchsorted(sums, sums[begun] + room[open_rows, position], side="right") - 1
        gpus[open_rows] += stop > begun
        start[open_rows] = np.maximum(begun, stop)
    return start, gpus


def _unified_need(demand: Demand, given: Offer, units: Int64s) -> Int64s:
    """Bytes of the one memory that GPU and CPU parts take together."""
    besides = np.where(units > 0, demand.per_gpu[given.kinds[:, 0]], 0)
    return np.asarray(demand.on_gpus[units] + besides + demand.in_ram[units])
