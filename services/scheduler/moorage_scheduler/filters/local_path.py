"""Workers that lack the path which the model is loaded from."""

from moorage_scheduler.filters.base import Mask, PlacementReason, Rejection, Request, Snapshot


class LocalPathFilter:
    """The model is fetched, or the worker has something at its path."""

    reason = PlacementReason.SOURCE_NOT_ON_WORKER
    transient = False

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns which slots have the path; all if the model is fetched."""
        if not request.local_path:
            return snapshot.columns.present
        return snapshot.rows.with_path(request.local_path)

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns the path."""
        remedy = f"put the model's files at {request.local_path} on {snapshot.rows.at(slot).name}"
        return Rejection(
            reason=self.reason, needed=request.local_path, available="nothing there", remedy=remedy
        )
