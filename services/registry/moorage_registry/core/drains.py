"""What is being done about the instances of a drained worker, and what stands in the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from moorage_common.core.errors import ErrorReason, FailedPrecondition, MoorageError, Unavailable
from moorage_common.core.names import instance_name, worker_name
from moorage_common.core.states import InstanceState as S
from moorage_common.core.states import WorkerState
from moorage_registry.core.changes import WorkerView
from moorage_registry.core.records import Instance, Json, Worker


class DrainStep(StrEnum):
    """What is being done about an instance. The proto enum has the same names."""

    MOVING = "MOVING"
    STOPPING = "STOPPING"
    BLOCKED = "BLOCKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """One instance that a drained worker still holds."""

    instance: Instance
    step: DrainStep
    replacements: tuple[Instance, ...] = ()
    """Instances of its model that are to take its place and do not run yet."""
    obstacle: MoorageError | Json | None = None
    """Why it does not go on; stored errors are in their stored form."""


@dataclass(frozen=True, slots=True)
class DrainProgress:
    """How far a drain is."""

    view: WorkerView
    left: tuple[Draining, ...]


def draining(
    worker: Worker, instance: Instance, siblings: Sequence[Instance], peers: Sequence[Worker] = ()
) -> Draining:
    """Tells how far one instance of a drained worker is.

    Args:
        worker: The worker.
        instance: An instance that stands on it.
        siblings: The instances of its model.
        peers: The other workers that take part in it: it has stopped once all of them say so.
    """
    stops_with = [worker, *peers] if instance.state is S.STOPPING else [worker]
    away = next((each for each in stops_with if each.state is not WorkerState.READY), None)
    if away is not None:
        return Draining(instance=instance, step=DrainStep.BLOCKED, obstacle=_away(away))
    if instance.state is S.STOPPING:
        return Draining(instance=instance, step=DrainStep.STOPPING)
    coming = tuple(i for i in siblings if not i.retiring and not i.evicting and i.state is not S.RUNNING)
    obstacle = next((found for sibling in coming if (found := _obstacle(sibling))), None)
    return Draining(
        instance=instance,
        step=DrainStep.BLOCKED if obstacle else DrainStep.MOVING,
        replacements=coming,
        obstacle=obstacle,
    )


def _away(worker: Worker) -> Unavailable:
    name = worker_name(worker.id)
    return Unavailable(
        f"{name} is {worker.state.value}: nobody can say that its engines have stopped",
        reason=ErrorReason.WORKER_NOT_READY,
        remedy=f"Bring it back, or delete {name} by force if the node is gone.",
        resource=name,
    )


def _obstacle(replacement: Instance) -> MoorageError | Json | None:
    """What keeps a replacement from running; None if it is on its way."""
    if replacement.state is S.ERROR:
        return replacement.error
    why = (replacement.explanation or {}).get("summary", "")
    if replacement.state is S.PENDING and why:
        name = instance_name(replacement.model_id, replacement.id)
        return FailedPrecondition(
            f"{name}: {why}",
            reason=ErrorReason.NO_PLACEMENT,
            remedy=f"Make room for it (ExplainInstance {name} says what would help), or uncordon the worker.",
            resource=name,
        )
    return replacement.error if replacement.state is S.FETCHING else None
