"""Rows for tests of lists: of every resource one that has everything, and one that has as little as it can."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from sqlalchemy import insert

from moorage.common.v1 import engine_pb2, model_facts_pb2, placement_pb2
from moorage.registry.v1 import artifact_pb2, instance_pb2, model_pb2, worker_pb2
from moorage_common.core.placement import ModelCategory
from moorage_common.core.states import (
    CopyState,
    DesiredState,
    DownloadState,
    EngineKind,
    InstanceState,
    PullState,
    ResolutionState,
    WorkerState,
)
from moorage_registry.convert.instances import explanation_from_proto
from moorage_registry.convert.json import error_to_json, to_json
from moorage_registry.core.records import Artifact, ArtifactCopy, Download, Instance, Model, Pool, Worker
from moorage_registry.store import schema
from moorage_registry.store.database import Transaction
from moorage_registry.store.tables import ARTIFACTS, COPIES, DOWNLOADS, INSTANCES, MODELS, WORKERS

T0 = datetime(2026, 1, 1, tzinfo=UTC)
OLD = {"uid": "uid-old", "version": 1, "created_at": T0, "updated_at": T0}
NEW = {
    "uid": "uid-new",
    "version": 7,
    "created_at": T0 + timedelta(hours=1),
    "updated_at": T0 + timedelta(hours=2),
}


def an_error():
    status = status_pb2.Status(code=8, message="the disk is 100% full")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="DISK_FULL", domain="moorage"))
    return error_to_json(status)


FACTS = worker_pb2.NodeFacts(
    node_id="node-full",
    hostname="berth.example",
    operating_system=worker_pb2.OPERATING_SYSTEM_LINUX,
    cpu_architecture=worker_pb2.CPU_ARCHITECTURE_AARCH64,
    cpu_cores=72,
    ram_total_bytes=1 << 40,
    ram_reserved_bytes=1 << 30,
    accelerators=[
        worker_pb2.Accelerator(
            uuid=f"GPU-{index}",
            kind=worker_pb2.ACCELERATOR_KIND_CUDA,
            product="NVIDIA L40S",
            memory_total_bytes=1,
        )
        for index in range(2)
    ],
    unified_memory=True,
    engines=[worker_pb2.InstalledEngine(kind=engine_pb2.ENGINE_KIND_LLAMA_CPP, version="b6000")],
    agent_address="10.0.0.7:7603",
    agent_version="0.1.0",
    cpu_product="AMD EPYC 9354 32-Core Processor",
)
BARE_FACTS = worker_pb2.NodeFacts(node_id="node-bare", cpu_cores=1, ram_total_bytes=1)

WORKER = Worker(
    **NEW,
    id="full",
    node_id="node-full",
    state=WorkerState.READY,
    cordoned=True,
    labels={"zone": "a", "topology.example/rack": "r 7", "AND": "1", "empty": ""},
    facts=to_json(FACTS),
    storage=to_json(worker_pb2.Storage(capacity_bytes=1 << 42, free_bytes=1 << 41)),
    drain_started_at=T0 + timedelta(hours=3),
    drain_completed_at=T0 + timedelta(hours=4),
)
BARE_WORKER = Worker(
    **OLD, id="bare", node_id="node-bare", state=WorkerState.NOT_READY, facts=to_json(BARE_FACTS)
)
POOL = Pool(
    worker_id="full", pool="ram", position=0, total=1000, reserved=100, capacity=900, claimed=300, foreign=50
)

ARTIFACT = Artifact(
    **NEW,
    id="full",
    source="hf:acme/tiny@c0ffee/model.gguf",
    revision="c0ffee",
    files=[
        to_json(artifact_pb2.ArtifactFile(path="a/model.gguf", size_bytes=10, sha256="ab" * 32)),
        to_json(artifact_pb2.ArtifactFile(path="more", size_bytes=0)),
    ],
    entry_point="a/model.gguf",
    size_bytes=10,
    facts=to_json(
        model_facts_pb2.ModelFacts(
            gguf=model_facts_pb2.GgufFacts(
                architecture="llama",
                model_name="Tiny",
                parameter_count=1 << 33,
                quantization="Q4_K",
                block_count=32,
                context_length=8192,
                expert_count=8,
            )
        )
    ),
    pull_state=PullState.PULLING,
    pull_address="10.0.0.1:7602",
    pull_done_bytes=4,
    pull_bytes_per_second=2,
    pull_error=an_error(),
)
BARE_ARTIFACT = Artifact(
    **OLD,
    id="bare",
    source="file:/m",
    revision="",
    files=[],
    entry_point="m",
    size_bytes=0,
    # An artifact has the facts of one format: those of the other are here.
    facts=to_json(
        model_facts_pb2.ModelFacts(
            safetensors=model_facts_pb2.SafetensorsFacts(
                architecture="Qwen3ForCausalLM",
                model_type="qwen3",
                parameter_count=1 << 33,
                quantization="fp8",
                block_count=36,
                context_length=40960,
                expert_count=128,
                category=engine_pb2.MODEL_CATEGORY_LLM,
            )
        )
    ),
)

MODEL = Model(
    **NEW,
    id="full",
    deleted_at=T0 + timedelta(hours=3),
    labels={"team": "berth", "tier": "100%"},
    source="hf:acme/tiny/model.gguf",
    engine=EngineKind.LLAMA_CPP,
    llama_cpp=to_json(
        engine_pb2.LlamaCppOptions(
            context_length=4096,
            parallel_slots=4,
            gpu_layers=0,
            kv_cache_type=engine_pb2.KV_CACHE_TYPE_Q8_0,
            threads=16,
            forbid_cpu_offload=True,
            flash_attention=engine_pb2.FLASH_ATTENTION_OFF,
            micro_batch_size=256,
            unified_kv_cache=True,
            forbid_mmap=True,
        )
    ),
    engine_version=">=6000,<7000",
    category=ModelCategory.RERANKER,
    vllm=to_json(
        engine_pb2.VllmOptions(
            gpu_memory_utilization=0.85,
            max_model_len=8192,
            tensor_parallel_size=2,
            pipeline_parallel_size=3,
            data_parallel_size=4,
            dtype=engine_pb2.VLLM_DTYPE_BF16,
            kv_cache_dtype=engine_pb2.VLLM_DTYPE_FP8,
            max_num_seqs=64,
            max_num_batched_tokens=4096,
            enforce_eager=True,
            text_only=True,
            host_kv_cache_bytes=1 << 33,
        )
    ),
    replicas=3,
    placement=to_json(
        model_pb2.PlacementPolicy(
            workers=["workers/full", "workers/gpu-07"],
            worker_labels={"zone": "a"},
            strategy=model_pb2.PLACEMENT_STRATEGY_SPREAD,
            gpus=[
                model_pb2.GpuSelector(worker="workers/full", uuid="GPU-0"),
                model_pb2.GpuSelector(
                    worker="workers/gpu-07",
                    position=model_pb2.GpuPosition(kind=worker_pb2.ACCELERATOR_KIND_CUDA, index=1),
                ),
            ],
            gpus_per_replica=2,
            primary_worker="workers/gpu-07",
            forbid_distributed=True,
        )
    ),
    desired_state=DesiredState.RUNNING,
    resolution_state=ResolutionState.RESOLVED,
    artifact_id="full",
    resolution_error=an_error(),
)
BARE_MODEL = Model(**OLD, id="bare", source="file:/m", replicas=0, desired_state=DesiredState.STOPPED)

INSTANCE = Instance(
    **NEW,
    model_id="full",
    id="a1",
    state=InstanceState.RUNNING,
    state_at=T0 + timedelta(hours=2),
    worker_id="full",
    last_worker_id="bare",
    subordinates=["bare"],
    placement=to_json(
        placement_pb2.Placement(
            gpu_layers=20,
            total_layers=33,
            context_length=4096,
            score=1.5,
            engine=engine_pb2.ENGINE_KIND_VLLM,
            engine_version="0.32.0",
            mode=placement_pb2.PLACEMENT_MODE_DISTRIBUTED,
            parallel=placement_pb2.ParallelShape(tensor=2, pipeline=3, data=4),
            predicted=placement_pb2.PredictedPerformance(decode_tokens_per_s=3.5),
        )
    ),
    **explanation_from_proto(
        placement_pb2.Explanation(
            verdict=placement_pb2.VERDICT_PLACED, summary="It fits best.", workers_considered=2
        )
    ).fields,
    endpoint="http://10.0.0.7:41234/v1",
    error=an_error(),
    restart_count=5,
    retiring=True,
    generation=9,
    evicting=True,
    performance=to_json(
        instance_pb2.InstancePerformance(
            decode_tokens_per_s=41.5,
            prefill_tokens_per_s=512.5,
            concurrent_requests=1.25,
            generated_tokens=5000,
            prompt_tokens=70000,
            request_count=0,
            last_activity_time=Timestamp(seconds=int((T0 + timedelta(hours=3)).timestamp())),
        )
    ),
)
BARE_INSTANCE = Instance(**OLD, model_id="bare", id="b2", state=InstanceState.PENDING, state_at=T0)

COPY = ArtifactCopy(
    **NEW,
    artifact_id="full",
    worker_id="full",
    state=CopyState.FAILED,
    done_bytes=4,
    size_bytes=10,
    bytes_per_second=2,
    error=an_error(),
)
BARE_COPY = ArtifactCopy(**OLD, artifact_id="bare", worker_id="bare", state=CopyState.ABSENT, size_bytes=0)

DOWNLOAD = Download(
    **NEW,
    id="full",
    source="hf:acme/tiny/model.gguf",
    workers=["bare", "full"],
    state=DownloadState.FAILED,
    artifact_id="full",
    error=an_error(),
)
BARE_DOWNLOAD = Download(**OLD, id="bare", source="file:/m", workers=[], state=DownloadState.RESOLVING)

AUDIT_ROWS = [
    {
        "time": T0,
        "request": {},
        "changed_fields": [],
        **dict.fromkeys(("actor", "peer", "user_agent", "method", "resource", "call_id", "request_id"), ""),
    },
    {
        "time": T0 + timedelta(hours=1),
        "actor": "ada",
        "peer": "ipv4:10.0.0.5:40312",
        "user_agent": "moor/0.1.0",
        "method": "moorage.registry.v1.ModelService/StopModel",
        "resource": "models/llama3",
        "call_id": "call-1",
        "request_id": "request-1",
        "request": {},
        "changed_fields": ["desired_state", "replicas"],
    },
]


async def insert_everything(tx: Transaction) -> None:
    """One row of each kind that has everything, and one that has little."""
    await WORKERS.insert(tx, [WORKER, BARE_WORKER])
    await tx.execute(insert(schema.memory_pools), [{name: getattr(POOL, name) for name in POOL.__slots__}])
    await ARTIFACTS.insert(tx, [ARTIFACT, BARE_ARTIFACT])
    await MODELS.insert(tx, [MODEL, BARE_MODEL])
    await INSTANCES.insert(tx, [INSTANCE, BARE_INSTANCE])
    await COPIES.insert(tx, [COPY, BARE_COPY])
    await DOWNLOADS.insert(tx, [DOWNLOAD, BARE_DOWNLOAD])
    for row in AUDIT_ROWS:
        await tx.execute(insert(schema.audit_records), row)


def many_instances(random, count):
    """Instances of two models in which much is alike and much is absent."""
    for number in range(count):
        moment = T0 + timedelta(minutes=random.randrange(4))
        worker = random.choice([None, "full", "bare"])
        yield replace(
            BARE_INSTANCE,
            uid=f"uid-{number:05}",
            created_at=moment,
            updated_at=moment,
            version=random.randrange(1, 4),
            model_id=random.choice(["full", "bare"]),
            id=f"i{number:05}",
            state=random.choice(list(InstanceState)),
            state_at=moment,
            worker_id=worker,
            last_worker_id=random.choice([None, worker]),
            placement=random.choice(
                [None, {}, {"gpu_layers": 3, "score": 1e-9}, {"total_layers": 5, "score": 0.1}]
            ),
            explanation=random.choice([None, {"verdict": "VERDICT_NOT_NOW"}, {"summary": "ä Z"}]),
            endpoint=random.choice(["", "http://a/v1", "http://b/v1", "ähnlich", "Zebra", "a%b_c\\d"]),
            error=random.choice([None, an_error()]),
            restart_count=random.randrange(3),
            retiring=random.random() < 0.5,
        )
