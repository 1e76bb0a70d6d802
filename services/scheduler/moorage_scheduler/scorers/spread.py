"""Prefers workers with few instances: one that fails takes few replicas with it."""

import numpy as np

from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.snapshot import Floats

_OTHERS_AT_MOST = 0.25


class SpreadScorer:
    """Fewest instances of the same model first, then fewest of any."""

    name = "spread"
    bounds = (0.0, 1.0)

    def raw(self, candidates: Candidates) -> Floats:
        """Returns 1 for an empty worker, less with each instance, the model's own counting most."""
        view = candidates.view
        snapshot, slots = view.snapshot, view.offer.slots
        same = np.zeros(len(snapshot.columns.present), np.float64)
        for (worker, pool), count in snapshot.replicas.get(view.request.model, {}).items():
            if pool == RAM and worker in snapshot.rows.slots:
                same[snapshot.rows.slots[worker]] = count
        tenants = snapshot.columns.tenants[slots, 0]
        # However many others there are, they never count as much as one of the model's own.
        others = _OTHERS_AT_MOST * tenants / (tenants + 1.0)
        return np.asarray(1.0 / (1.0 + same[slots] + others))
