"""Workers whose operating system the engine does not run on."""

from moorage_scheduler.core.codes import SYSTEMS
from moorage_scheduler.filters.base import Mask, PlacementReason, Rejection, Request, Snapshot
from moorage_scheduler.filters.compatibility import COMPATIBILITY


class OperatingSystemFilter:
    """The engine runs on the worker's operating system."""

    reason = PlacementReason.OS_UNSUPPORTED
    transient = False

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns which slots run one of the engine's systems."""
        return SYSTEMS.among(snapshot.columns.system, COMPATIBILITY[request.engine].systems)

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns the systems that would do, and the worker's."""
        system = snapshot.rows.at(slot).operating_system
        needed = " or ".join(sorted(COMPATIBILITY[request.engine].systems))
        return Rejection(
            reason=self.reason,
            needed=needed,
            available=system.value if system else "unknown",
            remedy=f"{request.engine.value} needs a worker that runs {needed}",
        )
