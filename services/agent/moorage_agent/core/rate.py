"""How fast something goes, lately."""

from collections import deque


class RateMeter:
    """Bytes a second over the last few seconds. Time is given, so that it can be any."""

    def __init__(self, *, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._added: deque[tuple[float, int]] = deque()

    def add(self, count: int, *, now: float) -> None:
        """Notes that so many bytes came now."""
        self._added.append((now, count))
        self._forget(now)

    def per_second(self, *, now: float) -> int:
        """Returns the rate now."""
        self._forget(now)
        if not self._added:
            return 0
        # The first second counts as a whole one: a burst at the start is no rate yet.
        elapsed_s = max(1.0, now - self._added[0][0])
        return int(sum(count for _, count in self._added) / elapsed_s)

    def _forget(self, now: float) -> None:
        while self._added and self._added[0][0] < now - self._window_s:
            self._added.popleft()
