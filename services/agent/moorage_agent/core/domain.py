"""What a node should hold and run, and what it does hold and run.

The words here are the agent's own; `moorage_agent.mesh.convert` translates from and to the protos.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from moorage_agent.core.fault import Fault
from moorage_agent.core.spec import EngineSpec
from moorage_common.core.states import CopyState


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of an artifact."""

    path: str
    size_bytes: int
    sha256: str = ""
    """64 hexadecimal digits. Empty: only known once the file was pulled from its source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyAssignment:
    """An artifact wanted on the node."""

    artifact: str
    """Id of the artifact."""
    files: tuple[FileEntry, ...]
    read_from: tuple[str, ...] = ()
    """Addresses that serve its bytes, best first. Empty: none yet."""

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceAssignment:
    """One instance bound to the node."""

    uid: str
    instance: str
    """Full name, ``models/{model}/instances/{instance}``."""
    generation: int
    """Grows each time it is bound, or is to be started again."""
    spec: EngineSpec | None
    """What to run. None: it is to be stopped, or the node cannot run it."""
    refusal: Fault | None = None
    """Why the node cannot run it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredState:
    """Everything that the node should hold and run."""

    instances: tuple[InstanceAssignment, ...] = ()
    copies: tuple[CopyAssignment, ...] = ()


class EnginePhase(StrEnum):
    """Where an engine stands.

    An engine that was stopped, or is no longer wanted after a failure, is none: it has no phase.
    """

    CHECKING = "CHECKING"
    """Its process was found when the agent started; whether it answers is not known yet."""
    STARTING = "STARTING"
    """Its process loads."""
    RUNNING = "RUNNING"
    """It answers."""
    BACKING_OFF = "BACKING_OFF"
    """It has no process: it failed, and waits to be started again."""
    STOPPING = "STOPPING"
    """Its process was told to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """One engine of the node, as it is."""

    uid: str
    """Of the instance that it serves."""
    instance: str
    generation: int
    """The instance's generation that it was started for."""
    spec: EngineSpec
    phase: EnginePhase
    pid: int = 0
    """0: no process."""
    endpoint: str = ""
    """Base URL of its OpenAI-compatible API. Empty: it does not answer."""
    started_at: float = 0.0
    """When its process started, in seconds since 1970."""
    restart_count: int = 0
    failures: int = 0
    """Failures in a row."""
    retry_at: float = 0.0
    """When it is started again while BACKING_OFF, in seconds of the monotonic clock."""
    error: Fault | None = None
    """What went wrong last."""
    adopted: bool = False
    """Whether its process was started by an agent before this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyStatus:
    """One artifact on the node, as it is."""

    assignment: CopyAssignment
    """What the copy was made from."""
    state: CopyState
    done_bytes: int = 0
    bytes_per_second: int = 0
    error: Fault | None = None
    """Why it failed, or why the last try did while it goes on."""
    retry_at: float = 0.0
    """When a FAILED copy is tried again, in seconds of the monotonic clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actual:
    """Everything that the node does hold and run."""

    engines: tuple[EngineStatus, ...] = ()
    copies: tuple[CopyStatus, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StartEngine:
    """Start the engine of an assignment; a failed one again."""

    assignment: InstanceAssignment


@dataclass(frozen=True, slots=True, kw_only=True)
class StopEngine:
    """End the engine's process; then there is no engine."""

    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetEngine:
    """Drop an engine that has no process."""

    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchCopy:
    """Fetch what is missing of an artifact; one that is being fetched goes on with the new assignment."""

    assignment: CopyAssignment
    evictable: tuple[str, ...] = ()
    """Artifacts on the node that nothing wants: they may go when the disk has too little room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropCopy:
    """Stop fetching an artifact that is not whole, and drop what is there of it."""

    artifact: str


Action = StartEngine | StopEngine | ForgetEngine | FetchCopy | DropCopy


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, and when to look again if nothing happens."""

    actions: tuple[Action, ...] = field(default=())
    wake_at: float | None = None
    """In seconds of the monotonic clock. None: there is nothing to wait for."""
