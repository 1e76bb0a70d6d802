"""How fast a placement should be, and where the time of a token goes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The time that one part of a placement takes for one token."""

    worker: str
    pool: str
    """The memory that is read. Empty: the way to the worker and back, or between its cards."""
    active_bytes: float
    """Bytes read, or sent."""
    bytes_per_s: float
    """At which that goes."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """How fast one request alone should be answered."""

    decode_tokens_per_s: float
    """Tokens generated, at the depth of context that was asked about."""
    prefill_tokens_per_s: float
    """Tokens of the prompt read."""
    stages: tuple[Stage, ...]
    """Where the time of one generated token goes."""
    calibration: float = 1.0
    """By what the speed of generating was multiplied. 1: nothing was learned."""
