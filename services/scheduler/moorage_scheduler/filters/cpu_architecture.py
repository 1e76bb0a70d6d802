"""Workers whose CPU the engine was not built for."""

from moorage_scheduler.core.codes import ARCHITECTURES
from moorage_scheduler.filters.base import Mask, PlacementReason, Rejection, Request, Snapshot
from moorage_scheduler.filters.compatibility import COMPATIBILITY


class CpuArchitectureFilter:
    """The engine runs on the worker's CPU."""

    reason = PlacementReason.ARCHITECTURE_UNSUPPORTED
    transient = False

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns which slots have one of the engine's architectures."""
        return ARCHITECTURES.among(snapshot.columns.architecture, COMPATIBILITY[request.engine].architectures)

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns the architectures that would do, and the worker's."""
        architecture = snapshot.rows.at(slot).cpu_architecture
        needed = " or ".join(sorted(COMPATIBILITY[request.engine].architectures))
        return Rejection(
            reason=self.reason,
            needed=needed,
            available=architecture.value if architecture else "unknown",
            remedy=f"{request.engine.value} needs a worker with {needed}",
        )
