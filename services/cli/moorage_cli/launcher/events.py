"""What the launcher tells about its processes."""

from dataclasses import dataclass
from enum import StrEnum


class ProcessEventKind(StrEnum):
    """What happened to a process."""

    READY = "READY"
    DIED = "DIED"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEvent:
    """Something happened to a process."""

    kind: ProcessEventKind
    name: str
    pid: int = 0
    """For READY."""
    detail: str = ""
    """For DIED: how it ended."""
    last_line: str = ""
    """For DIED: the last line of its log."""
    seconds: float = 0.0
    """For READY: how long it took. For DIED: after how long it is started again."""
