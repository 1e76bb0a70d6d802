"""Prefers workers that are full already: keeps large holes for large models."""

from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.snapshot import Floats


class BinpackScorer:
    """How full the memory would be that the model goes to: of the fullest GPU that holds it, or of all, or RAM."""

    name = "binpack"
    bounds = (0.0, 1.0)

    def raw(self, candidates: Candidates) -> Floats:
        """Returns the share that would be in use, from 0 to 1."""
        return candidates.packing.fullness(candidates.view, candidates.fits)
