"""How much an engine is used, and how fast it answers: from what it counts, read every few seconds.

Speeds are averages over the last few minutes of work, however long ago that was: an engine that idles does not become
slower. What the agent itself asks an engine to see whether it works is no use of it.
"""

from dataclasses import dataclass
from math import log

_HALF_LIFE_S = 120.0
"""After so many seconds of work, what was before it counts half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCounters:
    """What an engine has counted since it started, less the agent's own requests."""

    prompt_tokens: float
    """Read; those that came from a cache are not counted."""
    prompt_s: float
    """Seconds spent on reading them."""
    generated_tokens: float
    generating_s: float
    """Seconds spent on them, summed over the requests."""
    serving: int
    """Requests that are being served now."""
    concurrency: float
    """Requests served at a time, on average while any was."""
    request_count: int | None = None
    """Requests answered. None: the engine does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFigures:
    """What is told of one instance."""

    uid: str
    generation: int
    decode_tokens_per_s: float = 0.0
    """Of one request. 0: not known yet."""
    prefill_tokens_per_s: float = 0.0
    concurrent_requests: float = 0.0
    generated_tokens: int = 0
    prompt_tokens: int = 0
    request_count: int | None = None
    last_activity: float = 0.0
    """When it was last seen serving, in seconds since 1970. 0: never."""

    @property
    def used(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.last_activity)


class Rate:
    """Tokens a second, recent work counting more than earlier work."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._seconds = 0.0

    def add(self, tokens: float, seconds: float) -> None:
        """Notes work that was done."""
        if tokens <= 0 or seconds <= 0:
            return
        faded = 0.5 ** (seconds / _HALF_LIFE_S)
        # The beginning of long work has faded by its end.
        left = (1 - faded) * _HALF_LIFE_S / log(2) / seconds
        self._tokens = self._tokens * faded + tokens * left
        self._seconds = self._seconds * faded + seconds * left

    @property
    def per_second(self) -> float:
        """The rate. 0: no work was done yet."""
        return self._tokens / self._seconds if self._seconds else 0.0


class UsageTracker:
    """Follows the counters of one engine's process."""

    def __init__(self, *, uid: str, generation: int, adopted: bool = False) -> None:
        """Prepares to follow.

        Args:
            uid: Of the instance that the engine serves.
            generation: Of the instance.
            adopted: Whether it ran before anybody read its counters: nobody knows when it did what they say.
        """
        self._adopted = adopted
        self._decode, self._prefill = Rate(), Rate()
        self._before: EngineCounters | None = None
        self.figures = InstanceFigures(uid=uid, generation=generation)
        """What is known of it by now."""

    def note(self, counters: EngineCounters, *, now: float) -> None:
        """Takes a reading, at so many seconds since 1970."""
        before = self._before
        self._before = counters
        new_prompt = counters.prompt_tokens - (before.prompt_tokens if before else 0.0)
        new_tokens = counters.generated_tokens - (before.generated_tokens if before else 0.0)
        self._prefill.add(new_prompt, counters.prompt_s - (before.prompt_s if before else 0.0))
        self._decode.add(new_tokens, counters.generating_s - (before.generating_s if before else 0.0))
        lately = before is not None or not self._adopted
        worked = lately and (new_prompt > 0 or new_tokens > 0)
        self.figures = InstanceFigures(
            uid=self.figures.uid,
            generation=self.figures.generation,
            decode_tokens_per_s=self._decode.per_second,
            prefill_tokens_per_s=self._prefill.per_second,
            concurrent_requests=counters.concurrency,
            generated_tokens=int(counters.generated_tokens),
            prompt_tokens=int(counters.prompt_tokens),
            request_count=counters.request_count,
            last_activity=now if counters.serving or worked else self.figures.last_activity,
        )
