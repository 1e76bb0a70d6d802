"""How often something may be told."""

from collections import deque


class Pacer:
    """At most so many times in any so many seconds. Time is given, so that it can be any."""

    def __init__(self, *, times: int, per_s: float) -> None:
        self._times = times
        self._per_s = per_s
        self._sent: deque[float] = deque(maxlen=times)

    def next_at(self, *, now: float) -> float:
        """Returns when it may be told next; not before now."""
        if len(self._sent) < self._times:
            return now
        return max(now, self._sent[0] + self._per_s)

    def sent(self, *, now: float) -> None:
        """Notes that it was told now."""
        self._sent.append(now)
