"""Workers whose agent cannot start the engine."""

import numpy as np

from moorage_scheduler.filters.base import Mask, PlacementReason, Rejection, Request, Snapshot


class EngineFilter:
    """The worker's agent reported the engine."""

    reason = PlacementReason.ENGINE_NOT_INSTALLED
    transient = False

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns which slots have the engine."""
        return np.asarray(snapshot.rows.builds(request.engine, "").installed)

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns the engine, and those that the worker has."""
        worker = snapshot.rows.at(slot)
        return Rejection(
            reason=self.reason,
            needed=request.engine.value,
            available=", ".join(sorted(worker.engines)) or "none",
            remedy=f"install {request.engine.value} on {worker.name}; its agent's log says what an installed one lacks",
        )
