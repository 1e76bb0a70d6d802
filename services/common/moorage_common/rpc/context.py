"""What belongs to the call being served, and travels on with the calls made for it."""

from contextvars import ContextVar

from moorage_common.core.clock import SystemClock

REQUEST_ID_KEY = "x-request-id"
"""Metadata key under which a request id travels."""
ACTOR_KEY = "x-moorage-actor"
"""Metadata key under which a caller says who it acts for, e.g. "ada@bridge"."""

_clock = SystemClock()
_request_id: ContextVar[str] = ContextVar("moorage_request_id", default="")
_deadline: ContextVar[float | None] = ContextVar("moorage_deadline", default=None)


def request_id() -> str:
    """The id of the request being served; empty outside of any."""
    return _request_id.get()


def set_request_id(value: str) -> None:
    """Gives the current task, and those it starts, a request id."""
    _request_id.set(value)


def remaining_s() -> float | None:
    """Seconds until the deadline of the call being served, at least 0; None if it has none."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - _clock.monotonic())


def set_remaining_s(seconds: float | None) -> None:
    """Gives the current task, and those it starts, a deadline so many seconds from now, or none."""
    _deadline.set(None if seconds is None else _clock.monotonic() + seconds)
