"""Cards that the engine does not compute on."""

import numpy as np

from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.codes import ACCELERATORS
from moorage_scheduler.core.wishes import asked_cards
from moorage_scheduler.filters.base import CardRule, Mask, PlacementReason, Rejection, Request, Snapshot
from moorage_scheduler.filters.compatibility import COMPATIBILITY


class AcceleratorRule(CardRule):
    """The engine computes on the card, and so does the build that the worker has."""

    reason = PlacementReason.ACCELERATOR_UNSUPPORTED
    transient = False

    def admits(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns which cards are of a kind that the engine drives."""
        key = (AcceleratorRule, request.engine, request.engine_version)
        return snapshot.rows.kept(key, lambda: self._admits(snapshot, request))

    @staticmethod
    def _admits(snapshot: Snapshot, request: Request) -> Mask:
        builds = snapshot.rows.builds(request.engine, request.engine_version)
        # What is not installed drives everything here: that is another filter's to say.
        drives = np.where(builds.installed, builds.drives, -1)
        supported = drives & ACCELERATORS.bits(COMPATIBILITY[request.engine].accelerators)
        kinds = snapshot.columns.kinds
        return np.asarray(((supported[:, np.newaxis] >> kinds) & 1).astype(np.bool_) & (kinds != 0))

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns the kinds that would do, and those that the worker has and its engine computes on."""
        worker, engine = snapshot.rows.at(slot), request.engine.value
        supported = COMPATIBILITY[request.engine].accelerators
        needed = " or ".join(sorted(supported))
        drives = _driven(snapshot, request, slot)
        unused = {card.kind for card in asked_cards(worker, request)} - (drives & supported)
        names = ", ".join(sorted(unused))
        if unused & supported:
            computes = ", ".join(sorted(drives)) or "the CPU only"
            available = f"{names}, but {engine} there computes on {computes}"
            remedy = (
                f"install a build of {engine} for {' or '.join(sorted(unused & supported))} on {worker.name}"
            )
        elif COMPATIBILITY[request.engine].needs_accelerator or unused:
            available, remedy = names or "none", f"{engine} needs a worker with {needed}"
        else:
            available, remedy = "none", "let layers run on the CPU: gpu_layers 0, or leave it out"
        return Rejection(reason=self.reason, needed=needed, available=available, remedy=remedy)


def _driven(snapshot: Snapshot, request: Request, slot: int) -> frozenset[AcceleratorKind]:
    builds = snapshot.rows.builds(request.engine, request.engine_version)
    if not builds.installed[slot]:
        return frozenset(AcceleratorKind)
    return frozenset(kind for kind in AcceleratorKind if builds.drives[slot] & ACCELERATORS.bits([kind]))
