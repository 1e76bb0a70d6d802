"""Workers that are being emptied."""

from moorage_scheduler.filters.base import Mask, PlacementReason, Rejection, Request, Snapshot


class DrainFilter:
    """The worker is not being drained."""

    reason = PlacementReason.WORKER_DRAINING
    transient = True

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:  # noqa: ARG002 — the same for every request
        """Returns which slots are not drained."""
        return ~snapshot.columns.draining

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:  # noqa: ARG002
        """Returns that the worker is being drained."""
        remedy = f"uncordon {snapshot.rows.at(slot).name}: that ends its drain"
        return Rejection(reason=self.reason, needed="no drain", available="draining", remedy=remedy)
