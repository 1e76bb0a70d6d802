from collections.abc import Sequence

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.model_pb2 import DesiredState, Model, ModelResolution, ResolutionState
from moorage.registry.v1.worker_pb2 import Drain, Worker, WorkerState
from moorage_cli.views.standing import model_standing, worker_standing


def wanted(**fields: object) -> Model:
    values = {"name": "models/a", "desired_state": DesiredState.DESIRED_STATE_RUNNING, **fields}
    return Model(**values)  # type: ignore[arg-type]


def stopped() -> Model:
    return wanted(desired_state=DesiredState.DESIRED_STATE_STOPPED)


def resolution(state: ResolutionState.ValueType) -> ModelResolution:
    return ModelResolution(state=state)


@pytest.mark.parametrize(
    ("model", "states", "word"),
    [
        (wanted(), ["RUNNING"], "RUNNING"),
        (wanted(replicas=2), ["RUNNING", "STARTING"], "STARTING"),
        (wanted(replicas=3), ["RUNNING", "FETCHING", "ERROR"], "ERROR"),
        (wanted(), [], "PENDING"),
        (
            wanted(resolution=resolution(ResolutionState.RESOLUTION_STATE_RESOLVING)),
            ["PENDING"],
            "RESOLVING",
        ),
        (wanted(resolution=resolution(ResolutionState.RESOLUTION_STATE_FAILED)), ["PENDING"], "FAILED"),
        (wanted(replicas=0), [], "NO REPLICAS"),
        (stopped(), ["STOPPED", "STOPPED"], "STOPPED"),
        (stopped(), ["STOPPED", "STOPPING"], "STOPPING"),
        (wanted(delete_time=Timestamp(seconds=1)), ["STOPPING"], "DELETING"),
    ],
)
def test_a_model_in_a_word(model: Model, states: Sequence[str], word: str) -> None:
    instances = [Instance(state=InstanceState.Value(f"INSTANCE_STATE_{state}")) for state in states]
    assert model_standing(model, instances) == word


def test_an_instance_on_its_way_out_does_not_count() -> None:
    leaving = Instance(state=InstanceState.INSTANCE_STATE_RUNNING, retiring=True)
    assert model_standing(wanted(), [leaving]) == "PENDING"


@pytest.mark.parametrize(
    ("worker", "word"),
    [
        (Worker(), "READY"),
        (Worker(cordoned=True), "READY, cordoned"),
        (Worker(cordoned=True, drain=Drain(start_time=Timestamp(seconds=1))), "READY, draining"),
        (
            Worker(
                cordoned=True,
                drain=Drain(start_time=Timestamp(seconds=1), complete_time=Timestamp(seconds=2)),
            ),
            "READY, drained",
        ),
    ],
)
def test_a_worker_in_a_word_or_two(worker: Worker, word: str) -> None:
    worker.state = WorkerState.WORKER_STATE_READY
    assert worker_standing(worker) == word
