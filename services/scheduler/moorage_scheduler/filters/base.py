"""What a filter is."""

from typing import Protocol

from moorage_common.core.placement import PlacementReason
from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.request import Request
from moorage_scheduler.core.snapshot import Mask, Snapshot

__all__ = ["Filter", "Mask", "PlacementReason", "Rejection", "Request", "Snapshot"]


class Filter(Protocol):
    """One rule that a worker must pass, asked of all workers at once.

    A filter knows neither the other filters nor what fits: it answers its one question, and says on demand
    why one worker failed it.
    """

    @property
    def reason(self) -> PlacementReason:
        """What a worker that fails is rejected for."""
        ...

    @property
    def transient(self) -> bool:
        """Whether a worker that fails may pass another time without becoming another machine."""
        ...

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns which slots pass; what it says of empty slots does not count."""
        ...

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns why the worker in a slot that did not pass failed."""
        ...
