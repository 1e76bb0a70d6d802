"""Fleets on paper as the core's own types, and everything that can be wrong with them."""

from dataclasses import dataclass

import pytest
from google.protobuf import text_format

from moorage.scheduler.v1 import simulation_pb2 as pb
from moorage_common.core.errors import InvalidArgument
from moorage_common.core.placement import CpuArchitecture, OperatingSystem, PlacementStrategy
from moorage_common.core.states import AcceleratorKind, EngineKind, WorkerState
from moorage_scheduler.convert.paper_models import request_on_paper
from moorage_scheduler.convert.simulation import PaperFleet
from moorage_scheduler.core.codes import STATES
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.core.request import GpuWish
from moorage_scheduler.core.sizes import LayerSizes, VllmSizes
from moorage_scheduler.core.versions import VersionWish

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Product:
    """A row of a table of accelerators."""

    kind: AcceleratorKind
    memory_bytes: int
    compute_capability: str = ""


TABLE = {
    "L40S": Product(kind=AcceleratorKind.CUDA, memory_bytes=46068 * 2**20, compute_capability="8.9"),
    "MI300X": Product(kind=AcceleratorKind.ROCM, memory_bytes=192 * GIB),
    "M2 Ultra": Product(kind=AcceleratorKind.METAL, memory_bytes=0),
}


def asked(text):
    return text_format.Parse(text, pb.SimulatePlacementRequest())


def built(text, **policy):
    paper = PaperFleet(asked(text), policy=ScoringPolicy(**policy), table=TABLE.get)
    for _ in paper.build():
        pass
    return paper


def violations(text):
    with pytest.raises(InvalidArgument) as refused:
        built(text)
    return [(each.field, each.description) for each in refused.value.violations]


def worker(paper, name):
    rows = paper.fleet.snapshot().rows
    return rows.at(rows.slots[name])


def column(paper, name, column):
    snapshot = paper.fleet.snapshot()
    return getattr(snapshot.columns, column)[snapshot.rows.slots[name]].tolist()


MODEL = 'models { name: "models/m" sizes { block_weight_bytes: 1 } }'


def test_what_is_not_said_of_a_worker_is_as_usual():
    paper = built(
        'workers { name: "workers/a" ram_total_bytes: 100 accelerators { product: "L40S" } }' + MODEL
    )
    found = worker(paper, "workers/a")
    assert found.operating_system is OperatingSystem.LINUX
    assert found.cpu_architecture is CpuArchitecture.X86_64
    (card,) = found.accelerators
    assert (card.uuid, card.kind, card.index, card.capability) == ("cuda-0", AcceleratorKind.CUDA, 0, (8, 9))
    assert set(found.engines) == set(EngineKind)
    assert found.engines[EngineKind.VLLM][0].drives >= {AcceleratorKind.CUDA, AcceleratorKind.ROCM}
    assert column(paper, "workers/a", "capacity") == [100, 46068 * 2**20]
    assert column(paper, "workers/a", "disk_free") >= 2**60
    assert not any(column(paper, "workers/a", each) for each in ("cordoned", "draining", "maintenance"))


def test_what_is_said_of_a_worker_counts():
    paper = built(
        """
        workers {
          name: "workers/a" state: WORKER_STATE_UNREACHABLE cordoned: true maintenance: true draining: true
          operating_system: OPERATING_SYSTEM_DARWIN cpu_architecture: CPU_ARCHITECTURE_AARCH64
          labels { key: "zone" value: "a" } local_paths: "/models/x" disk_free_bytes: 7
          ram_total_bytes: 1000 ram_reserved_bytes: 10 ram_foreign_bytes: 20
          engines { kind: ENGINE_KIND_VLLM version: "0.11" accelerator_kinds: ACCELERATOR_KIND_CUDA }
          engines { }
          accelerators {
            uuid: "GPU-1" kind: ACCELERATOR_KIND_CUDA index: 3 product: "home-made" memory_total_bytes: 500
            memory_reserved_bytes: 50 memory_foreign_bytes: 5 compute_capability: "7.5" driver_version: "550.1"
          }
        }
        """
        + MODEL
    )
    found = worker(paper, "workers/a")
    assert found.operating_system is OperatingSystem.DARWIN
    assert found.cpu_architecture is CpuArchitecture.AARCH64
    assert found.labels == {"zone": "a"}
    assert found.local_paths == {"/models/x"}
    assert set(found.engines) == {EngineKind.VLLM}
    (card,) = found.accelerators
    assert (card.uuid, card.index, card.capability, card.driver) == ("GPU-1", 3, (7, 5), (550, 1))
    assert column(paper, "workers/a", "total") == [1000, 500]
    assert column(paper, "workers/a", "capacity") == [990, 450]
    assert column(paper, "workers/a", "foreign") == [20, 5]
    assert column(paper, "workers/a", "disk_free") == 7
    assert all(column(paper, "workers/a", each) for each in ("cordoned", "draining", "maintenance"))
    assert column(paper, "workers/a", "state") == STATES.of(WorkerState.UNREACHABLE)


def test_no_engine_at_all_is_said_by_one_of_no_kind():
    paper = built('workers { name: "workers/a" engines { } }' + MODEL)
    assert worker(paper, "workers/a").engines == {}


def test_an_engine_that_is_not_listed_is_there_in_whatever_version_is_asked_for():
    paper = built(
        'workers { name: "workers/a" }'
        'models { name: "models/m" sizes { weight_bytes: 1 } engine: ENGINE_KIND_VLLM engine_version: ">=0.30,<0.33" }'
        'models { name: "models/n" sizes { block_weight_bytes: 1 } engine_version: "b6500" }'
    )
    builds = worker(paper, "workers/a").engines
    wish, other = VersionWish(">=0.30,<0.33"), VersionWish("b6500")
    assert any(wish.allows(build.version) for build in builds[EngineKind.VLLM])
    assert not any(wish.allows(build.version) for build in builds[EngineKind.LLAMA_CPP])
    assert any(other.allows(build.version) for build in builds[EngineKind.LLAMA_CPP])
    assert any(VersionWish("").allows(build.version) for build in builds[EngineKind.LLAMA_CPP])


def test_positions_are_counted_by_kind_around_those_that_are_given():
    paper = built(
        'workers { name: "workers/a"'
        ' accelerators { product: "L40S" } accelerators { product: "MI300X" } accelerators { product: "L40S" index: 0 }'
        ' accelerators { product: "L40S" } accelerators { product: "L40S" index: 2 } }' + MODEL
    )
    assert [card.uuid for card in worker(paper, "workers/a").accelerators] == [
        "cuda-1",
        "rocm-0",
        "cuda-0",
        "cuda-3",
        "cuda-2",
    ]


def test_unified_memory_is_one_pool():
    paper = built(
        'workers { name: "workers/mac" unified_memory: true ram_total_bytes: 192 accelerators { product: "M2 Ultra" } }'
        'workers { name: "workers/cpu" unified_memory: true ram_total_bytes: 64 }' + MODEL
    )
    assert worker(paper, "workers/mac").unified_memory
    assert worker(paper, "workers/mac").pools == ("ram",)
    assert column(paper, "workers/mac", "capacity")[0] == 192
    # Without a card there is nothing that the memory could be shared with.
    assert not worker(paper, "workers/cpu").unified_memory


def test_instances_hold_what_they_claim_where_they_claim_it():
    paper = built(
        """
        workers { name: "workers/a" ram_total_bytes: 100 accelerators { product: "L40S" } }
        workers { name: "workers/b" ram_total_bytes: 100 accelerators { product: "L40S" } }
        instances {
          name: "models/x/instances/1" worker: "workers/a" subordinates: "workers/b" engine: ENGINE_KIND_VLLM
          claims { pool: "cuda-0" size_bytes: 10 } claims { pool: "cuda-0" size_bytes: 5 }
          claims { worker: "workers/b" pool: "cuda-0" size_bytes: 7 } claims { pool: "ram" size_bytes: 1 }
        }
        instances {
          name: "models/x/instances/2" worker: "workers/b" state: INSTANCE_STATE_FETCHING
          claims { pool: "ram" size_bytes: 90 }
        }
        instances { name: "models/x/instances/3" state: INSTANCE_STATE_PENDING }
        instances {
          name: "models/x/instances/4" worker: "workers/b" state: INSTANCE_STATE_UNREACHABLE
          claims { pool: "ram" size_bytes: 50 }
        }
        """
        + MODEL
    )
    assert column(paper, "workers/a", "claimed") == [1, 15]
    assert column(paper, "workers/b", "claimed") == [50, 7]
    assert column(paper, "workers/b", "tenants")[0] == 3
    snapshot = paper.fleet.snapshot()
    assert dict(snapshot.exclusives) == dict.fromkeys(("workers/a", "workers/b"), "models/x/instances/1")


def test_only_ready_copies_count():
    paper = built(
        """
        workers { name: "workers/a" artifacts { artifact: "x" } artifacts { artifact: "y" state: COPY_STATE_FETCHING } }
        workers { name: "workers/b" artifacts { artifact: "x" state: COPY_STATE_READY } }
        """
        + MODEL
    )
    assert dict(paper.fleet.snapshot().copies) == {"x": {"workers/a", "workers/b"}}


def test_policy_changes_what_it_names():
    paper = built(
        MODEL + 'policy { strategy: PLACEMENT_STRATEGY_BINPACK weights { key: "stickiness" value: 0.25 } }',
        artifact_locality=1.5,
    )
    assert paper.policy == ScoringPolicy(
        strategy=PlacementStrategy.BINPACK, stickiness=0.25, artifact_locality=1.5
    )


@pytest.mark.parametrize(("replicas", "listed"), [(1, 20), (10_000, 20), (20_000, 10)])
def test_explanations_of_very_many_replicas_are_shorter(replicas, listed):
    half = replicas // 2
    models = (
        f'models {{ name: "models/m" sizes {{ block_weight_bytes: 1 }} replicas: {replicas - half} }}'
        f'models {{ name: "models/n" sizes {{ block_weight_bytes: 1 }} replicas: {half} }}'
    )
    assert built(models).explain_workers == listed
    assert built(models + "max_workers: 3").explain_workers == 3


def test_everything_that_is_wrong_is_listed_at_once():
    told = violations(
        """
        workers { name: "workers/a" ram_total_bytes: 100
          accelerators { product: "L40S" index: 1 } accelerators { product: "L40S" index: 1 uuid: "x" }
          accelerators { product: "GTX 1" } accelerators { product: "L40S" uuid: "x" } }
        workers { name: "workers/a" }
        workers { name: "workers/b" accelerators { product: "L40S" uuid: "x" }
          accelerators { uuid: "ram" kind: ACCELERATOR_KIND_CUDA } }
        instances { name: "models/x/instances/1" worker: "workers/gone" subordinates: "workers/b"
          subordinates: "workers/b" subordinates: "workers/lost" claims { pool: "ram" size_bytes: 1 } }
        instances { name: "models/x/instances/1" }
        instances { name: "models/x/instances/2" worker: "workers/a"
          claims { pool: "cuda-9" size_bytes: 1 } claims { pool: "ram" size_bytes: -1 }
          claims { pool: "ram" size_bytes: 60 } claims { worker: "workers/b" pool: "x" size_bytes: 1 }
          claims { worker: "workers/lost" pool: "x" size_bytes: 1 } }
        instances { name: "models/x/instances/3" worker: "workers/a" claims { pool: "ram" size_bytes: 41 } }
        models { name: "models/m" sizes { weight_bytes: 5 } engine: ENGINE_KIND_LLAMA_CPP }
        models { name: "models/m" sizes { block_weight_bytes: 1 block_kv_bytes: 1 block_kv_bytes: 1 } }
        models { name: "models/f" facts { } }
        models { name: "models/g" facts { gguf {
          block_count: -1 block_bytes: 1 block_bytes: -1 output_bytes: 300000000000000 } } }
        models { name: "models/s" sizes { } }
        models { name: "models/p" sizes { block_weight_bytes: 1 } replicas: 2 placement {
          gpus { worker: "workers/a" uuid: "x" } gpus { worker: "workers/a" uuid: "x" }
          gpus { worker: "workers/no" uuid: "x" } gpus { worker: "workers/b" position { kind: ACCELERATOR_KIND_CUDA } }
          gpus_per_replica: 2 } }
        policy { weights { key: "sped" value: 1 } weights { key: "spread" value: 1000 } }
        """
    )
    assert told == [
        ("workers[0].accelerators[2].kind", "nothing is known of 'GTX 1': say how it is driven"),
        ("workers[0].accelerators[1].index", "cuda 1 is given already"),
        ("workers[0].accelerators[3].uuid", "x identifies another card already"),
        (
            "workers[0].accelerators[2].memory_total_bytes",
            "nothing is known of 'GTX 1': say how much memory it has",
        ),
        ("workers[1].name", "workers/a is given already, by workers[0]"),
        ("workers[2].accelerators[0].uuid", "x identifies another card already"),
        ("workers[2].accelerators[1].uuid", "'ram' is the name of another pool of memory"),
        ("workers[2].accelerators[1].memory_total_bytes", "no product is given: say how much memory it has"),
        ("instances[0].worker", "there is no workers/gone; there is workers/a, workers/b"),
        ("instances[0].subordinates[1]", "workers/b takes part already"),
        ("instances[0].subordinates[2]", "there is no workers/lost; there is workers/a, workers/b"),
        ("instances[1].name", "models/x/instances/1 is given already, by instances[0]"),
        ("instances[1].worker", "is missing: it is on some worker"),
        ("instances[2].claims[0].pool", "workers/a has no pool 'cuda-9'; it has ram, cuda-1, x, cuda-0"),
        ("instances[2].claims[1].size_bytes", "must not be negative"),
        ("instances[2].claims[3].worker", "workers/b takes no part in the instance"),
        ("instances[2].claims[4].worker", "there is no workers/lost; there is workers/a, workers/b"),
        ("instances[3].claims[0].size_bytes", "claims on ram of workers/a come to 101 bytes; it has 100"),
        (
            "models[0].sizes.block_weight_bytes",
            "must be told for llama.cpp, which deals out whole blocks",
        ),
        ("models[1].name", "models/m is given already, by models[0]"),
        ("models[1].sizes.block_kv_bytes", "are of 2 blocks, while 1 have weights"),
        ("models[2].facts", "say neither what a GGUF file has nor what safetensors have"),
        ("models[3].facts.gguf.block_count", "must not be negative"),
        ("models[3].facts.gguf.block_bytes[1]", "must not be negative"),
        ("models[3].facts.gguf.output_bytes", "must be at most 281474976710656"),
        ("models[4].sizes.weight_bytes", "must be told, or each block's weights"),
        ("models[5].placement.gpus[2].worker", "there is no workers/no"),
        (
            "models[5].placement.gpus_per_replica",
            "2 replicas of 2 GPUs each need 4; 3 are selected",
        ),
        (
            'policy.weights["sped"]',
            (
                "there is no such scorer; there is"
                " fit, binpack, spread, artifact_locality, stickiness, speed, topology, lead"
            ),
        ),
        (
            "policy.weights",
            "the fit's weight times 0.15 must be more than the other weights together",
        ),
    ]


def test_a_card_that_shares_memory_needs_a_worker_that_does():
    mac = 'workers { name: "workers/mac" ram_total_bytes: 1 accelerators { product: "M2 Ultra" } }'
    assert violations(mac + MODEL) == [
        (
            "workers[0].accelerators[0].memory_total_bytes",
            "shares the CPU's memory, as unified_memory would say: say how much memory it has",
        )
    ]


def test_more_replicas_than_anybody_can_read_of_are_refused():
    models = "".join(
        f'models {{ name: "models/m{n}" sizes {{ block_weight_bytes: 1 }} replicas: 9000 }}' for n in range(3)
    )
    assert violations(models) == [
        ("models[2].replicas", "with this there are more than 20,000 replicas in all")
    ]
    some = 'models { name: "models/m" sizes { block_weight_bytes: 1 } replicas: 1000 } max_workers: 201'
    assert violations(some) == [("max_workers", "must be at most 200 with 1000 replicas")]


def model(text):
    return text_format.Parse(text, pb.SimulatedModel())


def test_sizes_are_used_as_given():
    layers = request_on_paper(
        model(
            'name: "models/m" sizes { block_weight_bytes: 5 block_weight_bytes: 6 block_kv_bytes: 1 block_kv_bytes: 2'
            " output_bytes: 3 gpu_overhead_bytes: 0 lora_bytes: 4 }"
        ),
        None,
    )
    assert layers.engine is EngineKind.LLAMA_CPP
    assert layers.facts == LayerSizes(
        block_weight_bytes=(5, 6), block_kv_bytes=(1, 2), output_bytes=3, gpu_overhead_bytes=0, lora_bytes=4
    )
    whole = request_on_paper(
        model('name: "models/m" sizes { weight_bytes: 9 attention_head_count: 32 quantization: "fp8" }'), None
    )
    assert whole.engine is EngineKind.VLLM
    assert whole.facts == VllmSizes(weight_bytes=9, attention_head_count=32, quantization="fp8")
    chosen = request_on_paper(
        model('name: "models/m" sizes { block_weight_bytes: 9 } engine: ENGINE_KIND_VLLM'), None
    )
    assert chosen.facts == VllmSizes(block_weight_bytes=(9,))


def test_a_model_takes_its_wishes_along():
    request = request_on_paper(
        model(
            'name: "models/m" sizes { block_weight_bytes: 1 } artifact: "here" artifact_size_bytes: 7 local_path: "/x"'
            ' engine_version: "b1" llama_cpp { gpu_layers: 0 } placement { strategy: PLACEMENT_STRATEGY_BINPACK'
            ' gpus { worker: "workers/a" uuid: "u" } primary_worker: "workers/a" forbid_distributed: true }'
        ),
        None,
    )
    assert (request.artifact, request.artifact_bytes, request.local_path) == ("here", 7, "/x")
    assert request.engine_version == "b1"
    assert request.options.gpu_layers == 0
    assert request.strategy is PlacementStrategy.BINPACK
    assert request.selection.gpus == {GpuWish(worker="workers/a", uuid="u")}
    assert not request.selection.may_distribute
