"""How far a deployment is, at each of its stages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest

from moorage.common.v1.engine_pb2 import ENGINE_KIND_VLLM
from moorage.common.v1.model_facts_pb2 import GgufFacts, ModelFacts
from moorage.common.v1.placement_pb2 import (
    Explanation,
    MemoryClaim,
    Placement,
    PlacementReason,
    Rejection,
    Verdict,
    WorkerExplanation,
)
from moorage.registry.v1.artifact_pb2 import (
    Artifact,
    ArtifactCopy,
    ArtifactFile,
    CopyState,
    Pull,
    PullState,
)
from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.model_pb2 import (
    PLACEMENT_STRATEGY_BINPACK,
    Model,
    ModelResolution,
    ResolutionState,
)
from moorage.registry.v1.worker_pb2 import ACCELERATOR_KIND_CUDA
from moorage_cli.commands.deploy import Wishes
from moorage_cli.views.deployment import DeploymentStatus, deployment_status
from moorage_cli.views.milestones import Mark, OutcomeKind, Transfer
from moorage_common.core.errors import ErrorReason, InvalidArgument, MoorageError, NotFound, Unavailable
from moorage_common.core.placement import PlacementStrategy
from moorage_common.core.states import EngineKind
from moorage_common.rpc.status import to_status


@dataclass
class Shown:
    """What a watch has shown."""

    models: Mapping[str, Model] = field(default_factory=dict)
    instances: Mapping[str, Instance] = field(default_factory=dict)
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    copies: Mapping[str, ArtifactCopy] = field(default_factory=dict)


def status(
    model: Model,
    instances: Iterable[Instance] = (),
    artifact: Artifact | None = None,
    copies: Iterable[ArtifactCopy] = (),
) -> DeploymentStatus:
    shown = Shown(
        models={model.name: model},
        instances={each.name: each for each in instances},
        artifacts={artifact.name: artifact} if artifact else {},
        copies={each.name: each for each in copies},
    )
    return deployment_status(shown, model.name)


def resolving(error: MoorageError | None = None) -> Model:
    state = ResolutionState.RESOLUTION_STATE_RESOLVING
    resolution = ModelResolution(state=state, error=to_status(error) if error else None)
    return Model(name="models/tiny", resolution=resolution)


RESOLVED = Model(
    name="models/tiny",
    resolution=ModelResolution(state=ResolutionState.RESOLUTION_STATE_RESOLVED, artifact="artifacts/a"),
)


def artifact(state: PullState.ValueType, *, done_bytes: int = 0, bytes_per_second: int = 0) -> Artifact:
    return Artifact(
        name="artifacts/a",
        revision="0123456789abcdef",
        files=[ArtifactFile(path="m.gguf")],
        size_bytes=1000,
        facts=ModelFacts(gguf=GgufFacts(architecture="llama", block_count=4, quantization="F32")),
        pull=Pull(state=state, done_bytes=done_bytes, bytes_per_second=bytes_per_second),
    )


def copy(state: CopyState.ValueType, worker: str = "workers/w", done: int = 0) -> ArtifactCopy:
    return ArtifactCopy(
        name=f"artifacts/a/copies/{worker.removeprefix('workers/')}",
        artifact="artifacts/a",
        worker=worker,
        state=state,
        done_bytes=done,
        size_bytes=1000,
    )


def instance(state: InstanceState.ValueType, **fields: object) -> Instance:
    values: dict[str, object] = {"name": "models/tiny/instances/i1", "state": state, **fields}
    return Instance(**values)  # type: ignore[arg-type]


def told(shown: DeploymentStatus) -> list[str]:
    return [f"{milestone.label}: {milestone.text}" for milestone in shown.milestones]


def test_a_deleted_model_ends_it() -> None:
    shown = deployment_status(Shown(), "models/tiny")
    assert shown.outcome is not None
    assert isinstance(shown.outcome.error, NotFound)


def test_nothing_is_told_while_a_source_is_resolved() -> None:
    assert status(resolving()) == DeploymentStatus(milestones=(), transfers=(), outcome=None)


def test_a_failed_try_to_resolve_is_told_and_goes_on() -> None:
    shown = status(resolving(Unavailable("the hub is away", reason=ErrorReason.SOURCE_UNAVAILABLE)))
    assert told(shown) == ["source: the hub is away (tried again)"]
    assert shown.milestones[0].mark is Mark.TROUBLE
    assert shown.outcome is None


def test_a_source_that_fails_ends_it_with_its_own_error() -> None:
    model = Model(
        name="models/tiny",
        resolution=ModelResolution(
            state=ResolutionState.RESOLUTION_STATE_FAILED,
            error=to_status(NotFound("no such repository", reason=ErrorReason.SOURCE_NOT_FOUND)),
        ),
    )
    outcome = status(model).outcome
    assert outcome is not None
    assert outcome.kind is OutcomeKind.FAILED
    assert isinstance(outcome.error, NotFound)
    assert outcome.error.reason is ErrorReason.SOURCE_NOT_FOUND


def test_bytes_on_their_way_are_transfers() -> None:
    shown = status(
        RESOLVED,
        [instance(InstanceState.INSTANCE_STATE_FETCHING, worker="workers/w")],
        artifact(PullState.PULL_STATE_PULLING, done_bytes=600, bytes_per_second=50),
        [
            copy(CopyState.COPY_STATE_FETCHING, done=300),
            copy(CopyState.COPY_STATE_FETCHING, worker="workers/other"),
        ],
    )
    assert told(shown) == ["resolved: artifacts/a, 0.98 KiB, revision 0123456789ab"]
    assert shown.transfers == (
        Transfer("from its source", 600, 1000, 50),
        Transfer("onto workers/w", 300, 1000, 0),
    )


def test_a_pull_that_failed_ends_it() -> None:
    failed = artifact(PullState.PULL_STATE_FAILED)
    failed.pull.error.CopyFrom(to_status(Unavailable("gone", reason=ErrorReason.SOURCE_UNAVAILABLE)))
    outcome = status(RESOLVED, [], failed).outcome
    assert outcome is not None
    assert outcome.kind is OutcomeKind.FAILED


def test_running_tells_the_whole_way() -> None:
    placement = Placement(worker="workers/w", claims=[MemoryClaim(pool="ram", size_bytes=10)])
    running = instance(
        InstanceState.INSTANCE_STATE_RUNNING,
        worker="workers/w",
        placement=placement,
        explanation=Explanation(verdict=Verdict.VERDICT_PLACED, summary="w has the most room"),
        endpoint="http://127.0.0.1:1/v1",
    )
    shown = status(
        RESOLVED, [running], artifact(PullState.PULL_STATE_COMPLETE), [copy(CopyState.COPY_STATE_READY)]
    )
    assert told(shown)[1:] == [
        "fetched: 0.98 KiB on workers/w, verified",
        "placed: tiny/i1: w has the most room",
        "running: tiny/i1: http://127.0.0.1:1/v1",
    ]
    assert shown.transfers == ()
    assert shown.outcome is not None
    assert shown.outcome.kind is OutcomeKind.RUNNING


def test_every_replica_must_run_and_those_on_their_way_out_do_not_count() -> None:
    model = Model()
    model.CopyFrom(RESOLVED)
    model.replicas = 2
    first = instance(InstanceState.INSTANCE_STATE_RUNNING)
    leaving = instance(InstanceState.INSTANCE_STATE_RUNNING, name="models/tiny/instances/i0", retiring=True)
    second = instance(InstanceState.INSTANCE_STATE_STARTING, name="models/tiny/instances/i2")
    assert status(model, [leaving, first, second]).outcome is None
    second.state = InstanceState.INSTANCE_STATE_RUNNING
    assert status(model, [leaving, first, second]).outcome is not None


def test_only_some_instances_can_be_looked_at_whatever_the_others_do() -> None:
    model = Model()
    model.CopyFrom(RESOLVED)
    model.replicas = 3
    mine = instance(InstanceState.INSTANCE_STATE_STARTING)
    stuck = never_fits(considered=1)
    stuck.name = "models/tiny/instances/i2"
    shown = Shown(models={model.name: model}, instances={each.name: each for each in (mine, stuck)})
    only = [mine.name]
    assert deployment_status(shown, model.name, only=only).outcome is None
    mine.state = InstanceState.INSTANCE_STATE_RUNNING
    outcome = deployment_status(shown, model.name, only=only).outcome
    assert outcome is not None
    assert outcome.kind is OutcomeKind.RUNNING


def never_fits(considered: int, verdict: Verdict.ValueType = Verdict.VERDICT_NEVER_FITS) -> Instance:
    rejection = Rejection(
        reason=PlacementReason.PLACEMENT_REASON_INSUFFICIENT_RAM, remedy="Add a worker with 9 GiB."
    )
    explanation = Explanation(
        verdict=verdict,
        summary="needs 9 GiB",
        workers_considered=considered,
        workers=[WorkerExplanation(worker="workers/w", rejections=[rejection])],
    )
    return instance(InstanceState.INSTANCE_STATE_PENDING, explanation=explanation)


def test_what_fits_nowhere_is_unplaced_with_a_remedy() -> None:
    shown = status(RESOLVED, [never_fits(considered=1)], artifact(PullState.PULL_STATE_IDLE))
    assert told(shown)[-1] == "waiting: tiny/i1: needs 9 GiB"
    assert shown.outcome is not None
    assert shown.outcome.kind is OutcomeKind.UNPLACED
    assert shown.outcome.error is not None
    assert shown.outcome.error.message.endswith("/i1: needs 9 GiB")
    assert shown.outcome.error.remedy == "Add a worker with 9 GiB."


@pytest.mark.parametrize(
    "waiting",
    [never_fits(considered=0), never_fits(considered=1, verdict=Verdict.VERDICT_NOT_NOW)],
    ids=["no worker yet", "not now"],
)
def test_what_may_fit_yet_is_waited_for(waiting: Instance) -> None:
    shown = status(RESOLVED, [waiting])
    assert shown.outcome is None
    assert shown.milestones[-1].mark is Mark.WAITING


def test_an_engine_is_given_up_after_three_restarts() -> None:
    error = to_status(Unavailable("the engine exited", reason=ErrorReason.ENGINE_EXITED))
    failing = instance(InstanceState.INSTANCE_STATE_ERROR, error=error, restart_count=2)
    shown = status(RESOLVED, [failing])
    assert told(shown) == ["engine: tiny/i1: the engine exited (started again)"]
    assert shown.outcome is None
    failing.restart_count = 3
    outcome = status(RESOLVED, [failing]).outcome
    assert outcome is not None
    assert outcome.error is not None
    assert outcome.error.reason is ErrorReason.ENGINE_EXITED


def test_what_a_user_says_of_a_model_is_what_is_created():
    wishes = Wishes(
        source="hf:a/b",
        engine=EngineKind.VLLM,
        engine_version=">=0.30",
        workers=("gpu-01", "workers/gpu-02"),
        worker_labels=("zone=a", "tier="),
        gpus=("gpu-01/cuda:1", "gpu-02/GPU-7f"),
        gpus_per_replica=1,
        strategy=PlacementStrategy.BINPACK,
        gpu_layers=0,
    )
    model = wishes.model()
    assert (model.engine, model.engine_version) == (ENGINE_KIND_VLLM, ">=0.30")
    placement = model.placement
    assert list(placement.workers) == ["workers/gpu-01", "workers/gpu-02"]
    assert dict(placement.worker_labels) == {"zone": "a", "tier": ""}
    first, second = placement.gpus
    assert (first.worker, first.position.kind, first.position.index) == (
        "workers/gpu-01",
        ACCELERATOR_KIND_CUDA,
        1,
    )
    assert (second.worker, second.uuid) == ("workers/gpu-02", "GPU-7f")
    assert (placement.gpus_per_replica, placement.strategy) == (1, PLACEMENT_STRATEGY_BINPACK)
    assert model.llama_cpp.HasField("gpu_layers")


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(source="hf:a/b", worker_labels=("zone",)),
        Wishes(source="hf:a/b", gpus=("gpu-01",)),
        Wishes(source="hf:a/b", gpus=("gpu-01/tpu:0",)),
        Wishes(source="hf:a/b", workers=("No Name",)),
    ],
)
def test_what_is_not_understood_is_said_before_anything_is_created(wishes):
    with pytest.raises(InvalidArgument):
        wishes.model()
