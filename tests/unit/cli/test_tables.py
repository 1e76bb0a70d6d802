from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status

from moorage.common.v1.engine_pb2 import EngineKind
from moorage.common.v1.placement_pb2 import Explanation, MemoryClaim, Placement
from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.model_pb2 import DesiredState, Model, ModelResolution, ResolutionState
from moorage.registry.v1.worker_pb2 import (
    Accelerator,
    InstalledEngine,
    MemoryPool,
    NodeFacts,
    Storage,
    Worker,
    WorkerState,
)
from moorage_cli.views.tables import model_rows, worker_rows

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
AN_HOUR_AGO = Timestamp(seconds=int(NOW.timestamp()) - 3600)


def test_instances_stand_under_their_model_and_a_model_without_any_for_itself() -> None:
    models = [
        Model(name="models/a", desired_state=DesiredState.DESIRED_STATE_RUNNING),
        Model(
            name="models/ab",
            source="hf:x/y",
            desired_state=DesiredState.DESIRED_STATE_STOPPED,
            update_time=AN_HOUR_AGO,
        ),
        Model(name="models/b", source="hf:x/y", replicas=0, desired_state=DesiredState.DESIRED_STATE_RUNNING),
        Model(
            name="models/bad",
            resolution=ModelResolution(
                state=ResolutionState.RESOLUTION_STATE_FAILED, error=Status(message="no such file")
            ),
        ),
    ]
    instances = [
        Instance(
            name="models/a/instances/1",
            state=InstanceState.INSTANCE_STATE_RUNNING,
            state_time=AN_HOUR_AGO,
            worker="workers/w",
            placement=Placement(claims=[MemoryClaim(size_bytes=1024), MemoryClaim(size_bytes=1024)]),
            endpoint="http://127.0.0.1:1/v1",
        ),
        Instance(
            name="models/a/instances/2",
            state=InstanceState.INSTANCE_STATE_PENDING,
            explanation=Explanation(summary="needs more"),
        ),
    ]
    rows = model_rows(models, instances, now=NOW)
    assert rows.cells == (
        ("a/1", "RUNNING", "w", "2.00 KiB", "1 h", "http://127.0.0.1:1/v1"),
        ("a/2", "PENDING", "", "", "", "needs more"),
        ("ab", "STOPPED", "", "", "1 h", "hf:x/y"),
        ("b", "NO REPLICAS", "", "", "", "hf:x/y"),
        ("bad", "FAILED", "", "", "", "no such file"),
    )
    assert {len(cells) for cells in rows.cells} == {len(rows.columns)}


def test_workers_show_what_is_free() -> None:
    worker = Worker(
        name="workers/gpu-07",
        state=WorkerState.WORKER_STATE_READY,
        cordoned=True,
        facts=NodeFacts(
            cpu_cores=8,
            accelerators=[Accelerator(uuid="GPU-1", product="NVIDIA L40S")],
            engines=[InstalledEngine(kind=EngineKind.ENGINE_KIND_LLAMA_CPP, version="1.2")],
            agent_address="127.0.0.1:7603",
        ),
        ram=MemoryPool(pool="ram", total_bytes=4096, available_bytes=1024),
        accelerator_memory=[MemoryPool(pool="GPU-1", total_bytes=2048, available_bytes=2048)],
        storage=Storage(free_bytes=5),
    )
    rows = worker_rows([worker])
    assert rows.cells == (
        (
            "gpu-07",
            "READY, cordoned",
            "8",
            "1.00 KiB of 4.00 KiB",
            "NVIDIA L40S 2.00 KiB of 2.00 KiB",
            "5 B",
            "LLAMA_CPP 1.2",
            "127.0.0.1:7603",
        ),
    )
    assert len(rows.columns) == len(rows.cells[0])
