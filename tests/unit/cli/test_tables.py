from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status

from moorage.common.v1.engine_pb2 import EngineKind
from moorage.common.v1.model_facts_pb2 import GgufFacts, ModelFacts
from moorage.common.v1.placement_pb2 import Explanation, MemoryClaim, Placement
from moorage.registry.v1.artifact_pb2 import Artifact, ArtifactCopy, CopyState, Pull, PullState
from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.instance_service_pb2 import ModelEndpoint
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
from moorage_cli.views.tables import (
    artifact_rows,
    endpoint_rows,
    instance_rows,
    model_rows,
    ps_rows,
    worker_rows,
)

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
    rows = ps_rows(models, instances, now=NOW)
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


def test_models_show_how_much_of_them_runs() -> None:
    model = Model(
        name="models/a",
        source="hf:x/y",
        replicas=2,
        engine=EngineKind.ENGINE_KIND_LLAMA_CPP,
        create_time=AN_HOUR_AGO,
        desired_state=DesiredState.DESIRED_STATE_RUNNING,
    )
    other = Model(name="models/ab", source="hf:x/z", desired_state=DesiredState.DESIRED_STATE_STOPPED)
    instances = [
        Instance(name="models/a/instances/1", state=InstanceState.INSTANCE_STATE_RUNNING),
        Instance(name="models/a/instances/2", state=InstanceState.INSTANCE_STATE_ERROR),
    ]
    assert model_rows([model, other], instances, now=NOW).cells == (
        ("a", "ERROR", "1/2", "LLAMA_CPP", "1 h", "hf:x/y"),
        ("ab", "STOPPED", "0/0", "auto", "", "hf:x/z"),
    )


def test_instances_show_what_they_hold_and_why_they_do_not_answer() -> None:
    placement = Placement(claims=[MemoryClaim(size_bytes=2048)], gpu_layers=3, total_layers=33)
    failing = Instance(
        name="models/a/instances/1",
        state=InstanceState.INSTANCE_STATE_ERROR,
        state_time=AN_HOUR_AGO,
        worker="workers/w",
        subordinates=["workers/x", "workers/y"],
        placement=placement,
        restart_count=4,
        error=Status(message="the engine exited"),
    )
    leaving = Instance(
        name="models/a/instances/2",
        state=InstanceState.INSTANCE_STATE_RUNNING,
        retiring=True,
        evicting=True,
        endpoint="http://w:1/v1",
    )
    assert instance_rows([failing, leaving], now=NOW).cells == (
        ("a/1", "ERROR", "w +2", "2.00 KiB", "3/33 layers", "4", "1 h", "the engine exited"),
        ("a/2", "RUNNING, evicting", "", "", "", "", "", "http://w:1/v1"),
    )


def copy(worker: str, state: CopyState.ValueType, *, done: int = 0) -> ArtifactCopy:
    return ArtifactCopy(
        artifact="artifacts/a", worker=f"workers/{worker}", state=state, done_bytes=done, size_bytes=200
    )


def test_artifacts_show_where_they_are() -> None:
    artifact = Artifact(
        name="artifacts/a",
        size_bytes=2048,
        source="hf:x/y@1",
        create_time=AN_HOUR_AGO,
        facts=ModelFacts(gguf=GgufFacts(architecture="llama", block_count=4, quantization="Q4_K")),
        pull=Pull(state=PullState.PULL_STATE_COMPLETE),
    )
    ready, fetching, failed = (
        copy("one", CopyState.COPY_STATE_READY),
        copy("two", CopyState.COPY_STATE_FETCHING, done=99),
        copy("three", CopyState.COPY_STATE_FAILED),
    )
    elsewhere = ArtifactCopy(artifact="artifacts/b", worker="workers/x")

    def shown(*copies: ArtifactCopy) -> tuple[object, ...]:
        (cells,) = artifact_rows([artifact], copies, now=NOW).cells
        return cells

    assert shown(ready, fetching, failed, elsewhere) == (
        "a",
        "2.00 KiB",
        "llama with 4 layers, Q4_K",
        "COMPLETE",
        "one, two 49%, three FAILED",
        "1 h",
        "hf:x/y@1",
    )
    assert shown(ready, ready, ready, fetching)[4] == "3 of 4 workers"
    assert shown()[4] == ""


def test_endpoints_show_where_models_answer() -> None:
    endpoint = ModelEndpoint(
        model="models/a",
        instance="models/a/instances/1",
        worker="workers/w",
        url="http://w:1/v1",
        ready_time=AN_HOUR_AGO,
    )
    assert endpoint_rows([endpoint], now=NOW).cells == (("a/1", "w", "1 h", "http://w:1/v1"),)
