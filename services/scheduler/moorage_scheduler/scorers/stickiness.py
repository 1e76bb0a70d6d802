"""Prefers the worker that the instance ran on last: what is cached there is warm."""

import numpy as np

from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.snapshot import Floats


class StickinessScorer:
    """The instance was bound to the worker last."""

    name = "stickiness"
    bounds = (0.0, 1.0)

    def raw(self, candidates: Candidates) -> Floats:
        """Returns 1 for that worker, else 0."""
        slot = candidates.view.snapshot.rows.slots.get(candidates.view.request.last_worker, -1)
        return np.asarray(candidates.view.offer.slots == slot, np.float64)
