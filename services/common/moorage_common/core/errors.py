"""The errors of the mesh, one tree for servers and clients alike.

A service raises these; `moorage_common.rpc.status` is the one table that turns them into a
``google.rpc.Status`` and back, so that a typed client raises what a local call would have raised.

    MoorageError
    ├── InvalidArgument      the request itself is wrong: every violation at once
    ├── NotFound             no such resource, source or file
    ├── AlreadyExists        the name is taken
    ├── FailedPrecondition   right request, wrong state of the world: change that first
    ├── Aborted              somebody else changed it meanwhile: read again, then retry
    ├── OutOfRange           past what is kept: list again
    ├── ResourceExhausted    a quota or a limit: memory, disk, concurrency
    ├── PermissionDenied     this caller may not
    ├── Unauthenticated      this caller is not known
    ├── Unavailable          try again later
    ├── DeadlineExceeded     the time given was too short
    ├── Cancelled            the caller left
    ├── DataLoss             bytes are not what their digest says
    ├── Unimplemented        no such method here
    └── Internal             a defect of ours
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class ErrorReason(StrEnum):
    """Why, for machines: ``google.rpc.ErrorInfo.reason``. The proto enum has the same names."""

    INVALID_REQUEST = "INVALID_REQUEST"
    RESOURCE_NOT_FOUND = "RESOURCE_NOT_FOUND"
    RESOURCE_EXISTS = "RESOURCE_EXISTS"
    ETAG_MISMATCH = "ETAG_MISMATCH"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"
    MODEL_NOT_STOPPED = "MODEL_NOT_STOPPED"
    MODEL_DELETING = "MODEL_DELETING"
    MODEL_UNRESOLVED = "MODEL_UNRESOLVED"
    TRANSITION_NOT_ALLOWED = "TRANSITION_NOT_ALLOWED"
    WORKER_NAME_TAKEN = "WORKER_NAME_TAKEN"
    WORKER_NOT_READY = "WORKER_NOT_READY"
    WORKER_CORDONED = "WORKER_CORDONED"
    LEASE_STALE = "LEASE_STALE"
    INSUFFICIENT_MEMORY = "INSUFFICIENT_MEMORY"
    MEMORY_POOL_UNKNOWN = "MEMORY_POOL_UNKNOWN"
    ARTIFACT_NOT_READY = "ARTIFACT_NOT_READY"
    REVISION_COMPACTED = "REVISION_COMPACTED"
    SOURCE_INVALID = "SOURCE_INVALID"
    SOURCE_NOT_FOUND = "SOURCE_NOT_FOUND"
    SOURCE_DENIED = "SOURCE_DENIED"
    SOURCE_UNAVAILABLE = "SOURCE_UNAVAILABLE"
    SOURCE_CHANGED = "SOURCE_CHANGED"
    MODEL_FILE_INVALID = "MODEL_FILE_INVALID"
    ARCHITECTURE_UNSUPPORTED = "ARCHITECTURE_UNSUPPORTED"
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    BLOB_NOT_FOUND = "BLOB_NOT_FOUND"
    DISK_FULL = "DISK_FULL"
    ENGINE_NOT_INSTALLED = "ENGINE_NOT_INSTALLED"
    ENGINE_EXITED = "ENGINE_EXITED"
    ENGINE_START_TIMEOUT = "ENGINE_START_TIMEOUT"
    ENGINE_UNHEALTHY = "ENGINE_UNHEALTHY"
    SERVER_BUSY = "SERVER_BUSY"
    SERVER_DRAINING = "SERVER_DRAINING"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
    METHOD_UNKNOWN = "METHOD_UNKNOWN"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CALL_CANCELLED = "CALL_CANCELLED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    INTERNAL = "INTERNAL"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    FILTER_INVALID = "FILTER_INVALID"
    ORDER_BY_INVALID = "ORDER_BY_INVALID"
    WORKER_IN_USE = "WORKER_IN_USE"
    DRAIN_CANCELLED = "DRAIN_CANCELLED"
    WATCHER_TOO_SLOW = "WATCHER_TOO_SLOW"
    NO_PLACEMENT = "NO_PLACEMENT"
    DISTRIBUTED_VLLM_EXCLUSIVE = "DISTRIBUTED_VLLM_EXCLUSIVE"
    DISTRIBUTION_UNSUPPORTED = "DISTRIBUTION_UNSUPPORTED"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing wrong with one field of a request."""

    field: str
    """Path in the request, e.g. ``model.replicas``."""
    description: str


@dataclass(frozen=True, slots=True)
class Shortage:
    """One quota that a request would exceed."""

    subject: str
    """What ran short, e.g. ``workers/gpu-07/pools/GPU-5e…``."""
    description: str
    """Needed and available, with units."""


class MoorageError(Exception):
    """Any error that a caller is meant to see.

    Args:
        message: One sentence for a person: what is wrong and with what. Never a path or a traceback.
        reason: Why, for machines.
        metadata: Facts for machines, e.g. ``{"worker": "workers/gpu-07"}``.
        remedy: What the caller can do about it, in one sentence.
        retry_after_s: Seconds after which a retry may succeed.
        resource: Name of the resource that the error is about.
        violations: For `InvalidArgument`: every field violation.
        shortages: For `ResourceExhausted`: every quota that ran short.
    """

    default_reason = ErrorReason.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        reason: ErrorReason | None = None,
        metadata: Mapping[str, str] | None = None,
        remedy: str = "",
        retry_after_s: float | None = None,
        resource: str = "",
        violations: Sequence[FieldViolation] = (),
        shortages: Sequence[Shortage] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})
        self.remedy = remedy
        self.retry_after_s = retry_after_s
        self.resource = resource
        self.violations = tuple(violations)
        self.shortages = tuple(shortages)


class InvalidArgument(MoorageError):
    """The request itself is wrong."""

    default_reason = ErrorReason.INVALID_REQUEST


class NotFound(MoorageError):
    """No such resource, source or file."""

    default_reason = ErrorReason.RESOURCE_NOT_FOUND


class AlreadyExists(MoorageError):
    """The name is taken."""

    default_reason = ErrorReason.RESOURCE_EXISTS


class FailedPrecondition(MoorageError):
    """The request is right, the state of the world is not."""

    default_reason = ErrorReason.TRANSITION_NOT_ALLOWED


class Aborted(MoorageError):
    """Somebody else changed it meanwhile."""

    default_reason = ErrorReason.ETAG_MISMATCH


class OutOfRange(MoorageError):
    """Past what is kept."""

    default_reason = ErrorReason.REVISION_COMPACTED


class ResourceExhausted(MoorageError):
    """A quota or a limit."""

    default_reason = ErrorReason.SERVER_BUSY


class PermissionDenied(MoorageError):
    """This caller may not."""

    default_reason = ErrorReason.PERMISSION_DENIED


class Unauthenticated(MoorageError):
    """This caller is not known."""

    default_reason = ErrorReason.UNAUTHENTICATED


class Unavailable(MoorageError):
    """Try again later."""

    default_reason = ErrorReason.SERVICE_UNAVAILABLE


class DeadlineExceeded(MoorageError):
    """The time given was too short."""

    default_reason = ErrorReason.DEADLINE_EXCEEDED


class Cancelled(MoorageError):
    """The caller left."""

    default_reason = ErrorReason.CALL_CANCELLED


class DataLoss(MoorageError):
    """Bytes are not what their digest says."""

    default_reason = ErrorReason.DIGEST_MISMATCH


class Unimplemented(MoorageError):
    """No such method here."""

    default_reason = ErrorReason.METHOD_UNKNOWN


class Internal(MoorageError):
    """A defect of ours."""

    default_reason = ErrorReason.INTERNAL
