"""How a llama.cpp model lies on workers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from moorage_common.core.placement import PlacementReason
from moorage_scheduler.core.closeness import closeness
from moorage_scheduler.core.codes import ACCELERATORS, REASONS
from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.layers.alone import Alone, fits_of, search
from moorage_scheduler.core.layers.demand import Demand
from moorage_scheduler.core.layers.shares import Share, Sharer, claims_of, unified_claims
from moorage_scheduler.core.layers.shortage import Estimator, memory_rejections, shortages
from moorage_scheduler.core.layers.together import gather
from moorage_scheduler.core.layers.ways import Way
from moorage_scheduler.core.offer import View
from moorage_scheduler.core.packing import Fits, Mode, Obstacles, Spot, Team
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.core.snapshot import Floats, Int64s
from moorage_scheduler.core.text import count


class LayerPacking:
    """Whole layers on GPUs and in RAM."""

    def __init__(self, estimate: Estimator, options: LlamaCppOptions, exact_gpus: int) -> None:
        self._estimate = estimate
        self._options = options
        self._exact_gpus = exact_gpus
        self._demand = Demand(estimate(options), options, exact_gpus)

    @property
    def total_layers(self) -> int:
        """Layers of the model, the output layer counting as one."""
        return self._demand.total_units

    @property
    def context_length(self) -> int:
        """Tokens that claims are for, shared by all slots."""
        return self._demand.profile.context_length

    def alone(self, view: View) -> Fits:
        """Returns how the layers lie on each worker alone."""
        found = search(self._demand, view.offer)
        fits = fits_of(self._demand, view.offer, found)
        if not self._demand.exact_gpus:
            return fits
        return self._dealt(view, found, fits)

    def settle(self, view: View, fits: Fits, row: int) -> Spot:
        """Returns which GPUs of a worker, on which the model fits, take which layers."""
        units = int(fits.gpu_layers[row])
        way = self._demand.ways[fits.way[row]]
        worker = view.worker(row)
        one_memory = ACCELERATORS.member(int(view.offer.kinds[row, 0]))
        if one_memory is not None:
            claims = unified_claims(way, worker, units, one_memory)
        else:
            claims = claims_of(way, worker, self._shares(view, way, row, units))
        return Spot(claims=claims, mode=Mode(int(fits.mode[row])), gpu_layers=units)

    def together(self, view: View, limit: int) -> Sequence[Team]:
        """Returns the workers that would serve it together, best first."""
        return gather(self._demand, view, limit)

    def fullness(self, view: View, fits: Fits) -> Floats:
        """Returns how full the fullest GPU would be that holds the model, or all together, or RAM."""
        demand, given = self._demand, view.offer
        used = given.capacity - given.available
        kinds = given.kinds[:, 1:]
        cards = kinds != 0
        on_gpus = demand.on_gpus[fits.gpu_layers][:, np.newaxis]
        besides = np.array([way.per_gpu + way.per_first for way in demand.ways])
        per_card = on_gpus + besides[fits.way[:, np.newaxis], kinds]
        holding = cards & (given.available[:, 1:] >= per_card)
        full = _share(used[:, 1:] + per_card, given.capacity[:, 1:])
        fullest = np.where(holding, full, 0.0).max(axis=1, initial=0.0)
        together = _share(
            np.where(cards, used[:, 1:], 0).sum(axis=1) + on_gpus[:, 0],
            np.where(cards, given.capacity[:, 1:], 0).sum(axis=1),
        )
        ram = np.select(
            [fits.way == position for position in range(len(demand.ways))],
            [way.in_ram[np.minimum(fits.gpu_layers, way.goal)] for way in demand.ways],
        )
        in_ram = _share(used[:, 0] + ram, given.capacity[:, 0])
        return np.select([(fits.gpus == 0) | given.unified, fits.gpus == 1], [in_ram, fullest], together)

    def closeness(self, view: View, fits: Fits) -> Floats:
        """Returns how close to each other the worker's GPUs are: between layers, little goes from one to the next."""
        cards = view.offer.kinds != 0
        return closeness(view.offer, cards, np.where(fits.gpus > 1, cards.sum(axis=1), 1))

    def distance(self, view: View) -> Int64s:
        """Returns how many bytes each worker on which it does not fit is short of."""
        return shortages(self._demand, view.offer, search(self._demand, view.offer)).distance

    def rejections(self, view: View) -> list[tuple[Rejection, ...]]:
        """Returns why each worker is too small, and what would help."""
        return memory_rejections(self._estimate, self._options, self._exact_gpus, view.offer)

    def _shares(self, view: View, way: Way, row: int, units: int) -> tuple[Share, ...]:
        if not units:
            return ()
        gpus, exact = view.gpus(row), self._demand.exact_gpus
        sharer = Sharer(demand=self._demand, way=way, strategy=view.strategy, seed=view.request.seed)
        shares = sharer.fill(gpus, start=0, stop=units)
        if not exact or len(shares) == exact:
            return shares
        largest = sharer.largest_first(gpus)[:exact]
        # The output layer may be all that the smallest has room for, or too large for it.
        orders = (largest, largest[::-1])
        deals = (sharer.spread(gpus, leader=view.worker(row), stop=units) for gpus in orders)
        return next((dealt for dealt in deals if dealt and dealt[-1].stop == units), ())

    def _dealt(self, view: View, found: Alone, fits: Fits) -> Fits:
        """Tries out each worker on which so many GPUs might hold the model: they are those chosen by hand, so few."""
        mode, reason = fits.mode.copy(), fits.reason.copy()
        for row in np.flatnonzero((mode != Mode.NOWHERE) & ~view.offer.shares_memory):
            units = int(found.units[row])
            shares = self._shares(view, self._demand.ways[found.way[row]], int(row), units)
            if len(shares) != self._demand.exact_gpus or shares[-1].stop != units:
                mode[row], reason[row] = Mode.NOWHERE, REASONS.of(PlacementReason.INSUFFICIENT_GPU_MEMORY)
        return replace(fits, mode=mode, reason=reason)


def layer_packing(estimate: Estimator, options: LlamaCppOptions, exact_gpus: int) -> LayerPacking | Obstacles:
    """Returns how a model lies on workers, or why it cannot lie on as many GPUs as are asked for."""
    demand = Demand(estimate(options), options, exact_gpus)
    if exact_gpus <= demand.goal:
        return LayerPacking(estimate, options, exact_gpus)
    rejection = Rejection(
        reason=PlacementReason.PARALLEL_SIZE_IMPOSSIBLE,
        needed=f"at most {count(demand.goal, 'GPU')}",
        available=str(exact_gpus),
        remedy=f"each GPU takes a whole layer: choose at most {count(demand.goal, 'GPU')}",
    )
    return Obstacles((rejection,))


def _share(part: Int64s, whole: Int64s) -> Floats:
    return np.asarray(part / np.maximum(whole, 1), np.float64)
