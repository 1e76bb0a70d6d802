"""What the registry remembers: one frozen record per resource, one field per column.

Parts that the registry passes through without a rule of its own (what a node is, what a model's headers
say, why a placement was chosen) are held as the JSON form of their protos.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from moorage_common.core.placement import ModelCategory
from moorage_common.core.states import (
    CopyState,
    DesiredState,
    DownloadState,
    EngineKind,
    InstanceState,
    PullState,
    ResolutionState,
    WorkerState,
)

Json = dict[str, Any]
"""The JSON form of a proto: field names as in the proto, int64 as strings."""


class Kind(StrEnum):
    """The kinds of resources that are watched. The proto enum ResourceKind has the same names."""

    WORKER = "WORKER"
    MODEL = "MODEL"
    INSTANCE = "INSTANCE"
    ARTIFACT = "ARTIFACT"
    ARTIFACT_COPY = "ARTIFACT_COPY"
    DOWNLOAD = "DOWNLOAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What every resource has."""

    uid: str
    version: int = 1
    created_at: datetime
    updated_at: datetime

    @property
    def etag(self) -> str:
        """Changes with every change of the resource; opaque to clients."""
        return f"{self.uid[-8:]}.{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker(Record):
    """A node of the fleet."""

    id: str
    node_id: str
    state: WorkerState
    cordoned: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    facts: Json
    storage: Json = field(default_factory=dict)
    drain_started_at: datetime | None = None
    """Since when it is being emptied; None: it is not."""
    drain_completed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Memory of one kind on one worker, in bytes, and how much of it the ledger has given out."""

    worker_id: str
    pool: str
    """``ram``, or the accelerator's UUID."""
    position: int
    """0 for RAM, then the accelerators in the order in which the node reports them."""
    total: int
    reserved: int
    capacity: int
    """What claims may add up to: total less reserved, or what is claimed already where that is more."""
    claimed: int = 0
    foreign: int = 0
    present: bool = True
    """Whether the node still reports it."""

    def with_claimed(self, claimed: int) -> "Pool":
        """Returns the pool with so much given out. Capacity that was only there for old claims goes with them."""
        return replace(self, claimed=claimed, capacity=max(0, self.total - self.reserved, claimed))

    @property
    def available(self) -> int:
        """What a new claim can have."""
        return max(0, self.capacity - self.claimed - self.foreign) if self.present else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Record):
    """What a user wants served."""

    id: str
    deleted_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    source: str
    engine: EngineKind | None = None
    engine_version: str = ""
    """A version, or conditions on it. Empty: any."""
    category: ModelCategory | None = None
    llama_cpp: Json = field(default_factory=dict)
    vllm: Json = field(default_factory=dict)
    replicas: int = 1
    placement: Json = field(default_factory=dict)
    desired_state: DesiredState
    resolution_state: ResolutionState = ResolutionState.RESOLVING
    artifact_id: str | None = None
    resolution_error: Json | None = None


@dataclass(frozen=True, slots=True)
class Explained:
    """Why an instance is where it is, or nowhere."""

    gist: Json
    message: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of an instance that keep it."""
        return {"explanation": self.gist, "explanation_message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance(Record):
    """One replica of a model."""

    model_id: str
    id: str
    state: InstanceState
    state_at: datetime
    worker_id: str | None = None
    subordinates: list[str] = field(default_factory=list)
    """Ids of the workers that take part beside it, by their ranks."""
    artifact_on_all: bool = False
    """Whether every worker that takes part loads the artifact, not the primary alone."""
    last_worker_id: str | None = None
    placement: Json | None = None
    explanation: Json | None = None
    """The gist of why it is where it is, or nowhere: what can be filtered by."""
    explanation_message: bytes | None = None
    """All of it, as watchers get it."""
    endpoint: str = ""
    error: Json | None = None
    restart_count: int = 0
    retiring: bool = False
    """Removed once it has stopped."""
    generation: int = 0
    """Counts its bindings and wanted restarts; engines and reports of earlier ones are void."""
    evicting: bool = False
    """Its worker is drained: it is retired once others serve in its place."""
    performance: Json | None = None
    """What its agent measured of this generation."""

    @property
    def workers(self) -> tuple[str, ...]:
        """Ids of all workers that take part, the primary first. Empty: it has none."""
        return () if self.worker_id is None else (self.worker_id, *self.subordinates)

    @property
    def loading_workers(self) -> tuple[str, ...]:
        """Ids of the workers that load the artifact."""
        return self.workers if self.artifact_on_all else self.workers[:1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One worker's part in a bound instance that is spread over several."""

    instance_uid: str
    worker_id: str
    rank: int
    """0: the primary."""
    exclusive: bool
    """Whether the worker can serve nothing else of this kind: the instance is vLLM's."""
    state: InstanceState = InstanceState.STARTING
    """STARTING, RUNNING, ERROR or STOPPED as its agent reported last; UNREACHABLE since its lease lapsed."""
    endpoint: str = ""
    """Where its part answers, as reported."""
    error: Json | None = None
    stopped_at: datetime | None = None
    """When its agent confirmed that nothing of it is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact(Record):
    """An immutable set of files, and the pull that brings them into a downloader's cache."""

    id: str
    source: str
    revision: str
    files: list[Json]
    entry_point: str
    size_bytes: int
    facts: Json
    pull_state: PullState = PullState.IDLE
    pull_address: str = ""
    pull_done_bytes: int = 0
    pull_bytes_per_second: int = 0
    pull_error: Json | None = None
    pull_holder: str | None = None
    pull_lease_id: str | None = None
    pull_lease_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactCopy(Record):
    """An artifact on one worker."""

    artifact_id: str
    worker_id: str
    state: CopyState
    done_bytes: int = 0
    size_bytes: int
    bytes_per_second: int = 0
    error: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Download(Record):
    """An artifact wanted on chosen workers."""

    id: str
    source: str
    workers: list[str]
    """Ids, sorted."""
    state: DownloadState
    artifact_id: str | None = None
    error: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The task of turning a source into an artifact, for one model or one download."""

    id: str
    source: str
    model_id: str | None = None
    download_id: str | None = None
    failed_attempts: int = 0
    not_before: datetime
    holder: str | None = None
    lease_id: str | None = None
    lease_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Memory that one instance holds in one pool, in bytes."""

    instance_uid: str
    worker_id: str
    pool: str
    size_bytes: int
