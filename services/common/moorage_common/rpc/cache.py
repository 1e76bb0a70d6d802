"""A local copy of the registry's resources, kept from its events. No I/O here: `informer` brings the events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from moorage.registry.v1.artifact_pb2 import Artifact, ArtifactCopy, DownloadRecord
from moorage.registry.v1.instance_pb2 import Instance
from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.watch_service_pb2 import WatchOperation, WatchResponse
from moorage.registry.v1.worker_pb2 import Worker

# Resources of all kinds have name, uid and version, which is all that the cache looks at; the generated
# classes have no common base that says so.
Resources = Mapping[str, Any]

_FIELDS = {
    "worker": "workers",
    "model": "models",
    "instance": "instances",
    "artifact": "artifacts",
    "copy": "copies",
    "download": "downloads",
}
"""By the name of a resource in an event, its place in a snapshot."""


def _empty() -> Resources:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSnapshot:
    """Every resource by name, as it was at one revision.

    The mappings do not change. The messages are shared with other snapshots: never change them.
    """

    workers: Mapping[str, Worker] = field(default_factory=_empty)
    models: Mapping[str, Model] = field(default_factory=_empty)
    instances: Mapping[str, Instance] = field(default_factory=_empty)
    artifacts: Mapping[str, Artifact] = field(default_factory=_empty)
    copies: Mapping[str, ArtifactCopy] = field(default_factory=_empty)
    downloads: Mapping[str, DownloadRecord] = field(default_factory=_empty)
    revision: int = 0
    """The last revision of the registry that is in it."""
    generation: int = 0
    """Counts the changes of the cache since it was made."""


class ResourceCache:
    """Applies events in the order in which they come.

    After `restart`, events fill a new state beside the old one, which stays visible until a BOOKMARK says
    that the new one is whole. What vanished meanwhile is not in it.
    """

    def __init__(self) -> None:
        self._state = _State()
        self._incoming: _State | None = None
        self.generation = 0
        """Counts the changes of what `snapshot` shows."""

    @property
    def revision(self) -> int:
        """The revision to take the events up from; 0 if there is none and the whole state is needed."""
        return (self._incoming or self._state).revision

    def restart(self) -> None:
        """Begins a new state: CURRENT events, then a BOOKMARK, are to come."""
        self._incoming = _State()

    def apply(self, event: WatchResponse) -> None:
        """Takes in one event. One that is older than what is held changes nothing."""
        state = self._incoming or self._state
        state.revision = max(state.revision, event.revision)
        changed = False
        if event.operation == WatchOperation.WATCH_OPERATION_BOOKMARK:
            changed = self._incoming is not None
            self._state, self._incoming = state, None
        elif kind := event.WhichOneof("resource"):
            deleted = event.operation == WatchOperation.WATCH_OPERATION_DELETED
            changed = state.apply(_FIELDS[kind], getattr(event, kind), deleted=deleted)
        if changed and self._incoming is None:
            self.generation += 1

    def snapshot(self) -> CacheSnapshot:
        """Returns what is known now. Costs a copy only of the kinds that changed since the last one."""
        return CacheSnapshot(
            **self._state.frozen(), revision=self._state.revision, generation=self.generation
        )


class _State:
    """Resources by kind and name, with frozen copies that are made anew only for kinds that changed."""

    def __init__(self) -> None:
        self.revision = 0
        self._live: dict[str, dict[str, Any]] = {kind: {} for kind in _FIELDS.values()}
        self._frozen: dict[str, Resources] = {}

    def apply(self, kind: str, resource: Any, *, deleted: bool) -> bool:  # noqa: ANN401
        """Returns whether it changed anything."""
        live = self._live[kind]
        held: Any = live.get(resource.name)
        same = bool(held) and held.uid == resource.uid
        if deleted:
            # Another resource may have taken the name meanwhile: that one stays.
            if not same:
                return False
            del live[resource.name]
        else:
            if same and held.version >= resource.version:
                return False
            live[resource.name] = resource
        self._frozen.pop(kind, None)
        return True

    def frozen(self) -> dict[str, Resources]:
        for kind, live in self._live.items():
            if kind not in self._frozen:
                self._frozen[kind] = MappingProxyType(dict(live))
        return dict(self._frozen)
