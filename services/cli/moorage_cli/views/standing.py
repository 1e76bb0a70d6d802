"""Where resources stand, each in a word or two."""

from collections.abc import Iterable, Sequence

from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.model_pb2 import DesiredState, Model, ResolutionState
from moorage.registry.v1.worker_pb2 import Worker, WorkerState
from moorage_cli.views.words import short, state

_MOST_TELLING = (
    InstanceState.INSTANCE_STATE_ERROR,
    InstanceState.INSTANCE_STATE_UNREACHABLE,
    InstanceState.INSTANCE_STATE_PENDING,
    InstanceState.INSTANCE_STATE_FETCHING,
    InstanceState.INSTANCE_STATE_FETCHED,
    InstanceState.INSTANCE_STATE_STARTING,
    InstanceState.INSTANCE_STATE_STOPPING,
)
"""What keeps a model from running, the most telling first."""
_NOTHING_YET = InstanceState.INSTANCE_STATE_PENDING


def wanted_replicas(model: Model) -> int:
    """Returns how many instances are wanted of a model now."""
    if model.desired_state == DesiredState.DESIRED_STATE_STOPPED:
        return 0
    return model.replicas if model.HasField("replicas") else 1


def model_standing(model: Model, instances: Iterable[Instance]) -> str:
    """Returns a model's state in a word: RUNNING once all that is wanted runs, else what is in the way."""
    states = [instance.state for instance in instances if not instance.retiring]
    if model.HasField("delete_time"):
        return "DELETING"
    if model.resolution.state == ResolutionState.RESOLUTION_STATE_FAILED:
        return "FAILED"
    if model.desired_state == DesiredState.DESIRED_STATE_STOPPED:
        stopped = all(each == InstanceState.INSTANCE_STATE_STOPPED for each in states)
        return "STOPPED" if stopped else "STOPPING"
    return _progress(model, states) if wanted_replicas(model) else "NO REPLICAS"


def _progress(model: Model, states: Sequence[InstanceState.ValueType]) -> str:
    if states.count(InstanceState.INSTANCE_STATE_RUNNING) >= wanted_replicas(model):
        return "RUNNING"
    if model.resolution.state == ResolutionState.RESOLUTION_STATE_RESOLVING:
        return "RESOLVING"
    telling = next((each for each in _MOST_TELLING if each in states), _NOTHING_YET)
    return state(InstanceState.Name(telling), "INSTANCE_STATE_")


def instance_standing(instance: Instance) -> str:
    """Returns e.g. "RUNNING, evicting"."""
    word = state(InstanceState.Name(instance.state), "INSTANCE_STATE_")
    if instance.evicting:
        return f"{word}, evicting"
    return f"{word}, retiring" if instance.retiring else word


def instance_place(instance: Instance) -> str:
    """Returns where an instance is: its worker, the primary of several, and how many there are beside it."""
    beside = len(instance.subordinates)
    return f"{short(instance.worker)} +{beside}" if beside else short(instance.worker)


def worker_standing(worker: Worker) -> str:
    """Returns e.g. "READY, draining": whether a worker can be given work, and what people wish for it."""
    word = state(WorkerState.Name(worker.state), "WORKER_STATE_")
    if worker.HasField("drain"):
        return f"{word}, drained" if worker.drain.HasField("complete_time") else f"{word}, draining"
    return f"{word}, cordoned" if worker.cordoned else word


def why_not(instance: Instance) -> str:
    """Returns why an instance does not answer; empty when nothing is known."""
    return instance.error.message or instance.explanation.summary
