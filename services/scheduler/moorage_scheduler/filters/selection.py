"""Workers that the user left out, by name or by label."""

from moorage_scheduler.filters.base import Mask, PlacementReason, Rejection, Request, Snapshot


class SelectionFilter:
    """The worker is among those named, and carries every label asked for."""

    reason = PlacementReason.WORKER_NOT_SELECTED
    transient = False

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns which slots are selected."""
        mask = snapshot.columns.present.copy()
        if request.selection.workers:
            mask[:] = False
            slots = snapshot.rows.slots
            mask[[slots[name] for name in request.selection.workers if name in slots]] = True
        for key, value in request.selection.labels.items():
            mask &= snapshot.rows.with_label(key, value)
        return mask

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns the wish that the worker does not meet."""
        worker, selection = snapshot.rows.at(slot), request.selection
        if selection.workers and worker.name not in selection.workers:
            needed, available = ", ".join(sorted(selection.workers)[:3]), worker.name
            if len(selection.workers) > 3:
                needed += f" and {len(selection.workers) - 3} more"
            remedy = f"name {worker.name} in the model's placement as well"
        else:
            missing = {k: v for k, v in selection.labels.items() if worker.labels.get(k) != v}
            needed = ", ".join(f"{key}={value}" for key, value in sorted(missing.items()))
            available = ", ".join(f"{k}={worker.labels[k]}" for k in sorted(missing) if k in worker.labels)
            remedy = f"label {worker.name} with {needed}"
        return Rejection(reason=self.reason, needed=needed, available=available or "none", remedy=remedy)
