"""Workers whose disk has no room for the model's artifact."""

import numpy as np

from moorage_scheduler.core.text import amount
from moorage_scheduler.filters.base import Mask, PlacementReason, Rejection, Request, Snapshot


class DiskFilter:
    """The artifact is on the worker, or its disk has room for it."""

    reason = PlacementReason.INSUFFICIENT_DISK
    transient = True

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns which slots have the artifact or the room."""
        if request.local_path or not request.artifact_bytes:
            return snapshot.columns.present
        passing = np.asarray(snapshot.columns.disk_free >= request.artifact_bytes)
        holders = snapshot.copies.get(request.artifact, frozenset())
        passing[[snapshot.rows.slots[worker] for worker in holders if worker in snapshot.rows.slots]] = True
        return passing

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns the artifact's size, and what is free."""
        free = int(snapshot.columns.disk_free[slot])
        missing = amount(request.artifact_bytes - free)
        return Rejection(
            reason=self.reason,
            needed=str(request.artifact_bytes),
            available=str(free),
            unit="bytes",
            remedy=f"free {missing} on the storage of {snapshot.rows.at(slot).name}",
        )
