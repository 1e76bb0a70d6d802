"""How far bytes are, how fast they come, and when the rest will be there."""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A moment of a transfer."""

    done_bytes: int
    size_bytes: int
    bytes_per_second: int
    """Lately. 0: nothing has come lately."""

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the rest will be there at that rate. None: not known."""
        left = self.size_bytes - self.done_bytes
        if left <= 0:
            return 0.0
        return left / self.bytes_per_second if self.bytes_per_second > 0 else None


class RateMeter:
    """Bytes a second over a sliding window, so that a stall shows and old bursts do not.

    Args:
        window_s: Width of the window, in seconds.
    """

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, int]] = deque()
        self._total = 0
        self._since = 0.0

    def add(self, now: float, count: int) -> None:
        """Notes that bytes have come.

        Args:
            now: Monotonic time, in seconds.
            count: How many came since the last call.
        """
        self._forget(now)
        if not self._samples:
            self._since = now
        self._samples.append((now, count))
        self._total += count

    def rate(self, now: float) -> int:
        """Bytes a second over the window that ends now."""
        self._forget(now)
        if not self._samples:
            return 0
        # A young transfer is measured over its own age, lest its first seconds look slow.
        age = max(now - self._since, self._window_s / 10)
        return int(self._total / min(self._window_s, age))

    def _forget(self, now: float) -> None:
        while self._samples and self._samples[0][0] < now - self._window_s:
            self._total -= self._samples.popleft()[1]
