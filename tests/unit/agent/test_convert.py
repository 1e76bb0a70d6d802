"""From the registry's words to the agent's, and back."""

import pytest

from moorage.agent.v1 import agent_service_pb2
from moorage.common.v1 import engine_pb2, placement_pb2
from moorage.registry.v1 import artifact_pb2, instance_pb2, model_pb2, worker_pb2, worker_service_pb2
from moorage_agent.core.domain import CopyAssignment, EnginePhase, EngineStatus, FileEntry
from moorage_agent.core.fault import Fault
from moorage_agent.core.measure import Measurements
from moorage_agent.core.reports import CopyReport, InstanceReport
from moorage_agent.core.spec import EngineSpec, FlashAttention, GpuShare
from moorage_agent.devices.gpus import Gpu
from moorage_agent.devices.host import HostFacts
from moorage_agent.engines.contract import InstalledEngine
from moorage_agent.mesh import convert
from moorage_agent.mesh.facts import NodeIdentity, Reserved, StandingFacts, node_facts
from moorage_common.core.errors import DataLoss, ErrorReason, InvalidArgument
from moorage_common.core.placement import KvCacheType
from moorage_common.core.states import AcceleratorKind, CopyState, EngineKind, InstanceState
from moorage_common.rpc.status import from_status


def instance(**changes) -> worker_service_pb2.InstanceAssignment:
    values = {
        "instance": "models/m/instances/a",
        "uid": "0b7c-1",
        "action": worker_service_pb2.INSTANCE_ACTION_RUN,
        "model": model_pb2.Model(name="models/m"),
        "artifact": "artifacts/art",
        "entry_point": "dir/m.gguf",
    }
    return worker_service_pb2.InstanceAssignment(**{**values, **changes})


def state(*instances, copies=()) -> worker_service_pb2.DesiredNodeState:
    return worker_service_pb2.DesiredNodeState(nonce="n", instances=instances, copies=copies)


def test_defaults_of_a_spec() -> None:
    [assignment] = convert.desired_state(state(instance())).instances
    assert assignment.spec == EngineSpec(
        kind=EngineKind.LLAMA_CPP,
        alias="m",
        artifact="art",
        entry_point="dir/m.gguf",
        context_length=4096,
        parallel_slots=1,
    )


def test_the_placement_decides_over_the_wish() -> None:
    options = engine_pb2.LlamaCppOptions(
        context_length=8192, parallel_slots=4, kv_cache_type=engine_pb2.KV_CACHE_TYPE_Q8_0, threads=3,
        flash_attention=engine_pb2.FLASH_ATTENTION_ON, micro_batch_size=1024, unified_kv_cache=True,
        forbid_mmap=True,
    )  # fmt: skip
    claims = [
        placement_pb2.MemoryClaim(pool="GPU-b", layers=20),
        placement_pb2.MemoryClaim(pool="GPU-a", layers=13),
        placement_pb2.MemoryClaim(pool="ram", layers=0),
    ]
    placement = placement_pb2.Placement(context_length=2048, gpu_layers=33, claims=claims)
    model = model_pb2.Model(name="models/m", llama_cpp=options, engine=engine_pb2.ENGINE_KIND_LLAMA_CPP)
    [assignment] = convert.desired_state(state(instance(model=model, placement=placement))).instances
    spec = assignment.spec
    assert spec is not None
    assert (spec.context_length, spec.parallel_slots, spec.threads) == (2048, 4, 3)
    assert spec.kv_cache_type is KvCacheType.Q8_0
    assert spec.flash_attention is FlashAttention.ON
    assert (spec.micro_batch_size, spec.unified_kv_cache, spec.forbid_mmap) == (1024, True, True)
    assert spec.gpus == (GpuShare(uuid="GPU-b", layers=20), GpuShare(uuid="GPU-a", layers=13))
    assert spec.gpu_layers == 33


MEMBERS = [
    worker_service_pb2.InstanceMember(worker=f"workers/{worker}", rank=rank)
    for rank, worker in enumerate("ab")
]


def test_the_placements_engine_is_the_one_that_runs() -> None:
    placement = placement_pb2.Placement(engine=engine_pb2.ENGINE_KIND_VLLM)
    [assignment] = convert.desired_state(state(instance(placement=placement))).instances
    assert assignment.spec is not None
    assert assignment.spec.kind is EngineKind.VLLM


def test_what_is_spread_over_several_workers_is_refused_and_the_rest_is_not() -> None:
    spread, alone = convert.desired_state(state(instance(members=MEMBERS), instance(uid="v"))).instances
    assert spread.spec is None
    assert spread.refusal is not None
    assert spread.refusal.reason is ErrorReason.DISTRIBUTION_UNSUPPORTED
    assert "2 workers" in spread.refusal.message
    assert alone.spec is not None
    assert alone.refusal is None


def test_it_is_stopped_like_any_other() -> None:
    stop = instance(members=MEMBERS, action=worker_service_pb2.INSTANCE_ACTION_STOP)
    [assignment] = convert.desired_state(state(stop)).instances
    assert (assignment.spec, assignment.refusal) == (None, None)


def test_what_should_stop_needs_no_spec() -> None:
    stop = worker_service_pb2.InstanceAssignment(
        instance="models/m/instances/a", uid="u", action=worker_service_pb2.INSTANCE_ACTION_STOP
    )
    [assignment] = convert.desired_state(state(stop)).instances
    assert assignment.spec is None


@pytest.mark.parametrize(
    "changes",
    [
        {"uid": "../../etc"},
        {"uid": ""},
        {"action": worker_service_pb2.INSTANCE_ACTION_UNSPECIFIED},
        {"entry_point": "../m.gguf"},
        {"artifact": "artifacts/../x"},
        {"model": model_pb2.Model(name="m")},
        {"model": model_pb2.Model(name="models/m", engine=999)},
    ],
)
def test_what_cannot_be_understood_is_refused_whole(changes) -> None:
    with pytest.raises(InvalidArgument):
        convert.desired_state(state(instance(), instance(**changes)))


@pytest.mark.parametrize(
    "action", [worker_service_pb2.INSTANCE_ACTION_RUN, worker_service_pb2.INSTANCE_ACTION_STOP]
)
def test_an_assignment_is_of_a_generation(action) -> None:
    [assignment] = convert.desired_state(state(instance(action=action, generation=7))).instances
    assert assignment.generation == 7


def test_copies() -> None:
    file = artifact_pb2.ArtifactFile(path="a/b", size_bytes=7, sha256="f" * 64)
    wanted = worker_service_pb2.CopyAssignment(artifact="artifacts/art", files=[file], read_from=["h:1"])
    assert convert.desired_state(state(copies=[wanted])).copies == (
        CopyAssignment(
            artifact="art", files=(FileEntry(path="a/b", size_bytes=7, sha256="f" * 64),), read_from=("h:1",)
        ),
    )
    wanted.files[0].path = "/etc/passwd"
    with pytest.raises(InvalidArgument):
        convert.desired_state(state(copies=[wanted]))


def test_reports() -> None:
    fault = Fault.of(DataLoss("wrong bytes"))
    request = convert.instance_report(
        InstanceReport(
            uid="u", instance="models/m/instances/a", generation=7, state=InstanceState.ERROR, error=fault
        ),
        worker="workers/w",
        lease_id="l",
    )
    assert (request.state, request.generation) == (instance_pb2.INSTANCE_STATE_ERROR, 7)
    assert from_status(request.error).message == "wrong bytes"
    request = convert.copy_report(
        CopyReport(artifact="art", state=CopyState.FETCHING, done_bytes=5), worker_id="w", lease_id="l"
    )
    assert (request.name, request.done_bytes) == ("artifacts/art/copies/w", 5)
    assert not request.HasField("error")


def test_measurements_that_did_not_change_are_absent() -> None:
    message = convert.measurements(Measurements(foreign_bytes={"ram": 5}))
    assert dict(message.foreign_bytes) == {"ram": 5}
    assert not message.HasField("storage")


@pytest.mark.parametrize("phase", list(EnginePhase))
def test_every_phase_can_be_shown(phase: EnginePhase) -> None:
    spec = EngineSpec(kind=EngineKind.LLAMA_CPP, alias="m", artifact="a", entry_point="m", context_length=1)
    status = EngineStatus(
        uid="u", instance="models/m/instances/a", generation=7, spec=spec, phase=phase, started_at=1.5
    )
    [engine] = convert.engines([status], {EngineKind.LLAMA_CPP: "1.0"})
    assert engine.state != agent_service_pb2.ENGINE_STATE_UNSPECIFIED
    assert (engine.version, engine.start_time.ToMilliseconds()) == ("1.0", 1500)
    assert engine.generation == 7


@pytest.mark.parametrize(
    ("system", "machine", "expected"),
    [
        ("Linux", "x86_64", (worker_pb2.OPERATING_SYSTEM_LINUX, worker_pb2.CPU_ARCHITECTURE_X86_64)),
        ("Darwin", "arm64", (worker_pb2.OPERATING_SYSTEM_DARWIN, worker_pb2.CPU_ARCHITECTURE_AARCH64)),
        ("Plan9", "mips", (0, 0)),
    ],
)
def test_facts(system: str, machine: str, expected: tuple[int, int]) -> None:
    gpu = Gpu(
        uuid="GPU-1",
        index=0,
        product="L40S",
        memory_total_bytes=100,
        memory_used_bytes=10,
        own_bytes=0,
        compute_capability="8.9",
        driver_version="570",
        link_group="G-0",
        switch_group="",
    )
    standing = StandingFacts(
        identity=NodeIdentity(node_id="n", agent_address="h:1", agent_version="0"),
        host=HostFacts(hostname="h", system=system, machine=machine, cpu_cores=2, ram_total_bytes=1000),
        engines=(
            InstalledEngine(
                kind=EngineKind.LLAMA_CPP,
                version="1",
                accelerators=(AcceleratorKind.CUDA,),
                single_worker_only=True,
            ),
        ),
        reserved=Reserved(ram_bytes=5000, gpu_bytes=30),
    )
    facts = node_facts(standing, [gpu])
    assert (facts.operating_system, facts.cpu_architecture) == expected
    # What is reserved never exceeds what is there.
    assert (facts.ram_reserved_bytes, facts.accelerators[0].memory_reserved_bytes) == (1000, 30)
    assert list(facts.engines[0].accelerator_kinds) == [worker_pb2.ACCELERATOR_KIND_CUDA]
    assert facts.engines[0].single_worker_only
    assert (facts.accelerators[0].link_group, facts.accelerators[0].switch_group) == ("G-0", "")
