"""Workers that cannot be given work at the moment."""

import numpy as np

from moorage_common.core.states import WorkerState
from moorage_scheduler.core.codes import STATES
from moorage_scheduler.filters.base import Mask, PlacementReason, Rejection, Request, Snapshot


class StateFilter:
    """The worker is READY."""

    reason = PlacementReason.WORKER_NOT_READY
    transient = True

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:  # noqa: ARG002 — the same for every request
        """Returns which slots are READY."""
        return np.asarray(snapshot.columns.state == STATES.of(WorkerState.READY))

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:  # noqa: ARG002
        """Returns the state that the worker is in."""
        state = STATES.member(int(snapshot.columns.state[slot]))
        return Rejection(
            reason=self.reason,
            needed=WorkerState.READY.value,
            available=state.value if state else "unknown",
            remedy=f"start or reconnect the agent of {snapshot.rows.at(slot).name}",
        )
