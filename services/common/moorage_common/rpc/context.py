"""What belongs to the call being served, and travels on with the calls made for it."""

from contextvars import ContextVar
from dataclasses import dataclass

from moorage_common.core.clock import SystemClock

REQUEST_ID_KEY = "x-request-id"
"""Metadata key under which a request id travels."""
ACTOR_KEY = "x-moorage-actor"
"""Metadata key under which a caller says who it acts for, e.g. "ada@bridge"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who made the call being served, and which."""

    method: str = ""
    """E.g. ``moorage.registry.v1.ModelService/StopModel``."""
    actor: str = ""
    """Who, as the caller says; nobody checks it without TLS."""
    peer: str = ""
    """Address that the call came from, as gRPC writes it."""
    user_agent: str = ""


_clock = SystemClock()
_request_id: ContextVar[str] = ContextVar("moorage_request_id", default="")
_caller: ContextVar[Caller | None] = ContextVar("moorage_caller", default=None)
_deadline: ContextVar[float | None] = ContextVar("moorage_deadline", default=None)
_resume: ContextVar[dict[str, str] | None] = ContextVar("moorage_resume", default=None)


def keep_resume_point() -> dict[str, str]:
    """Gives the current task, and those it starts, a place for `note_resume`, and returns it."""
    kept: dict[str, str] = {}
    _resume.set(kept)
    return kept


def note_resume(key: str, value: str) -> None:
    """Notes from where a stream is to be taken up again should the server end it: metadata of that error."""
    kept = _resume.get()
    if kept is not None:
        kept[key] = value


def request_id() -> str:
    """The id of the request being served; empty outside of any."""
    return _request_id.get()


def set_request_id(value: str) -> None:
    """Gives the current task, and those it starts, a request id."""
    _request_id.set(value)


def caller() -> Caller:
    """Who made the call being served; nobody outside of any."""
    return _caller.get() or Caller()


def set_caller(value: Caller) -> None:
    """Tells the current task, and those it starts, whose call is being served."""
    _caller.set(value)


def remaining_s() -> float | None:
    """Seconds until the deadline of the call being served, at least 0; None if it has none."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - _clock.monotonic())


def set_remaining_s(seconds: float | None) -> None:
    """Gives the current task, and those it starts, a deadline so many seconds from now, or none."""
    _deadline.set(None if seconds is None else _clock.monotonic() + seconds)
