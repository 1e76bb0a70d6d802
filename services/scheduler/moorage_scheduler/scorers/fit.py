"""Prefers places where GPUs hold more of the model."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.packing import Mode
from moorage_scheduler.core.snapshot import Floats

_LEAST, _FOR_FEWER, _FOR_PART = np.zeros((3, len(Mode)))
"""[mode]: what each is worth at least, and on top if its GPUs are as few, and its part is as large, as can be."""
for _mode, _worth in (
    (Mode.ONE_GPU, (1.0, 0.0, 0.0)),
    (Mode.SEVERAL_GPUS, (0.75, 0.1, 0.0)),
    (Mode.DISTRIBUTED, (0.6, 0.0, 0.0)),
    (Mode.DISTRIBUTED_PARTLY, (0.45, 0.0, 0.0)),
    (Mode.PARTLY, (0.15, 0.0, 0.15)),
):
    _LEAST[_mode], _FOR_FEWER[_mode], _FOR_PART[_mode] = _worth


class FitScorer:
    """One GPU, then several, then several workers, then a part, then the CPU: with room between (`policy.FIT_GAP`).

    Among several GPUs fewer are better, among parts more layers.
    """

    name = "fit"
    bounds = (0.0, 1.0)

    def raw(self, candidates: Candidates) -> Floats:
        """Returns `fit_value` of each candidate."""
        fits = candidates.fits
        share = fits.gpu_layers / max(1, candidates.packing.total_layers)
        return fit_value(fits.mode, pieces=fits.gpus, share=share)


def fit_value(mode: ArrayLike, *, pieces: ArrayLike = 1, share: ArrayLike = 0.0) -> Floats:
    """Returns how well a model lies, from 0 to 1.

    Args:
        mode: The mode of each place.
        pieces: GPUs that hold it, where one worker does.
        share: Which part of the layers is on GPUs, where one worker holds them.
    """
    modes: NDArray[np.uint8] = np.asarray(mode)
    fewer = 2.0 / np.maximum(np.asarray(pieces), 2)
    return np.asarray(_LEAST[modes] + _FOR_FEWER[modes] * fewer + _FOR_PART[modes] * np.asarray(share))
