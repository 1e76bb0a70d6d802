"""When an engine that failed is started again."""

from dataclasses import dataclass, field
from random import Random

from moorage_common.core.backoff import BackoffPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """How long a failed engine waits.

    The wait grows with failures in a row and is capped: a crash loop costs little, and never ends,
    because what broke the engine (memory taken by others, a driver) may go away by itself.
    """

    backoff: BackoffPolicy = field(
        default_factory=lambda: BackoffPolicy(first_s=2.0, factor=2.0, cap_s=60.0, floor_s=0.5)
    )
    stable_after_s: float = 120.0
    """An engine that answered for this long, in seconds, was well: its failures count from one again."""

    def failures_after(self, *, failures: int, answered_for_s: float) -> int:
        """Returns the failures in a row, now that one more happened.

        Args:
            failures: Failures in a row before.
            answered_for_s: How long the engine answered before it failed, in seconds; 0: never.
        """
        return 1 if answered_for_s >= self.stable_after_s else failures + 1

    def delay_s(self, failures: int, random: Random) -> float:
        """Returns how long to wait after so many failures in a row (at least 1), in seconds."""
        return self.backoff.delay_s(failures, random)
