"""The states that things in the mesh can be in, under the names that the protos use.

Each enum's values are the proto enum's value names without their prefix
(``WorkerState.READY`` is ``WORKER_STATE_READY``), so that conversion is by name.
"""

from enum import StrEnum


class WorkerState(StrEnum):
    """Whether a worker can be given work."""

    NOT_READY = "NOT_READY"
    """Registered, but no live stream of heartbeats yet, or its agent says that it cannot serve."""
    READY = "READY"
    """Its lease is live and its agent says that it can serve."""
    UNREACHABLE = "UNREACHABLE"
    """Its lease lapsed. Its engines may still run."""


class DesiredState(StrEnum):
    """What a user wants of a model."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


class ResolutionState(StrEnum):
    """How far a source has come on its way to an immutable artifact."""

    RESOLVING = "RESOLVING"
    RESOLVED = "RESOLVED"
    FAILED = "FAILED"


class InstanceState(StrEnum):
    """Where one replica of a model stands in the two-stage deployment."""

    PENDING = "PENDING"
    """Waiting for a placement. Holds nothing."""
    FETCHING = "FETCHING"
    """Nominated: its artifact is on the way to a worker. Holds no GPU memory."""
    FETCHED = "FETCHED"
    """Its artifact is ready on the nominated worker; waiting to be bound."""
    STARTING = "STARTING"
    """Bound: holds its claim while the engine loads."""
    RUNNING = "RUNNING"
    """The engine answers. Holds its claim."""
    ERROR = "ERROR"
    """The engine exited or refused; the agent starts it again after a back-off. Holds its claim."""
    UNREACHABLE = "UNREACHABLE"
    """The worker's lease lapsed while it held its claim. The engine may still run."""
    STOPPING = "STOPPING"
    """Told to stop; holds its claim until the agent confirms that the engine is gone."""
    STOPPED = "STOPPED"
    """Holds nothing and is not wanted to run."""


class CopyState(StrEnum):
    """Where an artifact's copy on one worker stands."""

    ABSENT = "ABSENT"
    """Wanted, and not a byte of it there."""
    FETCHING = "FETCHING"
    VERIFYING = "VERIFYING"
    READY = "READY"
    """Every file is there, and its content has the digest that it should have."""
    FAILED = "FAILED"


class PullState(StrEnum):
    """Where the downloader's pull of an artifact from its source stands."""

    IDLE = "IDLE"
    """Nobody wants it."""
    QUEUED = "QUEUED"
    """Wanted, and waiting for a downloader to lease it."""
    PULLING = "PULLING"
    """Leased by a downloader, which serves the bytes while they arrive."""
    COMPLETE = "COMPLETE"
    """Whole and verified in the cache of the downloader that pulled it."""
    FAILED = "FAILED"


class DownloadState(StrEnum):
    """Where a download (an artifact wanted on chosen workers) stands."""

    RESOLVING = "RESOLVING"
    FETCHING = "FETCHING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class EngineKind(StrEnum):
    """The inference engines that an agent can launch."""

    LLAMA_CPP = "LLAMA_CPP"
    """Reads GGUF."""
    VLLM = "VLLM"
    """Reads safetensors."""


class AcceleratorKind(StrEnum):
    """The programming model that an accelerator is driven by."""

    CUDA = "CUDA"
    ROCM = "ROCM"
    METAL = "METAL"
    CANN = "CANN"
