"""The words that progress is told in."""

from dataclasses import dataclass
from enum import StrEnum

from moorage_common.core.errors import MoorageError


class Mark(StrEnum):
    """How a milestone looks."""

    DONE = "DONE"
    WAITING = "WAITING"
    TROUBLE = "TROUBLE"


@dataclass(frozen=True, slots=True)
class Milestone:
    """Something that has come to pass, told once."""

    mark: Mark
    label: str
    """One word, e.g. "resolved"."""
    text: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes on their way."""

    label: str
    done_bytes: int
    size_bytes: int
    bytes_per_second: int


class OutcomeKind(StrEnum):
    """How a deployment ended."""

    RUNNING = "RUNNING"
    UNPLACED = "UNPLACED"
    """It stays, and starts once there is room for it."""
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a deployment."""

    kind: OutcomeKind
    error: MoorageError | None = None
    """Why it does not run."""
