"""The registry's resources as the scheduler's own: a fleet to place on, and instances that wait for a place.

It takes in whole snapshots of the informer's cache and finds out by itself what changed. What the
registry answered to the scheduler's own decisions is known before it comes back as an event: such instances are
held here until the cache has caught up, so that no decision is made twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from moorage.registry.v1.artifact_pb2 import Artifact, ArtifactCopy
from moorage.registry.v1.instance_pb2 import Instance
from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.worker_pb2 import Worker
from moorage_common.core.states import CopyState, InstanceState
from moorage_common.rpc.cache import CacheSnapshot
from moorage_common.rpc.enums import COPY_STATE, INSTANCE_STATE
from moorage_scheduler.convert.models import (
    category_from_proto,
    engine_from_proto,
    facts_from_proto,
    options_from_proto,
    selection_from_proto,
    strategy_from_proto,
    vllm_from_proto,
)
from moorage_scheduler.convert.workers import (
    condition_from_proto,
    model_of,
    tenant_from_proto,
    worker_from_proto,
)
from moorage_scheduler.core.fleet import Fleet
from moorage_scheduler.core.request import Request
from moorage_scheduler.core.snapshot import Snapshot

R = TypeVar("R")

WAITING = frozenset({InstanceState.PENDING, InstanceState.FETCHED})
"""States in which an instance waits for the scheduler."""


class Mirror:
    """What the scheduler knows."""

    def __init__(self) -> None:
        self._fleet = Fleet()
        self._cache = CacheSnapshot()
        self._instances: dict[str, Instance] = {}
        self._ahead: dict[str, Instance] = {}
        self._waiting: dict[str, Instance] = {}
        self._hope = False
        self._requests: dict[str, tuple[Model, Artifact, Request | None]] = {}

    def sync(self, cache: CacheSnapshot) -> None:
        """Takes in the resources as they now are."""
        before, self._cache = self._cache, cache
        for name in _gone(before.workers, cache.workers):
            self._fleet.remove_worker(name)
        for worker in _changed(before.workers, cache.workers):
            self._put_worker(worker)
        for copy in _gone_values(before.copies, cache.copies):
            self._fleet.remove_copy(copy.artifact, copy.worker)
        for copy in _changed(before.copies, cache.copies):
            self._put_copy(copy)
        self._hope |= any(True for _ in _changed(before.models, cache.models))
        for name in _gone(before.models, cache.models):
            self._requests.pop(name, None)
        # Of an artifact only its facts matter here, and those never change: its pull's progress does.
        self._hope |= cache.artifacts is not before.artifacts and bool(
            cache.artifacts.keys() - before.artifacts.keys()
        )
        for name in _gone(before.instances, cache.instances):
            self._ahead.pop(name, None)
            self._drop_instance(name)
        for instance in _changed(before.instances, cache.instances):
            self._put_instance(instance)

    def learn(self, instance: Instance) -> None:
        """Takes in an instance as the registry just answered it, ahead of the event that will tell the same."""
        held = self._cache.instances.get(instance.name)
        if held is not None and held.uid == instance.uid and held.version < instance.version:
            self._ahead[instance.name] = instance
            self._take(instance)

    def take_hope(self) -> bool:
        """Whether something changed, since this was last asked, that could help an instance that waits."""
        hope, self._hope = self._hope, False
        return hope

    def snapshot(self) -> Snapshot:
        """The fleet as it now is."""
        return self._fleet.snapshot()

    def waiting(self) -> list[Instance]:
        """Instances that wait for the scheduler: those whose artifact is there, then the oldest, first."""
        return sorted(self._waiting.values(), key=_turn)

    @property
    def instances(self) -> Mapping[str, Instance]:
        """Every instance by its name, as last heard of."""
        return self._instances

    def model(self, name: str) -> Model | None:
        """A model as last heard of."""
        return self._cache.models.get(name)

    def artifact(self, name: str) -> Artifact | None:
        """An artifact as last heard of."""
        return self._cache.artifacts.get(name)

    def request_for(self, instance: Instance) -> Request | None:
        """What is to be placed for an instance. None: its model has not been resolved to an artifact."""
        model = self.model(model_of(instance.name))
        artifact = self.artifact(model.resolution.artifact) if model else None
        if model is None or artifact is None:
            return None
        request = self._request(model, artifact)
        if request is None:
            return None
        return replace(
            request,
            seed=instance.uid,
            last_worker=instance.last_worker,
            nominated_worker=instance.worker,
        )

    def _request(self, model: Model, artifact: Artifact) -> Request | None:
        """What all instances of a model have alike; read once for as long as neither message is another."""
        held = self._requests.get(model.name)
        if held is None or held[0] is not model or held[1] is not artifact:
            held = (model, artifact, request_of(model, artifact, seed=""))
            self._requests[model.name] = held
        return held[2]

    def _put_worker(self, worker: Worker) -> None:
        self._hope |= self._fleet.put_worker(worker_from_proto(worker), condition_from_proto(worker))

    def _put_copy(self, copy: ArtifactCopy) -> None:
        if copy.state and COPY_STATE.from_proto(copy.state) is CopyState.READY:
            # Where there is no disk room for it, it can be used only now.
            self._hope |= self._fleet.put_copy(copy.artifact, copy.worker)
        else:
            self._fleet.remove_copy(copy.artifact, copy.worker)

    def _put_instance(self, heard: Instance) -> None:
        ahead = self._ahead.get(heard.name)
        if ahead is not None and (ahead.uid != heard.uid or ahead.version <= heard.version):
            del self._ahead[heard.name]
        self._take(self._ahead.get(heard.name, heard))

    def _take(self, instance: Instance) -> None:
        self._instances[instance.name] = instance
        tenant = tenant_from_proto(instance)
        if tenant is None:
            self._hope |= self._fleet.remove_tenant(instance.name)
        else:
            self._hope |= self._fleet.put_tenant(instance.name, tenant)
        self._note_waiting(instance)

    def _note_waiting(self, instance: Instance) -> None:
        before = self._waiting.pop(instance.name, None)
        if INSTANCE_STATE.from_proto(instance.state) in WAITING and not instance.retiring:
            self._waiting[instance.name] = instance
            # One that only got its explanation waits as before.
            self._hope |= before is None or (before.uid, before.state) != (instance.uid, instance.state)

    def _drop_instance(self, name: str) -> None:
        self._instances.pop(name, None)
        self._waiting.pop(name, None)
        self._hope |= self._fleet.remove_tenant(name)


def request_of(model: Model, artifact: Artifact, *, seed: str) -> Request | None:
    """What is to be placed for one more instance of a model. None: nothing is known that could serve it."""
    facts, engine = facts_from_proto(artifact.facts), engine_from_proto(model.engine, artifact.facts)
    if facts is None or engine is None:
        return None
    return Request(
        model=model.name,
        seed=seed,
        facts=facts,
        artifact=artifact.name,
        artifact_bytes=artifact.size_bytes,
        engine=engine,
        engine_version=model.engine_version,
        options=options_from_proto(model.llama_cpp),
        vllm=vllm_from_proto(model.vllm),
        category=category_from_proto(model.category),
        selection=selection_from_proto(model.placement),
        strategy=strategy_from_proto(model.placement),
    )


def _turn(instance: Instance) -> tuple[bool, int, int, str]:
    fetched = INSTANCE_STATE.from_proto(instance.state) is InstanceState.FETCHED
    return not fetched, instance.create_time.seconds, instance.create_time.nanos, instance.uid


def _changed(before: Mapping[str, R], after: Mapping[str, R]) -> Iterable[R]:
    """What is new or another than before. Messages are never changed in place, so identity tells."""
    if after is before:
        return
    for name, resource in after.items():
        if before.get(name) is not resource:
            yield resource


def _gone(before: Mapping[str, R], after: Mapping[str, R]) -> Iterable[str]:
    return () if after is before else before.keys() - after.keys()


def _gone_values(before: Mapping[str, R], after: Mapping[str, R]) -> Iterable[R]:
    return [before[name] for name in _gone(before, after)]
