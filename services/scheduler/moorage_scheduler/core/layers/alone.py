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
from moorage_scheduler.core.layers.ways import Way
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
    way: NDArray[np.intp]
    """Which of the demand's ways it is."""
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
    way, units, gpus = _dealt_out(demand, given)
    unified, ram = given.shares_memory, given.available[:, 0]
    if unified.any():
        way = np.where(unified, 0, way)
        units = np.where(unified, demand.goal, units)
        gpus = np.where(unified, np.minimum(demand.goal, 1), gpus)
    needed = _ram_needed(demand, given, way, units)
    if demand.fixed_units is None and demand.may_offload and not demand.exact_gpus:
        # Where one memory is too small for the GPU's extras, the same memory may do for the CPU alone.
        retreat = unified & (needed > ram)
        way = np.where(retreat, len(demand.ways) - 1, way)
        units, gpus = np.where(retreat, 0, units), np.where(retreat, 0, gpus)
        needed = np.where(retreat, demand.beside_ram.in_ram[0], needed)
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
        way=way,
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
        way=found.way,
    )


def rooms(way: Way, given: Offer) -> Int64s:
    """[row, card]: bytes that each card has for units, beside what it takes anyway; -1 where there is none."""
    kinds = given.kinds[:, 1:]
    return np.asarray(np.where(kinds != 0, given.available[:, 1:] - way.per_gpu[kinds], -1))


def _ram_needed(demand: Demand, given: Offer, way: NDArray[np.intp], units: Int64s) -> Int64s:
    """Bytes of pool 0: what is in RAM and, where GPUs share it, what is on them."""
    needed, kinds = np.zeros(len(units), np.int64), given.kinds[:, 0]
    for position, one in enumerate(demand.ways):
        rows = np.flatnonzero(way == position)
        needed[rows] = one.in_ram[units[rows]]
        sharing = rows[given.shares_memory[rows] & (units[rows] > 0)]
        kind = kinds[sharing]
        needed[sharing] += demand.on_gpus[units[sharing]] + one.per_gpu[kind] + one.per_first[kind]
    return needed


def _roomy(demand: Demand, given: Offer) -> NDArray[np.int64]:
    """[row]: cards that can hold a unit."""
    cards = rooms(demand.ways[0], given) >= demand.smallest_unit
    return np.asarray(cards.sum(axis=1)) + given.shares_memory


def _dealt_out(demand: Demand, given: Offer) -> tuple[NDArray[np.intp], Int64s, Int64s]:
    """The best way of each row that its GPUs allow, units on them, and how many they take."""
    count = len(given.slots)
    chosen = np.full(count, len(demand.ways) - 1, np.intp)
    units, gpus = np.zeros((2, count), np.int64)
    left = np.arange(count)
    for position, way in enumerate(demand.ways):
        fill = _fill_one if way.most_gpus == 1 and way.holds_all else _fill
        found, taken = fill(demand, way, given.rows(left))
        done = found == way.goal if way.holds_all else np.ones(len(left), np.bool_)
        chosen[left[done]], units[left[done]], gpus[left[done]] = position, found[done], taken[done]
        left = left[~done]
    return chosen, units, gpus


def _fill_one(demand: Demand, way: Way, given: Offer) -> tuple[Int64s, Int64s]:
    """All units and one GPU, where one has room for all of them; else none."""
    whole = rooms(way, given).max(axis=1, initial=-1) >= demand.on_gpus[way.goal]
    return whole * way.goal, whole.astype(np.int64)


def _fill(demand: Demand, way: Way, given: Offer) -> tuple[Int64s, Int64s]:
    """Units on GPUs, and how many GPUs they take, when GPUs are filled from the largest to the smallest.

    The last one that is filled has less room, for what the first of the leader's GPUs holds on top: it is the one
    with which most units find room.
    """
    room = rooms(way, given)
    order = np.argsort(-room, axis=1, kind="stable")[:, : way.most_gpus]
    room = np.take_along_axis(room, order, axis=1)
    last_room = room - way.per_first[np.take_along_axis(given.kinds[:, 1:], order, axis=1)]
    sums = demand.on_gpus[: way.goal + 1]
    start, taken, most, gpus = np.zeros((4, len(room)), np.int64)
    for position in range(room.shape[1]):
        rows = np.flatnonzero((room[:, position] >= 0) & (most < way.goal))
        if not len(rows):
            break
        begun = start[rows]
        stop = _reach(sums, begun, last_room[rows, position])
        better = (stop > begun) & (stop > most[rows])
        most[rows[better]], gpus[rows[better]] = stop[better], taken[rows[better]] + 1
        # The last one holds a unit at least.
        filled = np.minimum(_reach(sums, begun, room[rows, position]), way.goal - 1)
        taken[rows] += filled > begun
        start[rows] = np.maximum(begun, filled)
    return most, gpus


def _reach(sums: Int64s, start: Int64s, room: Int64s) -> Int64s:
    """The units up to which those from each start on fit into so much room."""
    return np.asarray(np.searchsorted(sums, sums[start] + room, side="right") - 1)
