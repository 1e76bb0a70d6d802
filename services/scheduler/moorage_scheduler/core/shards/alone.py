"""How a vLLM model lies on each of many workers alone: over the fewest GPUs that divide it, all of one kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from moorage_common.core.placement import PlacementReason
from moorage_scheduler.core.codes import REASONS
from moorage_scheduler.core.offer import Offer
from moorage_scheduler.core.packing import Fits, Mode
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import VllmOptions
from moorage_scheduler.core.shards.cards import CardFit, counts_by_kind
from moorage_scheduler.core.snapshot import Int64s, Mask
from moorage_scheduler.estimators.vllm import VllmNeeds
from moorage_scheduler.estimators.vllm_cuts import Cuts
from moorage_scheduler.estimators.vllm_shapes import candidate_shapes, shapes_on


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alone:
    """What was found for each row of an offer."""

    shapes: tuple[ParallelShape, ...]
    chosen: NDArray[np.intp]
    """[row]: position of the row's shape; -1: none fits."""
    gpus: Int64s
    """[row]: GPUs that it takes."""
    ram_short: Mask
    """[row]: some shape fits the GPUs, but RAM is short."""
    few_gpus: Mask
    """[row]: there are fewer GPUs of one kind than any shape takes."""


def single_worker_shapes(needs: VllmNeeds, exact_gpus: int, most: int) -> tuple[ParallelShape, ...]:
    """Returns the shapes to try on one worker, best first: layers cut before they are dealt out over stages."""
    return _shapes(needs.cuts, needs.options, exact_gpus, most)


@lru_cache(maxsize=1024)
def _shapes(cuts: Cuts, options: VllmOptions, exact_gpus: int, most: int) -> tuple[ParallelShape, ...]:
    if exact_gpus:
        return shapes_on(cuts, options, exact_gpus)
    cut = candidate_shapes(cuts, options, most, pipelines=False)
    dealt = candidate_shapes(cuts, options, most, pipelines=True)
    return tuple(dict.fromkeys((*cut, *dealt)))


def search(needs: VllmNeeds, given: Offer, fit: CardFit, exact_gpus: int) -> Alone:
    """Finds the best shape of every worker on offer."""
    rows = len(given.slots)
    cards = (given.kinds != 0).sum(axis=1)
    chosen = np.full(rows, -1, np.intp)
    gpus = np.zeros(rows, np.int64)
    ram_short = np.zeros(rows, np.bool_)
    few_gpus = np.ones(rows, np.bool_)
    of_a_kind = counts_by_kind(given, given.kinds != 0).max(axis=1)
    shapes: list[ParallelShape] = []
    for shape in single_worker_shapes(needs, exact_gpus, int(cards.max(initial=0))):
        waiting = chosen < 0
        if not waiting.any():
            break
        few_gpus &= of_a_kind < shape.gpus
        waiting &= cards >= shape.gpus
        if not waiting.any() or not fit.fits_any(shape):
            continue
        enough = _enough(given, fit, shape)
        roomy = ram_left(needs, given, fit, shape) >= 0
        ram_short |= waiting & enough & ~roomy
        taken = waiting & enough & roomy
        chosen[taken] = len(shapes)
        gpus[taken] = shape.gpus
        shapes.append(shape)
    return Alone(
        shapes=tuple(shapes),
        chosen=chosen,
        gpus=gpus,
        ram_short=ram_short & (chosen < 0),
        few_gpus=few_gpus,
    )


def fits_of(found: Alone, layers: int, ways: Sequence[int]) -> Fits:
    """Returns what was found, as every packing says it; `ways` are the numbers of its shapes."""
    mode = np.select([found.chosen < 0, found.gpus > 1], [Mode.NOWHERE, Mode.SEVERAL_GPUS], Mode.ONE_GPU)
    return Fits(
        mode=mode.astype(np.uint8),
        gpu_layers=np.where(found.chosen < 0, 0, layers),
        gpus=found.gpus,
        reason=np.select(
            [found.ram_short, found.few_gpus],
            [REASONS.of(PlacementReason.INSUFFICIENT_RAM), REASONS.of(PlacementReason.INSUFFICIENT_GPUS)],
            REASONS.of(PlacementReason.INSUFFICIENT_GPU_MEMORY),
        ).astype(np.uint8),
        way=np.array([*ways, -1], np.intp)[found.chosen],
    )


def ram_left(needs: VllmNeeds, given: Offer, fit: CardFit, shape: ParallelShape) -> Int64s:
    """Returns what each worker's RAM has left beside a shape that it serves alone."""
    host = needs.on_host(shape, ranks=shape.gpus, leads=True).total
    # One memory for both holds the card's part, too.
    shared = np.where(given.shares_memory, fit.of(shape).claim[:, 0], 0)
    return np.asarray(given.available[:, 0] - host - shared)


def _enough(given: Offer, fit: CardFit, shape: ParallelShape) -> Mask:
    """Workers with enough cards of one kind for a shape."""
    counts = counts_by_kind(given, fit.of(shape).eligible)
    return np.asarray((counts >= shape.gpus).any(axis=1))
