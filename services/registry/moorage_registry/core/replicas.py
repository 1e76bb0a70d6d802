"""How many instances a model should have, and what has to happen to those that it has.

Which go first when there are too many: those on workers that are not ready; then those that do not run, the ones that
serve least first; then those with the smallest part of their layers on GPUs; then those that were placed worst, by
their score; then the youngest.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from moorage_common.core.states import DesiredState, InstanceState
from moorage_registry.core.records import Instance, Model

_BY_SERVICE = (
    InstanceState.STOPPED,
    InstanceState.PENDING,
    InstanceState.STOPPING,
    InstanceState.FETCHING,
    InstanceState.FETCHED,
    InstanceState.UNREACHABLE,
    InstanceState.ERROR,
    InstanceState.STARTING,
    InstanceState.RUNNING,
)
"""States, those that serve nothing before those that do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaPlan:
    """What brings a model's instances to what is wanted."""

    create: int
    """How many new instances to make, PENDING."""
    start: tuple[Instance, ...]
    """Apply START to these."""
    stop: tuple[Instance, ...]
    """Apply STOP to these, and keep them."""
    retire: tuple[Instance, ...]
    """Apply STOP to these, and remove them once they are STOPPED."""


def plan_replicas(model: Model, instances: Sequence[Instance], *, away: Collection[str] = ()) -> ReplicaPlan:
    """Compares what is wanted of a model with the instances that it has.

    Args:
        model: The model.
        instances: All of its instances.
        away: Ids of workers that are not ready.

    Retiring instances are on their way out and count for nothing. Evicting ones, whose worker is being drained, count
    for nothing either, and go: those that serve, as soon as enough others do. While a model is stopped its instances
    are kept, up to the number of replicas, so that they have the same names when it starts again.
    """
    kept = [instance for instance in _by_usefulness(instances, away) if not instance.retiring]
    if model.deleted_at is not None:
        return ReplicaPlan(create=0, start=(), stop=(), retire=tuple(kept))
    if model.desired_state is DesiredState.STOPPED:
        staying, surplus = kept[: model.replicas], kept[model.replicas :]
        return ReplicaPlan(create=0, start=(), stop=tuple(staying), retire=tuple(surplus))
    counting = [instance for instance in kept if not instance.evicting]
    staying, surplus = counting[: model.replicas], counting[model.replicas :]
    serving = sum(instance.state is InstanceState.RUNNING for instance in staying)
    leaving = [instance for instance in kept if instance.evicting]
    needed = [i for i in leaving if i.state is InstanceState.RUNNING][: max(0, model.replicas - serving)]
    surplus += [instance for instance in leaving if instance not in needed]
    return ReplicaPlan(
        create=model.replicas - len(staying), start=tuple(staying), stop=(), retire=tuple(surplus)
    )


def _by_usefulness(instances: Sequence[Instance], away: Collection[str]) -> list[Instance]:
    """Returns instances in the reverse of the order in which they go."""

    def usefulness(instance: Instance) -> tuple[bool, int, float, float]:
        reachable = not any(worker in away for worker in instance.workers)
        placement = instance.placement or {}
        total = placement.get("total_layers", 0)
        offloaded = placement.get("gpu_layers", 0) / total if total else 0.0
        return reachable, _BY_SERVICE.index(instance.state), offloaded, float(placement.get("score", 0.0))

    def age(instance: Instance) -> tuple[datetime, str]:
        return instance.created_at, instance.uid

    return sorted(sorted(instances, key=age), key=usefulness, reverse=True)
