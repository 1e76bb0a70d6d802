"""By what measured speeds differ from predicted ones, per engine and device.

A sample is one running instance: how fast it should be without any calibration, and how fast it is. What it says of a
device is only taken if that device is where nearly all of the time goes. Of a device's samples the median counts,
so that one that is busy with something else moves nothing; and it counts only from some samples on, and within
bounds, beyond which it is the measurement that must be wrong, or the placement.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import exp, isfinite, log
from statistics import median
from typing import TypeAlias

from moorage_common.core.states import EngineKind

Key: TypeAlias = tuple[EngineKind, str]
"""An engine, and a card's product or a CPU."""

LEAST_SAMPLES = 3
BOUNDS = (1 / 8, 8.0)
DOMINANT = 0.8
"""So much of a token's time a device must take for a sample to speak of it."""
LEAST_TOKENS = 128
"""So many tokens an instance must have generated to be a sample."""
MOST_CONCURRENT = 1.5
"""Requests that an instance may serve at a time on average: more of them share what one is predicted to have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One instance."""

    engine: EngineKind
    device_seconds: Mapping[str, float]
    """Of one token, by the device that takes them, as predicted without calibration. Links are under the empty name."""
    measured_tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was learned: by what the predicted speed of each device is to be multiplied."""

    factors: Mapping[Key, float] = field(default_factory=dict)

    def factor(self, engine: EngineKind, device: str) -> float:
        """By what one device is faster than predicted. 1: nothing was learned of it."""
        return self.factors.get((engine, device), 1.0)


def counts(*, generated_tokens: int, concurrent_requests: float) -> bool:
    """Whether what an agent reports of an instance is worth a sample."""
    return generated_tokens >= LEAST_TOKENS and concurrent_requests <= MOST_CONCURRENT


def learn(samples: Iterable[Sample], *, least: int = LEAST_SAMPLES) -> Calibration:
    """Learns from samples.

    Args:
        samples: One per instance, of any engine and device.
        least: From how many samples of a device on something is said of it.
    """
    ratios: dict[Key, list[float]] = defaultdict(list)
    for sample in samples:
        told = _told(sample)
        if told is not None:
            device, ratio = told
            ratios[sample.engine, device].append(log(ratio))
    low, high = BOUNDS
    return Calibration(
        {key: min(high, max(low, exp(median(found)))) for key, found in ratios.items() if len(found) >= least}
    )


def _told(sample: Sample) -> tuple[str, float] | None:
    """The device that a sample speaks of, and by what it was faster than predicted."""
    device, seconds = max(sample.device_seconds.items(), key=lambda pair: pair[1], default=("", 0.0))
    total = sum(sample.device_seconds.values())
    measured = sample.measured_tokens_per_s
    if not device or not isfinite(measured) or measured <= 0 or seconds < DOMINANT * total:
        return None
    # The others are taken to be as predicted; what they leave of the measured time is the device's.
    left = 1 / measured - (total - seconds)
    return (device, seconds / left) if left > 0 else None
