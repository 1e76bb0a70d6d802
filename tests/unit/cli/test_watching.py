import re
from datetime import UTC

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status

from moorage.common.v1.placement_pb2 import Explanation, Placement, WorkerExplanation
from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.watch_service_pb2 import WatchOperation, WatchResponse
from moorage.registry.v1.worker_pb2 import MemoryPool, Worker
from moorage_cli.views.watching import KINDS, event_line

AT = Timestamp(seconds=3 * 3600 + 12 * 60 + 7)
UPDATED = WatchOperation.WATCH_OPERATION_UPDATED
STARTING = Instance(
    name="models/a/instances/1", uid="u", version=1, state=InstanceState.INSTANCE_STATE_STARTING
)
RUNNING = Instance(
    name="models/a/instances/1",
    uid="u",
    version=2,
    state=InstanceState.INSTANCE_STATE_RUNNING,
    endpoint="http://w:1/v1",
    placement=Placement(worker="workers/w", score=3.0),
    explanation=Explanation(workers=[WorkerExplanation(worker="workers/w")]),
)
FAILING = Instance(
    name="models/a/instances/1",
    uid="u",
    version=3,
    state=InstanceState.INSTANCE_STATE_ERROR,
    restart_count=1,
    error=Status(code=14, message="the engine exited"),
)


BROKEN = (
    "instance  models/a/instances/1  RUNNING → ERROR; endpoint: http://w:1/v1 → nothing; restart_count: 0 → 1; "
    "error.message: the engine exited"
)


@pytest.mark.parametrize(
    ("before", "event", "line"),
    [
        (
            STARTING,
            WatchResponse(operation=UPDATED, instance=RUNNING),
            "instance  models/a/instances/1  STARTING → RUNNING; endpoint: http://w:1/v1",
        ),
        (
            RUNNING,
            WatchResponse(operation=UPDATED, instance=FAILING),
            BROKEN,
        ),
        (
            None,
            WatchResponse(operation=UPDATED, instance=RUNNING),
            "instance  models/a/instances/1  RUNNING",
        ),
        (
            Instance(name="models/a/instances/1", uid="another"),
            WatchResponse(operation=UPDATED, instance=RUNNING),
            "instance  models/a/instances/1  RUNNING",
        ),
        (
            None,
            WatchResponse(operation=WatchOperation.WATCH_OPERATION_CREATED, instance=STARTING),
            "instance  models/a/instances/1  created, STARTING",
        ),
        (
            Model(name="models/a"),
            WatchResponse(operation=WatchOperation.WATCH_OPERATION_DELETED, model=Model(name="models/a")),
            "model     models/a  deleted",
        ),
        (
            Worker(name="workers/w", labels={"zone": "a"}, version=1),
            WatchResponse(operation=UPDATED, worker=Worker(name="workers/w", cordoned=True, version=2)),
            "worker    workers/w  labels.zone: a → nothing; cordoned: false → true",
        ),
        (
            Worker(name="workers/w", ram=MemoryPool(foreign_bytes=1 << 30, available_bytes=5)),
            WatchResponse(
                operation=UPDATED,
                worker=Worker(name="workers/w", ram=MemoryPool(foreign_bytes=(1 << 30) + 1)),
            ),
            "worker    workers/w  changed",
        ),
    ],
)
def test_an_event_in_a_line(before: object, event: WatchResponse, line: str) -> None:
    event.time.CopyFrom(AT)
    assert event_line(event, before, zone=UTC) == f"03:12:07  {line}"


def test_many_changes_at_once_are_counted() -> None:
    many = Model(name="models/a", labels={str(number): "x" for number in range(9)})
    line = event_line(WatchResponse(operation=UPDATED, model=many), Model(name="models/a"), zone=UTC)
    assert re.search(r"models/a  (labels\.\d: x; ){4}and 5 more$", line)


def test_every_kind_that_an_event_can_carry_can_be_asked_for() -> None:
    carried = {field.name for field in WatchResponse.DESCRIPTOR.oneofs_by_name["resource"].fields}
    assert carried == set(KINDS)
