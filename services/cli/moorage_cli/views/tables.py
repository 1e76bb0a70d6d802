"""Lists of resources as tables: one function from messages to rows for each."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from moorage.common.v1.engine_pb2 import EngineKind
from moorage.registry.v1.artifact_pb2 import Artifact, ArtifactCopy, CopyState, PullState
from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.instance_service_pb2 import ModelEndpoint
from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.worker_pb2 import Worker
from moorage_cli.views.facts import (
    describe_accelerators,
    describe_memory,
    describe_model,
    held_bytes,
)
from moorage_cli.views.page import Rows
from moorage_cli.views.standing import (
    instance_place,
    instance_standing,
    model_standing,
    wanted_replicas,
    why_not,
    worker_standing,
)
from moorage_cli.views.words import age, plural, short, size, state

_COPIES_NAMED = 3


def ps_rows(models: Sequence[Model], instances: Sequence[Instance], *, now: datetime) -> Rows:
    """Returns one row per instance, and one for every model that has none."""
    cells: list[tuple[str, ...]] = []
    for model in models:
        own = _of(model, instances)
        cells += [_ps_cells(model, instance, now) for instance in own] or [_lone_cells(model, now)]
    return Rows(("INSTANCE", "STATE", "WORKER", "MEMORY", "SINCE", "ENDPOINT, OR WHY NOT"), tuple(cells))


def model_rows(models: Sequence[Model], instances: Sequence[Instance], *, now: datetime) -> Rows:
    """Returns one row per model."""
    return Rows(
        ("MODEL", "STATE", "RUNNING", "ENGINE", "AGE", "SOURCE"),
        tuple(_model_cells(model, _of(model, instances), now) for model in models),
    )


def instance_rows(instances: Iterable[Instance], *, now: datetime) -> Rows:
    """Returns one row per instance."""
    return Rows(
        ("INSTANCE", "STATE", "WORKER", "MEMORY", "ON GPUS", "RESTARTS", "SINCE", "ENDPOINT, OR WHY NOT"),
        tuple(_instance_cells(instance, now) for instance in instances),
    )


def worker_rows(workers: Iterable[Worker]) -> Rows:
    """Returns one row per worker."""
    return Rows(
        ("WORKER", "STATE", "CORES", "RAM FREE", "ACCELERATORS", "DISK FREE", "ENGINES", "AGENT"),
        tuple(_worker_cells(worker) for worker in workers),
    )


def artifact_rows(artifacts: Iterable[Artifact], copies: Sequence[ArtifactCopy], *, now: datetime) -> Rows:
    """Returns one row per artifact, with the workers that it is on."""
    return Rows(
        ("ARTIFACT", "SIZE", "MODEL", "PULL", "ON WORKERS", "AGE", "SOURCE"),
        tuple(
            (
                short(artifact.name),
                size(artifact.size_bytes),
                describe_model(artifact),
                state(PullState.Name(artifact.pull.state), "PULL_STATE_"),
                _whereabouts([copy for copy in copies if copy.artifact == artifact.name]),
                age(artifact.create_time, now=now),
                artifact.source,
            )
            for artifact in artifacts
        ),
    )


def endpoint_rows(endpoints: Iterable[ModelEndpoint], *, now: datetime) -> Rows:
    """Returns one row per instance that answers."""
    return Rows(
        ("INSTANCE", "WORKER", "SINCE", "URL"),
        tuple(
            (short(each.instance), short(each.worker), age(each.ready_time, now=now), each.url)
            for each in endpoints
        ),
    )


def _of(model: Model, instances: Iterable[Instance]) -> list[Instance]:
    prefix = f"{model.name}/"
    return [instance for instance in instances if instance.name.startswith(prefix)]


def _ps_cells(model: Model, instance: Instance, now: datetime) -> tuple[str, ...]:
    return (
        short(instance.name),
        instance_standing(instance),
        instance_place(instance),
        _held(instance),
        age(instance.state_time, now=now),
        instance.endpoint
        or instance.error.message
        or model.resolution.error.message
        or instance.explanation.summary,
    )


def _lone_cells(model: Model, now: datetime) -> tuple[str, ...]:
    why = model.resolution.error.message or model.source
    return (short(model.name), model_standing(model, []), "", "", age(model.update_time, now=now), why)


def _model_cells(model: Model, own: Sequence[Instance], now: datetime) -> tuple[str, ...]:
    running = sum(1 for each in own if each.state == InstanceState.INSTANCE_STATE_RUNNING)
    return (
        short(model.name),
        model_standing(model, own),
        f"{running}/{wanted_replicas(model)}",
        state(EngineKind.Name(model.engine), "ENGINE_KIND_") if model.engine else "auto",
        age(model.create_time, now=now),
        model.source,
    )


def _instance_cells(instance: Instance, now: datetime) -> tuple[str, ...]:
    layers = instance.placement
    return (
        short(instance.name),
        instance_standing(instance),
        instance_place(instance),
        _held(instance),
        f"{layers.gpu_layers}/{layers.total_layers} layers" if layers.total_layers else "",
        str(instance.restart_count or ""),
        age(instance.state_time, now=now),
        instance.endpoint or why_not(instance),
    )


def _held(instance: Instance) -> str:
    held = held_bytes(instance)
    return size(held) if held else ""


def _worker_cells(worker: Worker) -> tuple[str, ...]:
    facts = worker.facts
    engines = [
        f"{state(EngineKind.Name(engine.kind), 'ENGINE_KIND_')} {engine.version}".strip()
        for engine in facts.engines
    ]
    return (
        short(worker.name),
        worker_standing(worker),
        str(facts.cpu_cores),
        describe_memory(worker.ram),
        describe_accelerators(worker),
        size(worker.storage.free_bytes),
        "\n".join(engines),
        facts.agent_address,
    )


def _whereabouts(copies: Sequence[ArtifactCopy]) -> str:
    if len(copies) > _COPIES_NAMED:
        ready = sum(1 for copy in copies if copy.state == CopyState.COPY_STATE_READY)
        return f"{ready} of {plural(len(copies), 'worker')}"
    return ", ".join(_whereabout(copy) for copy in copies)


def _whereabout(copy: ArtifactCopy) -> str:
    if copy.state == CopyState.COPY_STATE_READY:
        return short(copy.worker)
    if copy.state == CopyState.COPY_STATE_FETCHING and copy.size_bytes:
        return f"{short(copy.worker)} {copy.done_bytes * 100 // copy.size_bytes}%"
    return f"{short(copy.worker)} {state(CopyState.Name(copy.state), 'COPY_STATE_')}"
