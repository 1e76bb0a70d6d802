"""Why a model's memory does not fit some workers, by how much, and what would make it fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from moorage_common.core.placement import PlacementReason
from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.layers.alone import Alone, search
from moorage_scheduler.core.layers.demand import Demand
from moorage_scheduler.core.layers.ways import Way
from moorage_scheduler.core.memory import MemoryProfile
from moorage_scheduler.core.offer import Offer
from moorage_scheduler.core.packing import Mode
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.core.snapshot import Int64s, Mask
from moorage_scheduler.core.text import amount

Estimator = Callable[[LlamaCppOptions], MemoryProfile]

_SMALLEST_CONTEXT = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shortages:
    """What each row of an offer is short of, in bytes."""

    on_gpu: Mask
    """Whether GPU memory is what is short first."""
    gpu_needed: Int64s
    """What one GPU would have to have: for all units that are to go to GPUs, or, of chosen ones, for its unit."""
    gpu_available: Int64s
    """What the largest GPU has, or the smallest that must be used."""
    ram_needed: Int64s
    """What RAM would have to have for what is left."""
    ram_available: Int64s

    @property
    def distance(self) -> Int64s:
        """How far each row is from fitting: what is short, of GPU or RAM, whichever is less."""
        gpu, ram = self.gpu_needed - self.gpu_available, self.ram_needed - self.ram_available
        return np.asarray(
            np.where(self.on_gpu & (gpu > 0), np.where(ram > 0, np.minimum(gpu, ram), gpu), ram)
        )


def shortages(demand: Demand, given: Offer, found: Alone) -> Shortages:
    """Returns what the rows of an offer need and have. Rows that fit are of no interest here."""
    with_gpu = given.has_gpu & ~given.shares_memory
    on_gpu = found.gpu_short | (with_gpu & (found.units < demand.goal))
    units = np.full(len(given.slots), demand.on_gpus[demand.goal])
    available, besides = _card(demand.ways[0], given, 0)
    if demand.exact_gpus:
        # The memory would do, but the smallest of so many GPUs has no room for the unit that falls to it.
        no_unit = np.where(found.gpu_short, found.gpus != demand.exact_gpus, ~found.ram_short)
        tight = ~found.few_gpus & no_unit
        smallest, besides_there = _card(demand.ways[0], given, demand.exact_gpus - 1)
        on_gpu = on_gpu | tight
        units = np.where(tight, demand.largest_unit, units)
        available = np.where(tight, smallest, available)
        besides = np.where(tight, besides_there, besides)
    return Shortages(
        on_gpu=on_gpu,
        gpu_needed=units + besides,
        gpu_available=available,
        ram_needed=found.ram_needed,
        ram_available=given.available[:, 0],
    )


def _card(way: Way, given: Offer, position: int) -> tuple[Int64s, Int64s]:
    """[row]: what the largest card has, or the next largest, and what it takes beside units. 0: there is none."""
    kinds, available = given.kinds[:, 1:], given.available[:, 1:]
    if position >= kinds.shape[1]:
        return np.zeros(len(kinds), np.int64), np.zeros(len(kinds), np.int64)
    besides = way.per_gpu + way.per_first
    room = np.where(kinds != 0, available - besides[kinds], -(2**62))
    rows, cards = np.arange(len(room)), np.lexsort((-available, -room), axis=1)[:, position]
    kind = kinds[rows, cards]
    return np.where(kind != 0, available[rows, cards], 0), besides[kind]


def memory_rejections(
    estimate: Estimator, options: LlamaCppOptions, exact_gpus: int, given: Offer
) -> list[tuple[Rejection, ...]]:
    """Returns why each row of an offer, on which the model does not fit, is too small."""
    demand = Demand(estimate(options), options, exact_gpus)
    found = search(demand, given)
    short = shortages(demand, given, found)
    hints = _hints(estimate, options, exact_gpus, demand.profile.context_length, given)
    gpus = (given.kinds != 0).sum(axis=1)
    return [
        _too_few(demand.exact_gpus, int(gpus[row]))
        if found.few_gpus[row]
        else _rejections(short, found, row, hints[row])
        for row in range(len(given.slots))
    ]


def _too_few(needed: int, available: int) -> tuple[Rejection, ...]:
    return (
        Rejection(
            reason=PlacementReason.INSUFFICIENT_GPUS,
            needed=str(needed),
            available=str(available),
            unit="GPUs",
            remedy=f"choose {needed} GPUs of one worker, or ask for fewer",
        ),
    )


def _rejections(short: Shortages, found: Alone, row: int, hint: str) -> tuple[Rejection, ...]:
    rejections = []
    if short.on_gpu[row]:
        needed, available = int(short.gpu_needed[row]), int(short.gpu_available[row])
        remedy = f"needs {amount(needed - available)} more on one GPU{hint}"
        rejections.append(_rejection(PlacementReason.INSUFFICIENT_GPU_MEMORY, needed, available, remedy))
    if found.ram_short[row]:
        needed, available = int(short.ram_needed[row]), int(short.ram_available[row])
        remedy = f"needs {amount(needed - available)} more RAM{hint}"
        rejections.append(_rejection(PlacementReason.INSUFFICIENT_RAM, needed, available, remedy))
    return tuple(rejections)


def _rejection(reason: PlacementReason, needed: int, available: int, remedy: str) -> Rejection:
    return Rejection(reason=reason, needed=str(needed), available=str(available), unit="bytes", remedy=remedy)


def _hints(
    estimate: Estimator, options: LlamaCppOptions, exact_gpus: int, context: int, given: Offer
) -> list[str]:
    """Changes of the model's options that would make it fit, tried out, as the end of a sentence per row."""
    hints = [""] * len(given.slots)
    relaxed = replace(options, gpu_layers=None, forbid_cpu_offload=False)
    for row, units in _fitting(estimate, relaxed, exact_gpus, given):
        if options.gpu_layers is not None:
            hints[row] += f"; gpu_layers {units} would fit"
        elif options.forbid_cpu_offload:
            hints[row] += "; with layers on the CPU it would fit"
    waiting = np.arange(len(given.slots))
    for length in _shorter(context):
        shorter = replace(options, context_length=length)
        fitting = _fitting(estimate, shorter, exact_gpus, given.rows(waiting))
        for position, _ in fitting:
            hints[waiting[position]] += f"; context_length {length} would fit"
        waiting = np.delete(waiting, [position for position, _ in fitting])
        if not len(waiting):
            break
    return hints


def _fitting(
    estimate: Estimator, options: LlamaCppOptions, exact_gpus: int, given: Offer
) -> list[tuple[int, int]]:
    """Rows that fit with these options, each with its units on GPUs."""
    found = search(Demand(estimate(options), options, exact_gpus), given)
    rows: NDArray[np.intp] = np.flatnonzero(found.mode != Mode.NOWHERE)
    return [(int(row), int(found.units[row])) for row in rows]


def _shorter(context: int) -> Sequence[int]:
    """Powers of two below a context length, longest first."""
    longest = 1 << max(0, (context - 1).bit_length() - 1)
    return [longest >> step for step in range(longest.bit_length()) if longest >> step >= _SMALLEST_CONTEXT]
