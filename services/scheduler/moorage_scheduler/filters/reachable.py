"""Workers whose lease lapsed."""

import numpy as np

from moorage_common.core.states import WorkerState
from moorage_scheduler.core.codes import STATES
from moorage_scheduler.filters.base import Mask, PlacementReason, Rejection, Request, Snapshot


class ReachableFilter:
    """The worker's lease is live."""

    reason = PlacementReason.WORKER_UNREACHABLE
    transient = True

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:  # noqa: ARG002 — the same for every request
        """Returns which slots are not UNREACHABLE."""
        return np.asarray(snapshot.columns.state != STATES.of(WorkerState.UNREACHABLE))

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:  # noqa: ARG002
        """Returns that the worker is UNREACHABLE."""
        remedy = f"start or reconnect the agent of {snapshot.rows.at(slot).name}"
        return Rejection(
            reason=self.reason,
            needed=WorkerState.READY.value,
            available=WorkerState.UNREACHABLE.value,
            remedy=remedy,
        )
