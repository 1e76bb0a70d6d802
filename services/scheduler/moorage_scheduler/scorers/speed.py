"""Prefers workers that should answer faster: generating is bound by memory, so by the bandwidth of what is read."""

import numpy as np

from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.snapshot import Floats

_FASTEST_BYTES_PER_S = 8e12
"""Of the fastest cards there are (HBM3e); bounds are fixed, so that who else is a candidate changes no order."""


class SpeedScorer:
    """Bandwidth of the fastest card there that the model may compute on. What is not known counts nothing."""

    name = "speed"
    bounds = (0.0, _FASTEST_BYTES_PER_S)

    def raw(self, candidates: Candidates) -> Floats:
        """Returns bytes a second; 0 where the model would be in RAM."""
        offer = candidates.view.offer
        bandwidth = candidates.view.snapshot.columns.bandwidth[offer.slots]
        fastest = np.where(offer.kinds != 0, bandwidth, 0.0).max(axis=1, initial=0.0)
        return np.where(candidates.fits.gpus > 0, fastest, 0.0)
