"""Prefers GPUs that are linked, or on the same PCIe switches: what they add up together crosses no slower way."""

from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.snapshot import Floats


class TopologyScorer:
    """How close the GPUs are that the model goes to. Of several, what is not known counts nothing."""

    name = "topology"
    bounds = (0.0, 1.0)

    def raw(self, candidates: Candidates) -> Floats:
        """Returns 1 for linked GPUs, or for one; 0.5 for GPUs on the same switches; else 0."""
        return candidates.packing.closeness(candidates.view, candidates.fits)
