"""Prefers workers that are full already: keeps large holes for large models."""

import numpy as np

from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.snapshot import Floats, Int64s


class BinpackScorer:
    """How full the memory would be that the model goes to: of the fullest GPU that holds it, or of all, or RAM."""

    name = "binpack"
    bounds = (0.0, 1.0)

    def raw(self, candidates: Candidates) -> Floats:
        """Returns the share that would be in use, from 0 to 1."""
        offer, fits, demand = candidates.offer, candidates.fits, candidates.demand
        capacity = candidates.snapshot.columns.capacity[offer.slots]
        used = capacity - offer.available
        cards = offer.kinds[:, 1:] != 0
        on_gpus = demand.on_gpus[fits.gpu_units][:, np.newaxis]
        per_card = on_gpus + demand.per_gpu[offer.kinds[:, 1:]]
        holding = cards & (offer.available[:, 1:] >= per_card)
        full = _share(used[:, 1:] + per_card, capacity[:, 1:])
        fullest = np.where(holding, full, 0.0).max(axis=1, initial=0.0)
        together = _share(
            np.where(cards, used[:, 1:], 0).sum(axis=1) + on_gpus[:, 0],
            np.where(cards, capacity[:, 1:], 0).sum(axis=1),
        )
        in_ram = _share(used[:, 0] + demand.in_ram[fits.gpu_units], capacity[:, 0])
        return np.select([(fits.gpus == 0) | offer.unified, fits.gpus == 1], [in_ram, fullest], together)


def _share(part: Int64s, whole: Int64s) -> Floats:
    return np.asarray(part / np.maximum(whole, 1), np.float64)
