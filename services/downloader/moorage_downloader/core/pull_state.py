"""The life of one file's pull as a table, and what to do when a try fails.

WAITING ──► FETCHING ──► VERIFYING ──► DONE
   ▲           │  ▲           │
   │           ▼  │           │ digest differs: from a clean start, a few times
   └──────── BACKING_OFF ◄────┘
FAILED from any but DONE: trying again will not help
"""

from dataclasses import dataclass
from enum import StrEnum

from moorage_common.core.errors import (
    DataLoss,
    DeadlineExceeded,
    MoorageError,
    ResourceExhausted,
    Unavailable,
)


class FileState(StrEnum):
    """Where one file of a pull stands."""

    WAITING = "WAITING"
    """For its turn."""
    FETCHING = "FETCHING"
    VERIFYING = "VERIFYING"
    BACKING_OFF = "BACKING_OFF"
    """A try failed; the next comes after a pause."""
    DONE = "DONE"
    FAILED = "FAILED"


TRANSITIONS: dict[FileState, frozenset[FileState]] = {
    FileState.WAITING: frozenset({FileState.FETCHING, FileState.DONE, FileState.FAILED}),
    FileState.FETCHING: frozenset({FileState.VERIFYING, FileState.BACKING_OFF, FileState.FAILED}),
    FileState.VERIFYING: frozenset({FileState.DONE, FileState.BACKING_OFF, FileState.FAILED}),
    FileState.BACKING_OFF: frozenset({FileState.FETCHING, FileState.FAILED}),
    FileState.DONE: frozenset(),
    FileState.FAILED: frozenset(),
}
"""Which state may follow which."""

_TRANSIENT = (Unavailable, DeadlineExceeded, ResourceExhausted)


def is_transient(error: MoorageError) -> bool:
    """Whether trying again may help without anybody changing the source."""
    return isinstance(error, _TRANSIENT)


@dataclass(slots=True)
class FilePull:
    """One file's pull: its state, and how often its content was wrong."""

    max_mismatches: int = 3
    """How often the content may be wrong before the file is given up."""
    state: FileState = FileState.WAITING
    mismatches: int = 0

    def to(self, state: FileState) -> None:
        """Goes to another state.

        Raises:
            ValueError: The table does not allow it.
        """
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"a file's pull cannot go from {self.state} to {state}")
        self.state = state

    def failed(self, error: MoorageError) -> FileState:
        """Notes that a try failed and returns the state that follows: BACKING_OFF or FAILED."""
        if isinstance(error, DataLoss):
            self.mismatches += 1
            again = self.mismatches < self.max_mismatches
        else:
            again = is_transient(error)
        self.to(FileState.BACKING_OFF if again else FileState.FAILED)
        return self.state
