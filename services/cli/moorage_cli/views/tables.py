"""Lists of resources as tables: one function from messages to rows for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from moorage.common.v1.engine_pb2 import EngineKind
from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.model_pb2 import DesiredState, Model, ResolutionState
from moorage.registry.v1.worker_pb2 import Worker, WorkerState
from moorage_cli.views.facts import describe_accelerators, describe_memory
from moorage_cli.views.words import age, short, size, state


@dataclass(frozen=True, slots=True)
class Rows:
    """A table before it has a look."""

    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]


def model_rows(models: Sequence[Model], instances: Sequence[Instance], *, now: datetime) -> Rows:
    """Returns one row per instance, and one for every model that has none."""
    cells: list[tuple[str, ...]] = []
    for model in models:
        prefix = f"{model.name}/"
        own = [instance for instance in instances if instance.name.startswith(prefix)]
        cells += [_instance_cells(model, instance, now) for instance in own] or [_model_cells(model, now)]
    return Rows(("INSTANCE", "STATE", "WORKER", "MEMORY", "SINCE", "ENDPOINT, OR WHY NOT"), tuple(cells))


def worker_rows(workers: Sequence[Worker]) -> Rows:
    """Returns one row per worker."""
    return Rows(
        ("WORKER", "STATE", "CORES", "RAM FREE", "ACCELERATORS", "DISK FREE", "ENGINES", "AGENT"),
        tuple(_worker_cells(worker) for worker in workers),
    )


def _instance_cells(model: Model, instance: Instance, now: datetime) -> tuple[str, ...]:
    why_not = instance.error.message or model.resolution.error.message or instance.explanation.summary
    held = sum(claim.size_bytes for claim in instance.placement.claims)
    return (
        short(instance.name),
        state(InstanceState.Name(instance.state), "INSTANCE_STATE_"),
        short(instance.worker),
        size(held) if held else "",
        age(instance.state_time, now=now),
        instance.endpoint or why_not,
    )


def _model_cells(model: Model, now: datetime) -> tuple[str, ...]:
    why = model.resolution.error.message or model.source
    return (short(model.name), _model_state(model), "", "", age(model.update_time, now=now), why)


def _model_state(model: Model) -> str:
    if model.HasField("delete_time"):
        return "DELETING"
    if model.resolution.state == ResolutionState.RESOLUTION_STATE_FAILED:
        return "FAILED"
    if model.HasField("replicas") and model.replicas == 0:
        return "NO REPLICAS"
    return state(DesiredState.Name(model.desired_state), "DESIRED_STATE_")


def _worker_cells(worker: Worker) -> tuple[str, ...]:
    facts = worker.facts
    standing = state(WorkerState.Name(worker.state), "WORKER_STATE_")
    engines = [
        f"{state(EngineKind.Name(engine.kind), 'ENGINE_KIND_')} {engine.version}".strip()
        for engine in facts.engines
    ]
    return (
        short(worker.name),
        f"{standing}, cordoned" if worker.cordoned else standing,
        str(facts.cpu_cores),
        describe_memory(worker.ram),
        describe_accelerators(worker),
        size(worker.storage.free_bytes),
        "\n".join(engines),
        facts.agent_address,
    )
