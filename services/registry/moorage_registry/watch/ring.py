"""The newest events, held for all watchers together, up to so many and so much."""

from collections.abc import Sequence
from dataclasses import dataclass

from moorage_registry.core.records import Kind


@dataclass(frozen=True, slots=True)
class Event:
    """One change in its place, ready to be sent."""

    revision: int
    kind: Kind
    name: str
    workers: tuple[str, ...]
    """Ids of the workers whose desired state it may touch."""
    message: bytes
    """Encoded, with its revision: made once, sent to every watcher as it is."""


class Ring:
    """Events of consecutive revisions. The oldest are let go when there are too many, or too large ones."""

    def __init__(self, *, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: list[Event] = []
        self._gone = 0
        """How many at the start of the list have been let go; the list is cut when they are half of it."""
        self._bytes = 0

    def extend(self, events: Sequence[Event]) -> None:
        """Adds the events that come next. After a gap in the revisions only what is new is held."""
        if not events:
            return
        if self._events and events[0].revision != self._events[-1].revision + 1:
            self._events, self._gone, self._bytes = [], 0, 0
        self._events += events
        self._bytes += sum(len(event.message) for event in events)
        while len(self._events) - self._gone > self._max_events or self._bytes > self._max_bytes:
            self._bytes -= len(self._events[self._gone].message)
            self._gone += 1
        if self._gone * 2 > len(self._events):
            del self._events[: self._gone]
            self._gone = 0

    def after(self, revision: int, limit: int) -> Sequence[Event] | None:
        """Returns what comes right after a revision; None if that is not, or no longer, in the ring."""
        if self._gone == len(self._events):
            return None
        start = revision + 1 - self._events[self._gone].revision
        if not 0 <= start <= len(self._events) - self._gone:
            return None
        first = self._gone + start
        return self._events[first : first + limit]
