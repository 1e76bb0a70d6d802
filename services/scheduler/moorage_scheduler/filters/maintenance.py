"""Workers that are being worked on."""

from moorage_scheduler.filters.base import Mask, PlacementReason, Rejection, Request, Snapshot


class MaintenanceFilter:
    """The worker is not under maintenance."""

    reason = PlacementReason.WORKER_MAINTENANCE
    transient = True

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:  # noqa: ARG002 — the same for every request
        """Returns which slots are not under maintenance."""
        return ~snapshot.columns.maintenance

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:  # noqa: ARG002
        """Returns that the worker is under maintenance."""
        remedy = f"end the maintenance of {snapshot.rows.at(slot).name}"
        return Rejection(reason=self.reason, needed="no maintenance", available="maintenance", remedy=remedy)
