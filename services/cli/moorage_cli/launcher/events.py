"""What the launcher tells about its processes."""

from dataclasses import dataclass
from enum import StrEnum


class ProcessEventKind(StrEnum):
    """What happened to a process."""

    READY = "READY"
    WAITING = "WAITING"
    """It runs, and is not ready yet. Told every few seconds."""
    DIED = "DIED"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEvent:
    """Something happened to a process."""

    kind: ProcessEventKind
    name: str
    detail: str = ""
    """For DIED: how it ended."""
    last_line: str = ""
    """For DIED and WAITING: the last line of its log. Empty: it says nothing of the matter."""
    seconds: float = 0.0
    """For READY and WAITING: since its start. For DIED: after how long it is started again."""
