"""Time as something that is given, so that rules which need it can be tested at any time."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a component gets the time from."""

    def now(self) -> datetime:
        """The wall clock's time, aware, in UTC. For people and records, never for measuring."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, never going back. For measuring and for deadlines."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The wall clock's time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some moment, never going back."""
        return time.monotonic()
