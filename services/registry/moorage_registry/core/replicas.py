"""How many instances a model should have, and what has to happen to those that it has."""

from collections.abc import Sequence
from dataclasses import dataclass

from moorage_common.core.states import DesiredState, InstanceState
from moorage_registry.core.records import Instance, Model

# Which instances go first when there are too many: those that serve nothing before those that do.
_SURPLUS_ORDER = (
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


def plan_replicas(model: Model, instances: Sequence[Instance]) -> ReplicaPlan:
    """Compares what is wanted of a model with the instances that it has.

    Retiring instances are on their way out and count for nothing. Evicting ones, whose worker is being drained, count
    for nothing either, and go: those that serve, as soon as enough others do. While a model is stopped its instances
    are kept, up to the number of replicas, so that they have the same names when it starts again.
    """
    kept = [instance for instance in instances if not instance.retiring]
    if model.deleted_at is not None:
        return ReplicaPlan(create=0, start=(), stop=(), retire=tuple(kept))
    if model.desired_state is DesiredState.STOPPED:
        staying, surplus = _split(kept, model.replicas)
        return ReplicaPlan(create=0, start=(), stop=tuple(staying), retire=tuple(surplus))
    staying, surplus = _split([i for i in kept if not i.evicting], model.replicas)
    serving = sum(instance.state is InstanceState.RUNNING for instance in staying)
    leaving = [instance for instance in kept if instance.evicting]
    needed = [i for i in leaving if i.state is InstanceState.RUNNING][: max(0, model.replicas - serving)]
    surplus += [instance for instance in leaving if instance not in needed]
    return ReplicaPlan(
        create=model.replicas - len(staying), start=tuple(staying), stop=(), retire=tuple(surplus)
    )


def _split(instances: Sequence[Instance], count: int) -> tuple[list[Instance], list[Instance]]:
    """Returns the most useful ones, so many, and the rest."""
    by_usefulness = sorted(instances, key=lambda i: (-_SURPLUS_ORDER.index(i.state), i.created_at, i.uid))
    return by_usefulness[:count], by_usefulness[count:]
