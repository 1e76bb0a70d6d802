"""Cards that were not chosen by hand."""

import numpy as np

from moorage_scheduler.core.wishes import chosen_places
from moorage_scheduler.filters.base import CardRule, Mask, PlacementReason, Rejection, Request, Snapshot


class GpuSelectionRule(CardRule):
    """The card was chosen, or none was chosen by hand."""

    reason = PlacementReason.GPU_NOT_SELECTED
    transient = False

    def admits(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns which cards were chosen."""
        kinds = snapshot.columns.kinds
        if not request.selection.gpus:
            return np.ones_like(kinds, np.bool_)
        chosen = np.zeros_like(kinds, np.bool_)
        for _, slot, position in chosen_places(snapshot, request):
            chosen[slot, position] = True
        return chosen

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns the GPUs that were chosen, and those that the worker has."""
        worker = snapshot.rows.at(slot)
        wishes = sorted(map(str, request.selection.gpus))
        needed = ", ".join(wishes[:3]) + (f" and {len(wishes) - 3} more" if len(wishes) > 3 else "")
        return Rejection(
            reason=self.reason,
            needed=needed,
            available=", ".join(sorted(card.uuid for card in worker.accelerators)[:3]) or "none",
            remedy=f"choose a GPU of {worker.name} as well",
        )
