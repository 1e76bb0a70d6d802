"""When an instance whose decision was refused may be tried again."""

from collections.abc import Container
from random import Random

from moorage_common.core.backoff import Backoff, BackoffPolicy
from moorage_common.core.clock import Clock


class Retries:
    """Refusals per instance, and the wait after each.

    A nomination that succeeds ends the wait but keeps the count: else an instance that is nominated, fetched
    and refused in turn would run in circles without a pause.
    """

    def __init__(self, policy: BackoffPolicy, *, clock: Clock, random: Random) -> None:
        self._policy = policy
        self._clock = clock
        self._random = random
        self._backoffs: dict[str, Backoff] = {}
        self._due: dict[str, float] = {}

    def refused(self, instance: str) -> float:
        """Notes a refusal. Returns the seconds to wait."""
        backoff = self._backoffs.setdefault(instance, Backoff(self._policy, self._random))
        delay = backoff.next_delay_s()
        self._due[instance] = self._clock.monotonic() + delay
        return delay

    def passed(self, instance: str, *, settled: bool) -> None:
        """Notes that a decision was taken on; settled if nothing more is to be decided for now."""
        self._due.pop(instance, None)
        if settled:
            self._backoffs.pop(instance, None)

    def may_try(self, instance: str) -> bool:
        """Whether the wait after the last refusal is over."""
        return self._due.get(instance, 0.0) <= self._clock.monotonic()

    def due(self) -> set[str]:
        """Instances whose wait is over and that were not tried since."""
        now = self._clock.monotonic()
        return {instance for instance, moment in self._due.items() if moment <= now}

    def next_due_in(self) -> float | None:
        """Seconds until the next wait is over, at least 0. None: nothing waits."""
        return max(0.0, min(self._due.values()) - self._clock.monotonic()) if self._due else None

    def retain(self, *, waiting: Container[str], known: Container[str]) -> None:
        """Drops the waits of instances that wait no more, and the counts of those that are gone."""
        self._due = {name: moment for name, moment in self._due.items() if name in waiting}
        self._backoffs = {name: backoff for name, backoff in self._backoffs.items() if name in known}
