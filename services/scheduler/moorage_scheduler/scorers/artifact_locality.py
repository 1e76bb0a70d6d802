"""Prefers workers that need not download the model."""

import numpy as np

from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.snapshot import Floats


class ArtifactLocalityScorer:
    """The artifact is ready on the worker. One that is on its way does not count: it may never arrive."""

    name = "artifact_locality"
    bounds = (0.0, 1.0)

    def raw(self, candidates: Candidates) -> Floats:
        """Returns 1 where the artifact is ready, else 0."""
        return np.asarray(candidates.view.has_artifact(), np.float64)
