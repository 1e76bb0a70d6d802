"""Where a model's layers go on each of many workers alone: whole layers, by arithmetic on columns.

In order of preference: one GPU holds everything; the fewest GPUs of a worker do; GPUs hold the last layers and
RAM the rest; RAM holds everything. The largest GPU is filled first, with as many units as it holds, then the
next one: this needs the fewest GPUs, and is the same arithmetic for one GPU and for a hundred.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moorage_common.core.placement import PlacementReason
from moorage_scheduler.core.codes import REASONS
from moorage_scheduler.core.layers.demand import Demand
from moorage_scheduler.core.offer import Offer
from moorage_scheduler.core.packing import Fits, Mode
from moorage_scheduler.core.snapshot import Int64s, Mask

_FEW_GPUS = REASONS.of(PlacementReason.INSUFFICIENT_GPUS)
_GPU_MEMORY = REASONS.of(PlacementReason.INSUFFICIENT_GPU_MEMORY)
_RAM = REASONS.of(PlacementReason.INSUFFICIENT_RAM)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alone:
    """How the layers lie on each row of an offer."""

    mode: NDArray[np.uint8]
    units: Int64s
    """Units on GPUs."""
    gpus: Int64s
    """GPUs that hold them."""
    gpu_short: Mask
    """Units that may not be in RAM do not fit the GPUs."""
    ram_short: Mask
    """What is left does not fit the RAM."""
    ram_needed: Int64s
    """Bytes of pool 0 for all that would be in it."""
    few_gpus: Mask
    """There are fewer GPUs than must be used."""


def search(demand: Demand, given: Offer) -> Alone:
    """Finds the best mode of every worker on offer."""
    units, gpus = _fill(demand, given)
    unified = given.shares_memory
    units = np.where(unified, demand.goal, units)
    gpus = np.where(unified, np.minimum(demand.goal, 1), gpus)
    ram = given.available[:, 0]
    needed = np.where(unified, unified_need(demand, given, units), demand.in_ram[units])
    if demand.fixed_units is None and demand.may_offload and not demand.exact_gpus:
        # Where one memory is too small for the GPU's extras, the same memory may do for the CPU alone.
        retreat = unified & (needed > ram)
        units, gpus = np.where(retreat, 0, units), np.where(retreat, 0, gpus)
        needed = np.where(retreat, demand.in_ram[0], needed)
    bound = np.full(len(ram), demand.fixed_units is not None)
    if not demand.may_offload:
        bound |= given.has_gpu
    gpu_short = bound & (units < demand.goal)
    few_gpus = np.zeros(len(ram), np.bool_)
    if demand.exact_gpus:
        few_gpus = (given.kinds != 0).sum(axis=1) < demand.exact_gpus
        # Each of so many GPUs needs a unit of its own; more than the greedy way takes is for `shares` to deal out.
        gpus = np.maximum(gpus, np.where(_roomy(demand, given) >= demand.exact_gpus, demand.exact_gpus, 0))
        gpu_short |= ~few_gpus & ((gpus != demand.exact_gpus) | (units < demand.exact_gpus))
    ram_short = needed > ram
    mode = np.select(
        [gpu_short | ram_short | few_gpus, units == 0, units < demand.total_units, gpus > 1],
        [Mode.NOWHERE, Mode.CPU, Mode.PARTLY, Mode.SEVERAL_GPUS],
        Mode.ONE_GPU,
    )
    return Alone(
        mode=mode.astype(np.uint8),
        units=units,
        gpus=gpus,
        gpu_short=gpu_short,
        ram_short=ram_short,
        ram_needed=needed,
        few_gpus=few_gpus,
    )


def fits_of(demand: Demand, given: Offer, found: Alone) -> Fits:
    """Returns what was found, as every packing says it."""
    with_gpu = given.has_gpu & ~given.shares_memory
    return Fits(
        mode=found.mode,
        gpu_layers=found.units,
        gpus=found.gpus,
        reason=np.select(
            [found.few_gpus, found.gpu_short | (with_gpu & (found.units < demand.goal))],
            [_FEW_GPUS, _GPU_MEMORY],
            _RAM,
        ).astype(np.uint8),
        way=np.zeros(len(found.mode), np.intp),
    )


def unified_need(demand: Demand, given: Offer, units: Int64s) -> Int64s:
    """Bytes of the one memory that GPU and CPU parts take together."""
    besides = np.where(units > 0, demand.per_gpu[given.kinds[:, 0]], 0)
    return np.asarray(demand.on_gpus[units] + besides + demand.in_ram[units])


def rooms(demand: Demand, given: Offer) -> Int64s:
    """[row, card]: bytes that each card has for units, beside what it takes anyway; -1 where there is none."""
    kinds = given.kinds[:, 1:]
    return np.asarray(np.where(kinds != 0, given.available[:, 1:] - demand.per_gpu[kinds], -1))


def _roomy(demand: Demand, given: Offer) -> NDArray[np.int64]:
    """[row]: cards that can hold a unit."""
    return np.asarray((rooms(demand, given) >= demand.smallest_unit).sum(axis=1)) + given.shares_memory


def _fill(demand: Demand, given: Offer) -> tuple[Int64s, Int64s]:
    """Units on GPUs, and how many GPUs they take, when GPUs are filled from the largest to the smallest."""
    room = -np.sort(-rooms(demand, given), axis=1)
    if demand.exact_gpus:
        room = room[:, : demand.exact_gpus]
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
