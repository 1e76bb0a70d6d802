"""A change of a resource, as watchers are told of it."""

from dataclasses import dataclass
from enum import StrEnum

from moorage_common.core.names import (
    artifact_copy_name,
    artifact_name,
    download_name,
    instance_name,
    model_name,
    worker_name,
)
from moorage_registry.core.records import (
    Artifact,
    ArtifactCopy,
    Download,
    Instance,
    Kind,
    Model,
    Pool,
    Record,
    Worker,
)
from moorage_registry.core.transitions import HOLDS_CLAIM


class Operation(StrEnum):
    """What happened. The proto enum WatchOperation has the same names."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker with its memory pools: what watchers see of it."""

    worker: Worker
    pools: tuple[Pool, ...]
    """RAM first, then accelerators in the node's order; only those that are present."""


Resource = WorkerView | Model | Instance | Artifact | ArtifactCopy | Download


def name_of(resource: Resource) -> str:
    """Returns a resource's name, e.g. ``models/llama3``."""
    match resource:
        case WorkerView():
            return worker_name(resource.worker.id)
        case Model():
            return model_name(resource.id)
        case Instance():
            return instance_name(resource.model_id, resource.id)
        case Artifact():
            return artifact_name(resource.id)
        case ArtifactCopy():
            return artifact_copy_name(resource.artifact_id, resource.worker_id)
        case Download():
            return download_name(resource.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One resource after one transaction changed it."""

    operation: Operation
    resource: Resource
    measured: bool = False
    """Whether only what was measured changed, on which no node's desired state depends."""

    @property
    def kind(self) -> Kind:
        """What kind of resource changed."""
        return _KINDS[type(self.resource)]

    @property
    def key(self) -> tuple[Kind, str]:
        """What identifies the resource."""
        return self.kind, self.uid

    @property
    def uid(self) -> str:
        """The resource's uid."""
        resource = self.resource
        return resource.worker.uid if isinstance(resource, WorkerView) else resource.uid

    def workers(self, before: Record | None) -> list[str]:
        """Returns the ids of the workers whose desired state the change may touch.

        Args:
            before: The record as it was before. A worker that an instance has left must hear of just that.
        """
        if self.measured:
            return []
        match self.resource:
            case Instance():
                return sorted({*_bound_to(self.resource), *_bound_to(before)})
            case ArtifactCopy(worker_id=worker_id):
                return [worker_id]
            case _:
                return []


def _bound_to(record: Record | None) -> tuple[str, ...]:
    """The workers of an instance that run it: the others only hold its artifact, which is a resource of its own."""
    if isinstance(record, Instance) and record.state in HOLDS_CLAIM:
        return record.workers
    return ()


_KINDS = {
    WorkerView: Kind.WORKER,
    Model: Kind.MODEL,
    Instance: Kind.INSTANCE,
    Artifact: Kind.ARTIFACT,
    ArtifactCopy: Kind.ARTIFACT_COPY,
    Download: Kind.DOWNLOAD,
}
