"""How long to wait before the next try."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """Exponential back-off with full jitter: a uniform draw below a ceiling that doubles.

    Full jitter spreads clients that failed together over the whole interval, so that they do not
    come back together. The floor keeps a draw near zero from becoming a busy loop.
    """

    first_s: float = 0.2
    """Ceiling of the first wait, in seconds."""
    factor: float = 2.0
    """By how much the ceiling grows with each failure."""
    cap_s: float = 30.0
    """The ceiling never passes this, in seconds."""
    floor_s: float = 0.05
    """No wait is shorter, in seconds."""

    def __post_init__(self) -> None:
        if not (0 <= self.floor_s <= self.first_s <= self.cap_s and self.factor >= 1):
            raise ValueError("a back-off needs 0 <= floor_s <= first_s <= cap_s and factor >= 1")

    def ceiling_s(self, failures: int) -> float:
        """Returns the longest wait after so many failures in a row (at least 1), in seconds."""
        # 2**1024 overflows a float; 64 doublings are past any cap long before.
        growth = self.factor ** min(failures - 1, 64)
        return min(self.cap_s, self.first_s * growth)

    def delay_s(self, failures: int, random: Random) -> float:
        """Returns the wait after so many failures in a row (at least 1), in seconds."""
        return random.uniform(self.floor_s, self.ceiling_s(failures))


class Backoff:
    """Counts failures in a row and draws the wait after each."""

    def __init__(self, policy: BackoffPolicy, random: Random) -> None:
        self._policy = policy
        self._random = random
        self._failures = 0

    @property
    def failures(self) -> int:
        """Failures since the last success."""
        return self._failures

    def next_delay_s(self) -> float:
        """Notes one more failure and returns how long to wait now, in seconds."""
        self._failures += 1
        return self._policy.delay_s(self._failures, self._random)

    def reset(self) -> None:
        """Notes a success: the next failure is the first again."""
        self._failures = 0
