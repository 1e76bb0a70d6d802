"""Workers without an accelerator that the model must have."""

import numpy as np

from moorage_scheduler.core.cluster import Engine
from moorage_scheduler.core.codes import ACCELERATORS, ENGINES
from moorage_scheduler.filters.base import Mask, PlacementReason, Rejection, Request, Snapshot
from moorage_scheduler.filters.compatibility import COMPATIBILITY


class AcceleratorFilter:
    """If the model must compute on an accelerator, the worker has one that its engine computes on."""

    reason = PlacementReason.ACCELERATOR_UNSUPPORTED
    transient = False

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns which slots have such an accelerator, or need none."""
        columns, supported = snapshot.columns, COMPATIBILITY[request.engine]
        # An engine that is not installed drives everything here: that is the next filter's to say.
        drives = columns.drives[:, ENGINES.of(request.engine)]
        usable = columns.accelerators & drives & ACCELERATORS.bits(supported.accelerators)
        if supported.needs_accelerator or request.options.gpu_layers:
            return np.asarray(usable != 0)
        if request.options.forbid_cpu_offload:
            return np.asarray((columns.accelerators == 0) | (usable != 0))
        return columns.present

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns the kinds that would do, and those that the worker has and its engine computes on."""
        worker = snapshot.rows.at(slot)
        needed = " or ".join(sorted(COMPATIBILITY[request.engine].accelerators))
        has = sorted({card.kind.value for card in worker.accelerators})
        if has:
            drives = worker.engines.get(request.engine, Engine()).drives
            available = f"{', '.join(has)}, but {request.engine.value} there computes on " + (
                ", ".join(sorted(drives)) or "the CPU only"
            )
            remedy = f"install a build of {request.engine.value} for {' or '.join(has)} on {worker.name}"
        else:
            available, remedy = "none", "let layers run on the CPU: gpu_layers 0, or leave it out"
        return Rejection(reason=self.reason, needed=needed, available=available, remedy=remedy)
