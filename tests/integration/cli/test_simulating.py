"""`moor simulate` and `moor predict`: what is asked, what is printed, and the exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from scripted_registry import scripted_registry

from moorage.common.v1.engine_pb2 import EngineKind, LlamaCppOptions
from moorage.common.v1.placement_pb2 import Explanation, MemoryClaim, Placement, PredictedPerformance, Verdict
from moorage.registry.v1.artifact_pb2 import ArtifactCopy, CopyState
from moorage.registry.v1.artifact_service_pb2 import ListArtifactCopiesRequest, ListArtifactCopiesResponse
from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.instance_service_pb2 import ListInstancesRequest, ListInstancesResponse
from moorage.registry.v1.model_pb2 import Model, ModelResolution, PlacementPolicy
from moorage.registry.v1.model_service_pb2 import GetModelRequest, GetModelResponse
from moorage.registry.v1.worker_pb2 import (
    Accelerator,
    AcceleratorKind,
    InstalledEngine,
    MemoryPool,
    NodeFacts,
    OperatingSystem,
    Storage,
    Worker,
    WorkerState,
)
from moorage.registry.v1.worker_service_pb2 import ListWorkersRequest, ListWorkersResponse
from moorage.scheduler.v1.scheduler_service_pb2 import (
    Prediction,
    PredictPerformanceRequest,
    PredictPerformanceResponse,
)
from moorage.scheduler.v1.simulation_pb2 import (
    SimulatedCopy,
    SimulatedPlacement,
    SimulatePlacementRequest,
    SimulatePlacementResponse,
)
from moorage_cli.commands import predict, simulate
from moorage_cli.execution import run_command
from moorage_cli.results import Output
from moorage_cli.simulation.mistakes import FileInvalid
from moorage_cli.target import MeshTarget
from moorage_common.core.errors import FailedPrecondition, FieldViolation, InvalidArgument, Unavailable

FLEET = "workers:\n- {name: gpu, count: 2, gpus: 8 x H100, ram: 1TiB}\n"
MODEL = "name: m\nsizes: {weights: 1GB}\nreplicas: 2\n"
PLACED = SimulatedPlacement(
    model="models/m", placement=Placement(worker="workers/gpu-1"), explanation=Explanation(verdict=1)
)
UNPLACED = SimulatedPlacement(
    model="models/m",
    replica=1,
    explanation=Explanation(verdict=Verdict.VERDICT_NOT_NOW, summary="no room", workers_considered=2),
)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "fleet.yaml", tmp_path / "model.yaml"]
    for path, text in zip(paths, (FLEET, MODEL), strict=True):
        path.write_text(text)
    return paths


async def simulated(target: MeshTarget, files: list[Path], **changed: Any) -> int:
    usual = {"live": False, "models": [], "closest": 5, "seed": "", "output": Output.TABLE}
    return await simulate.run(target, files=files, **{**usual, **changed})


@pytest.mark.parametrize(
    ("placements", "code"),
    [
        ([PLACED], 0),
        ([PLACED, UNPLACED], 3),
        ([PLACED, UNPLACED, SimulatedPlacement(model="models/x", status=Status(code=5, message="gone"))], 1),
        ([], 0),
    ],
)
async def test_the_exit_code_says_whether_everything_has_a_place(
    files: list[Path], placements: list[SimulatedPlacement], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[SimulatePlacementRequest] = []

    async def place(request: SimulatePlacementRequest, context: Any) -> SimulatePlacementResponse:
        asked.append(request)
        return SimulatePlacementResponse(placements=placements)

    async with scripted_registry(SimulatePlacement=place) as target:
        assert await simulated(target, files, closest=7, seed="s") == code
    (request,) = asked
    assert [worker.name for worker in request.workers] == ["workers/gpu-1", "workers/gpu-2"]
    assert (request.models[0].replicas, request.max_workers, request.seed) == (2, 7, "s")
    said = capsys.readouterr().out
    assert said.startswith(f"{sum(each.HasField('placement') for each in placements)} of {len(placements)}")


async def test_programs_get_what_the_scheduler_says(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    async def place(request: SimulatePlacementRequest, context: Any) -> SimulatePlacementResponse:
        return SimulatePlacementResponse(placements=[PLACED, UNPLACED])

    async with scripted_registry(SimulatePlacement=place) as target:
        assert await simulated(target, files, output=Output.NAME) == 3
        assert capsys.readouterr().out == "workers/gpu-1\n"
        assert await simulated(target, files, output=Output.JSON) == 3
    assert [each["model"] for each in json.loads(capsys.readouterr().out)["placements"]] == ["models/m"] * 2


async def test_what_the_scheduler_refuses_is_told_of_the_file(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    async def place(request: SimulatePlacementRequest, context: Any) -> SimulatePlacementResponse:
        violations = [
            FieldViolation("workers[1].accelerators[3].product", "nothing is known of an H100"),
            FieldViolation("models[0].sizes", "says too little"),
        ]
        raise InvalidArgument("the request is invalid", violations=violations)

    async with scripted_registry(SimulatePlacement=place) as target:
        with pytest.raises(FileInvalid) as refused:
            await simulated(target, files)
    assert [violation.field for violation in refused.value.violations] == [
        f"{files[0]}:2:31: workers[0].gpus",
        f"{files[1]}:2:8: sizes",
    ]


def test_bad_files_end_before_any_call_with_a_code_of_their_own(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = MeshTarget.at({"scheduler": "127.0.0.1:9"})
    files[0].write_text("wokers: []")
    assert run_command(lambda: simulated(nowhere, files), debug=False) == 2
    said = capsys.readouterr().err
    assert f"{files[0]}:1:1: wokers: is unknown; did you mean workers?" in said
    assert run_command(lambda: simulated(nowhere, []), debug=False) == 2
    assert "no model is given" in capsys.readouterr().err


WORKER = Worker(
    name="workers/live",
    state=WorkerState.WORKER_STATE_READY,
    cordoned=True,
    labels={"zone": "a"},
    facts=NodeFacts(
        operating_system=OperatingSystem.OPERATING_SYSTEM_LINUX,
        ram_total_bytes=1000,
        ram_reserved_bytes=10,
        accelerators=[
            Accelerator(
                uuid="GPU-1",
                index=3,
                kind=AcceleratorKind.ACCELERATOR_KIND_CUDA,
                product="NVIDIA L40S",
                memory_total_bytes=500,
                memory_reserved_bytes=5,
            )
        ],
    ),
    ram=MemoryPool(pool="ram", foreign_bytes=20),
    accelerator_memory=[MemoryPool(pool="GPU-1", foreign_bytes=7)],
    storage=Storage(free_bytes=99),
)
BOUND = Instance(
    name="models/a/instances/1",
    state=InstanceState.INSTANCE_STATE_RUNNING,
    worker="workers/live",
    placement=Placement(
        worker="workers/live",
        subordinates=["workers/other"],
        engine=EngineKind.ENGINE_KIND_VLLM,
        claims=[MemoryClaim(worker="workers/live", pool="GPU-1", size_bytes=400)],
    ),
)


async def test_the_live_fleet_is_asked_for_and_added_to(files: list[Path]) -> None:
    asked: list[SimulatePlacementRequest] = []

    async def place(request: SimulatePlacementRequest, context: Any) -> SimulatePlacementResponse:
        asked.append(request)
        return SimulatePlacementResponse()

    async def workers(request: ListWorkersRequest, context: Any) -> ListWorkersResponse:
        return ListWorkersResponse(workers=[WORKER])

    async def instances(request: ListInstancesRequest, context: Any) -> ListInstancesResponse:
        waits = Instance(name="models/a/instances/2", state=InstanceState.INSTANCE_STATE_PENDING)
        return ListInstancesResponse(instances=[BOUND, waits])

    async def copies(request: ListArtifactCopiesRequest, context: Any) -> ListArtifactCopiesResponse:
        ready = ArtifactCopy(
            artifact="artifacts/x", worker="workers/live", state=CopyState.COPY_STATE_READY, done_bytes=3
        )
        return ListArtifactCopiesResponse(
            copies=[ready, ArtifactCopy(artifact="artifacts/y", worker="workers/z")]
        )

    async def get_model(request: GetModelRequest, context: Any) -> GetModelResponse:
        model = Model(
            name=request.name,
            resolution=ModelResolution(artifact="artifacts/x"),
            llama_cpp=LlamaCppOptions(context_length=8192),
            placement=PlacementPolicy(workers=["workers/live"]),
            replicas=4,
        )
        return GetModelResponse(model=model)

    async with scripted_registry(
        SimulatePlacement=place,
        ListWorkers=workers,
        ListInstances=instances,
        ListArtifactCopies=copies,
        GetModel=get_model,
    ) as target:
        assert await simulated(target, files[:1], live=True, models=["llama"]) == 0
    (request,) = asked
    assert [worker.name for worker in request.workers] == ["workers/gpu-1", "workers/gpu-2", "workers/live"]
    live = request.workers[2]
    assert (live.cordoned, live.draining, live.labels["zone"]) == (True, False, "a")
    assert (live.ram_total_bytes, live.ram_reserved_bytes, live.ram_foreign_bytes) == (1000, 10, 20)
    (card,) = live.accelerators
    assert (card.uuid, card.index, card.product, card.memory_total_bytes) == ("GPU-1", 3, "NVIDIA L40S", 500)
    assert (card.memory_reserved_bytes, card.memory_foreign_bytes) == (5, 7)
    # An agent without any engine is not one with every engine.
    assert list(live.engines) == [InstalledEngine()]
    assert live.disk_free_bytes == 99
    assert list(live.artifacts) == [
        SimulatedCopy(artifact="artifacts/x", state=CopyState.COPY_STATE_READY, done_bytes=3)
    ]
    (instance,) = request.instances
    assert (instance.name, instance.worker) == ("models/a/instances/1", "workers/live")
    assert (instance.engine, list(instance.subordinates)) == (
        EngineKind.ENGINE_KIND_VLLM,
        ["workers/other"],
    )
    assert [(claim.pool, claim.size_bytes) for claim in instance.claims] == [("GPU-1", 400)]
    (model,) = request.models
    assert (model.name, model.known_artifact, model.artifact) == (
        "models/llama",
        "artifacts/x",
        "artifacts/x",
    )
    assert not model.HasField("replicas")
    assert model.llama_cpp.context_length == 8192
    assert list(model.placement.workers) == ["workers/live"]


async def test_a_model_that_nothing_is_known_of_is_refused(files: list[Path]) -> None:
    async def get_model(request: GetModelRequest, context: Any) -> GetModelResponse:
        return GetModelResponse(model=Model(name=request.name))

    async with scripted_registry(GetModel=get_model) as target:
        with pytest.raises(FailedPrecondition, match="nothing is known of models/llama yet") as refused:
            await simulated(target, files[:1], models=["llama"])
    assert "moor explain llama" in refused.value.remedy


async def test_a_scheduler_that_is_away_is_another_matter_than_a_bad_file(files: list[Path]) -> None:
    with pytest.raises(Unavailable):
        await simulated(MeshTarget.at({"scheduler": "127.0.0.1:9"}), files)


PREDICTION = Prediction(
    placement=Placement(worker="workers/w", predicted=PredictedPerformance(decode_tokens_per_s=40))
)


@pytest.mark.parametrize(
    ("name", "instances", "asked_for", "heading"),
    [
        ("a/1", [], [("instance", "models/a/instances/1")], "models/a/instances/1"),
        ("a", [BOUND], [("instance", "models/a/instances/1")], "models/a/instances/1"),
        ("a", [], [("evaluation", "models/a")], "one more instance of models/a"),
    ],
)
async def test_predict_asks_of_instances_that_have_a_place_else_of_one_more(
    name: str,
    instances: list[Instance],
    asked_for: list[tuple[str, str]],
    heading: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[tuple[str, str]] = []

    async def predicted(request: PredictPerformanceRequest, context: Any) -> PredictPerformanceResponse:
        asked.append((request.WhichOneof("subject") or "", request.instance or request.evaluation.model_name))
        return PredictPerformanceResponse(predictions=[PREDICTION])

    async def listed(request: ListInstancesRequest, context: Any) -> ListInstancesResponse:
        return ListInstancesResponse(instances=[*instances, Instance(name="models/a/instances/9")])

    async with scripted_registry(PredictPerformance=predicted, ListInstances=listed) as target:
        assert await predict.run(target, name=name, output=Output.TABLE) == 0
        said = capsys.readouterr().out
        assert await predict.run(target, name=name, output=Output.NAME) == 0
        assert capsys.readouterr().out == f"{asked_for[0][1]}\n"
    assert asked == asked_for * 2
    assert said.splitlines()[0] == heading
    assert "40 tokens/s, one request alone" in said
