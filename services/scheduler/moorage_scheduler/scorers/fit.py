"""Prefers workers whose GPUs hold more of the model."""

import numpy as np

from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.search import Mode
from moorage_scheduler.core.snapshot import Floats


class FitScorer:
    """One GPU, then several, then a part on GPUs, then the CPU: with room between them (`policy.FIT_GAP`).

    Among several GPUs fewer are better, among parts more layers.
    """

    name = "fit"
    bounds = (0.0, 1.0)

    def raw(self, candidates: Candidates) -> Floats:
        """Returns 1 for one GPU, 0.75 to 0.85 for several, 0.25 to 0.5 for a part, 0 for the CPU."""
        fits = candidates.fits
        several = 0.75 + 0.2 / np.maximum(fits.gpus, 2)
        partly = 0.25 + 0.25 * fits.gpu_units / candidates.demand.total_units
        return np.select(
            [fits.mode == Mode.ONE_GPU, fits.mode == Mode.SEVERAL_GPUS, fits.mode == Mode.PARTLY],
            [1.0, several, partly],
            0.0,
        )
