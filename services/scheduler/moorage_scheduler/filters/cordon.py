"""Workers that a person closed to new instances."""

from moorage_scheduler.filters.base import Mask, PlacementReason, Rejection, Request, Snapshot


class CordonFilter:
    """The worker takes new instances."""

    reason = PlacementReason.WORKER_CORDONED
    transient = True

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:  # noqa: ARG002 — the same for every request
        """Returns which slots are not cordoned."""
        return ~snapshot.columns.cordoned

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:  # noqa: ARG002
        """Returns that the worker is cordoned."""
        remedy = f"uncordon {snapshot.rows.at(slot).name}"
        return Rejection(reason=self.reason, needed="uncordoned", available="cordoned", remedy=remedy)
