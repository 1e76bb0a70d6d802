"""What a filter is."""

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from moorage_common.core.placement import PlacementReason
from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.request import Request
from moorage_scheduler.core.snapshot import Mask, Snapshot

__all__ = [
    "CardRule",
    "Filter",
    "Mask",
    "PlacementReason",
    "Rejection",
    "Request",
    "Snapshot",
]


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
        """Whether a worker that fails may pass another time with nothing installed or replaced."""
        ...

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns which slots pass; what it says of empty slots does not count."""
        ...

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns why the worker in a slot that did not pass failed."""
        ...


class CardRule(ABC):
    """One rule about accelerators, asked of all cards at once.

    The model computes only on cards that all such rules admit. A worker is rejected by the first rule that leaves it
    none, if the model must have one.
    """

    reason: ClassVar[PlacementReason]
    """What a worker that fails is rejected for."""
    transient: ClassVar[bool]
    """Whether a worker that fails may pass another time with nothing installed or replaced."""

    @abstractmethod
    def admits(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns, as [slot, pool], which cards the model may compute on; what it says of no card does not count."""

    @abstractmethod
    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns why the worker in a slot that did not pass failed."""
