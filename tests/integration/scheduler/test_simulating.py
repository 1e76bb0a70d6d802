"""SimulatePlacement over a real socket: in sequence, each replica counting for the next, touching nothing."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from google.protobuf import text_format

from moorage.common.v1 import model_facts_pb2, placement_pb2
from moorage.downloader.v1 import download_service_pb2, download_service_pb2_grpc
from moorage.registry.v1 import artifact_pb2
from moorage.scheduler.v1 import scheduler_service_pb2_grpc
from moorage.scheduler.v1 import simulation_pb2 as pb
from moorage_common.core.clock import SystemClock
from moorage_common.core.errors import InvalidArgument, NotFound
from moorage_common.core.states import AcceleratorKind
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import DownloaderClient, SchedulerClient
from moorage_common.rpc.server import RpcServer, ServerConfig
from moorage_common.runtime.telemetry import Telemetry
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.mirror import Mirror
from moorage_scheduler.predictor import Predictor
from moorage_scheduler.servicer import SchedulerServicer
from moorage_scheduler.simulation import Simulations

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Product:
    """A row of a table of accelerators."""

    kind: AcceleratorKind
    memory_bytes: int
    compute_capability: str = ""


TELEMETRY = Telemetry(service="test")
L40S = Product(kind=AcceleratorKind.CUDA, memory_bytes=46068 * 2**20, compute_capability="8.9")
GGUF = model_facts_pb2.ModelFacts(
    gguf=model_facts_pb2.GgufFacts(
        architecture="llama", block_count=2, block_bytes=[GIB, GIB], embedding_length=64, context_length=512
    )
)


class Inspector(download_service_pb2_grpc.DownloadServiceServicer):
    """Knows one source, and counts who asks."""

    def __init__(self):
        self.asked = []

    async def InspectSource(self, request, context):  # noqa: N802 - as the proto has it
        self.asked.append(request.source)
        if request.source != "hf:a/b/c.gguf":
            raise NotFound(f"{request.source} does not exist")
        artifact = artifact_pb2.Artifact(name="artifacts/c", size_bytes=2 * GIB, facts=GGUF)
        return download_service_pb2.InspectSourceResponse(artifact=artifact)


@asynccontextmanager
async def serving(adder, servicer, **config):
    async with RpcServer(ServerConfig(drain_grace_s=1, **config), telemetry=TELEMETRY) as server:
        server.add(adder, servicer)
        await server.start()
        await server.set_serving()
        yield server.address


@pytest.fixture
def inspector():
    return Inspector()


@pytest.fixture
async def scheduler(inspector):
    """A scheduler that no registry has ever spoken to."""

    async def artifact(name):
        if name != "artifacts/known":
            raise NotFound(f"there is no {name}", resource=name)
        return artifact_pb2.Artifact(name=name, facts=GGUF)

    downloads = download_service_pb2_grpc.add_DownloadServiceServicer_to_server
    async with serving(downloads, inspector) as downloader_address:
        config = ChannelConfig(target=downloader_address)
        async with DownloaderClient.connect(config, telemetry=TELEMETRY) as downloader:
            predict = Predictor(Mirror(), SystemClock()).predict
            simulations = Simulations(
                policy=ScoringPolicy(),
                table={"NVIDIA L40S": L40S}.get,
                artifact=artifact,
                downloader=downloader,
                predict=predict,
            )
            servicer = SchedulerServicer(queries=None, simulations=simulations, predict=predict)
            adder = scheduler_service_pb2_grpc.add_SchedulerServiceServicer_to_server
            async with serving(adder, servicer, max_receive_bytes=64 * 2**20) as address:
                config = ChannelConfig(target=address)
                async with SchedulerClient.connect(config, telemetry=TELEMETRY) as client:
                    yield client.scheduler


async def simulated(scheduler, text):
    request = text_format.Parse(text, pb.SimulatePlacementRequest())
    return list((await scheduler.SimulatePlacement(request, timeout=60)).placements)


TWO_AND_ONE = """
workers { name: "workers/one" ram_total_bytes: 549755813888
  accelerators { product: "NVIDIA L40S" memory_reserved_bytes: 1073741824 } }
workers { name: "workers/two" ram_total_bytes: 549755813888
  accelerators { product: "NVIDIA L40S" memory_reserved_bytes: 1073741824 }
  accelerators { product: "NVIDIA L40S" memory_reserved_bytes: 1073741824 } }
"""


async def test_each_replica_counts_for_those_after_it(scheduler):
    # 30 GiB each: one on every card, then none is left.
    placements = await simulated(
        scheduler,
        TWO_AND_ONE + 'models { name: "models/m" replicas: 4 sizes { block_weight_bytes: 32212254720 }'
        " llama_cpp { forbid_cpu_offload: true } placement { forbid_distributed: true } }",
    )
    assert [(each.model, each.replica) for each in placements] == [("models/m", n) for n in range(4)]
    pools = [
        (claim.worker, claim.pool)
        for each in placements
        for claim in each.placement.claims
        if claim.pool != "ram"
    ]
    assert sorted(pools) == [("workers/one", "cuda-0"), ("workers/two", "cuda-0"), ("workers/two", "cuda-1")]
    last = placements[-1]
    assert not last.HasField("placement")
    assert last.explanation.verdict == placement_pb2.VERDICT_NOT_NOW
    rejections = [each for worker in last.explanation.workers for each in worker.rejections]
    assert {each.reason for each in rejections} == {placement_pb2.PLACEMENT_REASON_INSUFFICIENT_GPU_MEMORY}


async def test_a_question_changes_no_later_answer(scheduler):
    text = TWO_AND_ONE + (
        'models { name: "models/m" replicas: 2 sizes { block_weight_bytes: 32212254720 } } seed: "s"'
    )
    first = await simulated(scheduler, text)
    assert await simulated(scheduler, text) == first


async def test_the_case_of_the_two_workers(scheduler):
    """DeepSeek-R1-UD-IQ2_XXS: the worker with two cards leads, however the workers are called and ordered."""
    model = (
        'models { name: "models/deepseek" sizes { output_bytes: 930000000 token_embedding_bytes: 500000000'
        + " block_weight_bytes: 3190000000" * 61
        + " kv_bytes_per_token_per_block: 4608 gpu_compute_bytes: 1500000000 }"
        " llama_cpp { context_length: 8192 } }"
    )
    workers = TWO_AND_ONE.strip().split("workers {")[1:]
    for order in (workers, workers[::-1]):
        text = "".join(f"workers {{{each}" for each in order)
        (placed,) = await simulated(scheduler, text + model)
        assert placed.placement.worker == "workers/two"
        assert list(placed.placement.subordinates) == ["workers/one"]
        assert placed.placement.mode == placement_pb2.PLACEMENT_MODE_DISTRIBUTED_PARTLY
        assert placed.placement.predicted.decode_tokens_per_s > 0


async def test_sources_are_looked_at_once_and_what_is_wrong_with_one_keeps_no_other(scheduler, inspector):
    placements = await simulated(
        scheduler,
        TWO_AND_ONE + 'models { name: "models/a" source: "hf:a/b/c.gguf" replicas: 2 }'
        'models { name: "models/b" source: "hf:gone" }'
        'models { name: "models/c" source: "hf:a/b/c.gguf" engine: ENGINE_KIND_VLLM }'
        'models { name: "models/d" known_artifact: "artifacts/known" }'
        'models { name: "models/e" known_artifact: "artifacts/lost" }',
    )
    assert sorted(inspector.asked) == ["hf:a/b/c.gguf", "hf:gone"]
    assert [(each.model, each.status.code, each.HasField("placement")) for each in placements] == [
        ("models/a", 0, True),
        ("models/a", 0, True),
        ("models/b", 5, False),
        ("models/c", 0, False),
        ("models/d", 0, True),
        ("models/e", 5, False),
    ]
    assert placements[2].status.message == "hf:gone does not exist"
    assert [each.reason for each in placements[3].explanation.rejections] == [
        placement_pb2.PLACEMENT_REASON_MODEL_UNSUPPORTED
    ]


async def test_an_artifact_that_is_there_is_gone_to(scheduler):
    text = (
        'workers { name: "workers/a" ram_total_bytes: 99999999999 }'
        'workers { name: "workers/b" ram_total_bytes: 99999999999 artifacts { artifact: "artifacts/c" } }'
        'workers { name: "workers/c" ram_total_bytes: 99999999999 disk_free_bytes: 5 }'
        'models { name: "models/m" source: "hf:a/b/c.gguf" }'
    )
    (placed,) = await simulated(scheduler, text)
    assert placed.placement.worker == "workers/b"
    refused = {each.worker: each.rejections for each in placed.explanation.workers if each.rejections}
    assert [each.reason for each in refused["workers/c"]] == [
        placement_pb2.PLACEMENT_REASON_INSUFFICIENT_DISK
    ]


async def test_more_memory_than_can_be_added_up_is_an_error_of_that_model_alone(scheduler):
    facts = (
        "block_count: 3 embedding_length: 2147483647 context_length: 16777216 vocabulary_size: 2147483647 "
    )
    facts += "head_counts_kv: 2147483647 " * 3 + "key_length: 2147483647 value_length: 2147483647"
    placements = await simulated(
        scheduler,
        TWO_AND_ONE
        + f'models {{ name: "models/huge" facts {{ gguf {{ {facts} }} }} llama_cpp {{ context_length: 16777216 }} }}'
        'models { name: "models/m" sizes { block_weight_bytes: 1 } }',
    )
    assert not placements[0].HasField("placement")
    assert placements[1].HasField("placement")


async def test_what_is_wrong_is_refused_with_every_place(scheduler):
    text = (
        'workers { name: "workers/a" } ' * 2 + 'models { name: "models/m" sizes { block_weight_bytes: 1 } }'
    )
    with pytest.raises(InvalidArgument) as refused:
        await simulated(scheduler, text + 'policy { weights { key: "nothing" value: 1 } }')
    fields = [each.field for each in refused.value.violations]
    assert fields == ["workers[1].name", 'policy.weights["nothing"]']


async def test_ten_thousand_workers_are_answered_in_seconds_while_others_are_served(scheduler):
    request = pb.SimulatePlacementRequest()
    for number in range(10_000):
        worker = request.workers.add(name=f"workers/w{number}", ram_total_bytes=512 * GIB)
        for index in range(8):
            worker.accelerators.add(
                uuid=f"GPU-{number:08x}-0000-0000-0000-{index:012x}",
                product="NVIDIA L40S",
                driver_version="570.1",
            )
        for index in range(4):
            instance = request.instances.add(name=f"models/m{index}/instances/i{number}", worker=worker.name)
            instance.claims.add(pool=worker.accelerators[index].uuid, size_bytes=30 * GIB)
    model = request.models.add(name="models/m", replicas=10)
    model.sizes.block_weight_bytes.extend([3 * GIB] * 60)
    small = pb.SimulatePlacementRequest()
    small.workers.add(name="workers/w", ram_total_bytes=GIB)
    small.models.add(name="models/m").sizes.block_weight_bytes.append(1)
    started = time.monotonic()
    large = asyncio.ensure_future(scheduler.SimulatePlacement(request, timeout=100))
    waits = []
    while not large.done():
        asked = time.monotonic()
        await scheduler.SimulatePlacement(small, timeout=100)
        waits.append(time.monotonic() - asked)
        await asyncio.sleep(0.01)
    took = time.monotonic() - started
    assert len((await large).placements) == 10
    print(f"{request.ByteSize()} bytes took {took:.1f} s; others waited {max(waits):.2f} s at most")
    assert took < 30
    # But for reading the request itself, nothing holds the others up.
    assert sorted(waits)[len(waits) // 2] < 0.5
    assert len(waits) > 10


async def test_a_scheduler_of_a_mesh_knows_cards_by_their_products(registry, run_scheduler):
    text = (
        'workers { name: "workers/a" ram_total_bytes: 99999999999 accelerators { product: "L40S" } }'
        'workers { name: "workers/b" ram_total_bytes: 99999999999 accelerators { product: "Instinct MI300X" } }'
        'models { name: "models/m" sizes { weight_bytes: 60000000000 } }'
        'models { name: "models/n" known_artifact: "artifacts/lost" }'
    )
    async with run_scheduler(registry.address) as client:
        placed, lost = await simulated(client.scheduler, text)
    # Only one card holds so much, and it is known by its name alone.
    assert placed.placement.worker == "workers/b"
    assert [claim.pool for claim in placed.placement.claims if claim.pool != "ram"] == ["rocm-0"]
    assert lost.status.code == 5


async def test_more_workers_than_the_limit_are_told_of_as_such(scheduler):
    request = pb.SimulatePlacementRequest()
    for number in range(100_000):
        request.workers.add(name=f"workers/w{number}", ram_total_bytes=GIB)
    request.models.add(name="models/m").sizes.block_weight_bytes.append(1)
    with pytest.raises(InvalidArgument) as refused:
        await scheduler.SimulatePlacement(request, timeout=60)
    (violation,) = refused.value.violations
    assert violation.field == "workers"
    assert "20000" in violation.description
