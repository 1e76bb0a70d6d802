from google.rpc.status_pb2 import Status

from moorage.registry.v1.instance_pb2 import InstanceState
from moorage.registry.v1.worker_service_pb2 import DrainingInstance, DrainStep, DrainWorkerResponse
from moorage_cli.views.draining import drain_status, left_line
from moorage_cli.views.page import Rows

MOVING = DrainingInstance(
    instance="models/a/instances/1",
    state=InstanceState.INSTANCE_STATE_RUNNING,
    step=DrainStep.DRAIN_STEP_MOVING,
    replacements=["models/a/instances/2"],
)
BLOCKED = DrainingInstance(
    instance="models/b/instances/1",
    state=InstanceState.INSTANCE_STATE_RUNNING,
    step=DrainStep.DRAIN_STEP_BLOCKED,
    obstacle=Status(message="fits no worker now: 2 workers short of RAM"),
)
STOPPING = DrainingInstance(
    instance="models/c/instances/1",
    state=InstanceState.INSTANCE_STATE_STOPPING,
    step=DrainStep.DRAIN_STEP_STOPPING,
)


def told(progress: DrainWorkerResponse, seen: list[str]) -> list[str]:
    return [f"{each.mark} {each.label}: {each.text}" for each in drain_status(progress, seen).milestones]


def test_what_is_still_there_and_why_it_does_not_move() -> None:
    progress = DrainWorkerResponse(instances=[MOVING, BLOCKED, STOPPING])
    status = drain_status(progress, [])
    assert not status.done
    (rows,) = status.remaining
    assert isinstance(rows, Rows)
    assert rows.cells == (
        ("a/1", "RUNNING", "MOVING", "serves until a/2 runs"),
        ("b/1", "RUNNING", "BLOCKED", "fits no worker now: 2 workers short of RAM"),
        ("c/1", "STOPPING", "STOPPING", "its memory is free once the agent says that it is gone"),
    )
    assert told(progress, []) == [
        "WAITING moving: a/1: serves until a/2 runs",
        "TROUBLE blocked: b/1: fits no worker now: 2 workers short of RAM",
        "WAITING stopping: c/1",
    ]


def test_what_is_gone_is_said() -> None:
    progress = DrainWorkerResponse(instances=[STOPPING])
    assert told(progress, [MOVING.instance, STOPPING.instance])[0] == "DONE gone: a/1"
    end = drain_status(DrainWorkerResponse(), [STOPPING.instance])
    assert (end.done, end.remaining) == (True, [])
    assert [each.text for each in end.milestones] == ["c/1"]


def test_what_is_left_in_a_line() -> None:
    assert left_line(DrainWorkerResponse(instances=[MOVING])) == "1 instance is still there: a/1"
    both = DrainWorkerResponse(instances=[MOVING, BLOCKED])
    assert left_line(both) == "2 instances are still there: a/1, b/1"
