"""Protos into the core's types and back."""

import pytest

from moorage.common.v1 import engine_pb2, model_facts_pb2, placement_pb2
from moorage.registry.v1 import instance_pb2, model_pb2, worker_pb2
from moorage_common.core.placement import (
    CpuArchitecture,
    KvCacheType,
    MemoryPart,
    ModelCategory,
    OperatingSystem,
    PlacementReason,
    PlacementStrategy,
)
from moorage_common.core.states import AcceleratorKind, EngineKind, WorkerState
from moorage_scheduler.convert.models import (
    engine_from_proto,
    facts_from_proto,
    options_from_proto,
    selection_from_proto,
    strategy_from_proto,
)
from moorage_scheduler.convert.outcomes import explanation_to_proto, gist_of_proto, placement_to_proto
from moorage_scheduler.convert.workers import condition_from_proto, tenant_from_proto, worker_from_proto
from moorage_scheduler.core.cluster import RAM, Accelerator, Engine, Tenant
from moorage_scheduler.core.request import LlamaCppOptions

CUDA = worker_pb2.ACCELERATOR_KIND_CUDA


def worker(**facts):
    return worker_pb2.Worker(
        name="workers/w",
        labels={"zone": "a"},
        state=worker_pb2.WORKER_STATE_READY,
        cordoned=True,
        facts=worker_pb2.NodeFacts(
            operating_system=worker_pb2.OPERATING_SYSTEM_LINUX,
            cpu_architecture=worker_pb2.CPU_ARCHITECTURE_AARCH64,
            accelerators=[worker_pb2.Accelerator(uuid="G", kind=CUDA)],
            engines=[
                worker_pb2.InstalledEngine(
                    kind=engine_pb2.ENGINE_KIND_LLAMA_CPP, version="7", accelerator_kinds=[CUDA]
                )
            ],
            **facts,
        ),
        ram=worker_pb2.MemoryPool(pool="ram", total_bytes=100, reserved_bytes=10, claimed_bytes=7),
        accelerator_memory=[worker_pb2.MemoryPool(pool="G", total_bytes=50, foreign_bytes=5)],
    )


class TestWorkers:
    def test_what_a_worker_is(self):
        found = worker_from_proto(worker())
        assert (found.name, found.labels) == ("workers/w", {"zone": "a"})
        assert found.operating_system is OperatingSystem.LINUX
        assert found.cpu_architecture is CpuArchitecture.AARCH64
        assert found.accelerators == (Accelerator(uuid="G", kind=AcceleratorKind.CUDA),)
        assert found.engines == {
            EngineKind.LLAMA_CPP: (Engine(version="7", drives=frozenset({AcceleratorKind.CUDA})),)
        }
        assert found.pools == (RAM, "G")

    def test_how_a_worker_is(self):
        found = condition_from_proto(worker())
        assert (found.state, found.cordoned) == (WorkerState.READY, True)
        assert found.capacity == {"ram": 90, "G": 50}
        assert found.foreign == {"ram": 0, "G": 5}

    def test_unified_memory_has_one_pool(self):
        assert worker_from_proto(worker(unified_memory=True)).pools == (RAM,)

    def test_what_the_mesh_does_not_know_is_none(self):
        bare = worker_from_proto(worker_pb2.Worker(name="workers/w", facts=worker_pb2.NodeFacts()))
        assert (bare.operating_system, bare.cpu_architecture) == (None, None)
        assert bare.engines == {}

    def test_unified_memory_without_an_accelerator_is_just_ram(self):
        facts = worker_pb2.NodeFacts(unified_memory=True)
        assert not worker_from_proto(worker_pb2.Worker(facts=facts)).unified_memory


class TestTenants:
    def instance(self, state, **fields):
        return instance_pb2.Instance(name="models/m/instances/i", state=state, **fields)

    @pytest.mark.rule("claims-count", "until-stopped")
    def test_a_bound_instance_holds_its_claims_until_it_has_stopped(self):
        placement = placement_pb2.Placement(
            worker="workers/w",
            claims=[placement_pb2.MemoryClaim(worker="workers/w", pool="ram", size_bytes=5)],
        )
        holding = [
            instance_pb2.INSTANCE_STATE_STARTING,
            instance_pb2.INSTANCE_STATE_RUNNING,
            instance_pb2.INSTANCE_STATE_ERROR,
            instance_pb2.INSTANCE_STATE_UNREACHABLE,
            instance_pb2.INSTANCE_STATE_STOPPING,
        ]
        for state in holding:
            tenant = tenant_from_proto(self.instance(state, placement=placement))
            claims = {("workers/w", "ram"): 5}
            assert tenant == Tenant(model="models/m", worker="workers/w", claims=claims)
        stopped = self.instance(instance_pb2.INSTANCE_STATE_STOPPED, placement=placement)
        assert tenant_from_proto(stopped) is None

    @pytest.mark.rule("claims-later")
    def test_a_nominated_one_holds_nothing(self):
        for state in (instance_pb2.INSTANCE_STATE_FETCHING, instance_pb2.INSTANCE_STATE_FETCHED):
            tenant = tenant_from_proto(self.instance(state, worker="workers/w"))
            assert tenant == Tenant(model="models/m", worker="workers/w")

    def test_a_pending_one_is_nobodys(self):
        assert tenant_from_proto(self.instance(instance_pb2.INSTANCE_STATE_PENDING)) is None


class TestModels:
    def test_options(self):
        proto = engine_pb2.LlamaCppOptions(
            context_length=8192, parallel_slots=4, gpu_layers=0,
            kv_cache_type=engine_pb2.KV_CACHE_TYPE_Q8_0, forbid_cpu_offload=True,
        )  # fmt: skip
        assert options_from_proto(proto) == LlamaCppOptions(
            context_length=8192, parallel_slots=4, gpu_layers=0, kv_cache_type=KvCacheType.Q8_0,
            forbid_cpu_offload=True,
        )  # fmt: skip

    def test_options_that_were_not_given(self):
        assert options_from_proto(engine_pb2.LlamaCppOptions()) == LlamaCppOptions()

    def test_placement_wishes(self):
        policy = model_pb2.PlacementPolicy(
            workers=["workers/w"], worker_labels={"a": "b"}, strategy=model_pb2.PLACEMENT_STRATEGY_BINPACK
        )
        selection = selection_from_proto(policy)
        assert (selection.workers, selection.labels) == (frozenset({"workers/w"}), {"a": "b"})
        assert strategy_from_proto(policy) is PlacementStrategy.BINPACK
        assert strategy_from_proto(model_pb2.PlacementPolicy()) is None

    def facts(self, **facts):
        return model_facts_pb2.ModelFacts(gguf=model_facts_pb2.GgufFacts(**facts))

    def test_every_field_of_the_facts_arrives(self, paper):
        ours = paper.facts(
            blocks=2, sliding_window=9, sliding_window_blocks=(True, False), tied_embedding=True,
            block_state_bytes=(3, 4), block_expert_bytes=(5, 6), category=ModelCategory.RERANKER,
        )  # fmt: skip
        fields = {n: getattr(ours, n) for n in type(ours).__dataclass_fields__ if n != "file_type"}
        found = facts_from_proto(self.facts(**fields | {"category": engine_pb2.MODEL_CATEGORY_RERANKER}))
        assert {n: getattr(found, n) for n in fields} == fields

    def test_every_block_has_every_figure(self):
        found = facts_from_proto(self.facts(block_count=3, block_bytes=[1, 2, 3, 4], head_counts=[5]))
        assert found.block_bytes == (1, 2, 3)
        assert found.head_counts == (5, 0, 0)
        assert found.block_repack_bytes == (0, 0, 0)

    def test_facts_of_before_caches_were_counted_by_block(self):
        older = {"block_count": 2, "head_counts_kv": [2, 0], "key_length": 64, "value_length": 32}
        found = facts_from_proto(self.facts(**older))
        assert (found.block_key_elements, found.block_value_elements) == ((128, 0), (64, 0))
        assert found.category is ModelCategory.LLM
        latent = facts_from_proto(self.facts(**older | {"head_counts_kv": [1, 1], "kv_lora_rank": 32}))
        assert (latent.block_key_elements, latent.block_value_elements) == ((64, 64), (0, 0))

    def test_an_artifact_without_facts(self):
        assert facts_from_proto(model_facts_pb2.ModelFacts()) is None

    def test_every_fact_of_a_model_in_safetensors(self):
        fields = model_facts_pb2.SafetensorsFacts.DESCRIPTOR.fields_by_name
        given = {
            name: f"text {n}" if field.type == field.TYPE_STRING else n
            for n, (name, field) in enumerate(fields.items(), 1)
        }
        given |= {"tensor_bytes_by_dtype": {"BF16": 7}, "category": engine_pb2.MODEL_CATEGORY_RERANKER}
        facts = model_facts_pb2.SafetensorsFacts(**given)
        found = facts_from_proto(model_facts_pb2.ModelFacts(safetensors=facts))
        assert {name: getattr(found, name) for name in fields} == {
            **given,
            "category": ModelCategory.RERANKER,
        }

    def test_the_engine_is_the_one_named_or_the_one_that_fits_the_files(self):
        llama_cpp = engine_pb2.ENGINE_KIND_LLAMA_CPP
        any_engine, nothing = engine_pb2.ENGINE_KIND_UNSPECIFIED, model_facts_pb2.ModelFacts()
        safetensors = model_facts_pb2.ModelFacts(safetensors=model_facts_pb2.SafetensorsFacts())
        assert engine_from_proto(llama_cpp, nothing) is EngineKind.LLAMA_CPP
        assert engine_from_proto(any_engine, self.facts()) is EngineKind.LLAMA_CPP
        assert engine_from_proto(any_engine, safetensors) is EngineKind.VLLM
        assert engine_from_proto(any_engine, nothing) is None


class TestOutcomes:
    def test_a_placement_with_its_claims_and_their_parts(self, paper):
        gpu = paper.Worker(name="workers/w", gpus=(24 * paper.GIB,))
        ours = paper.place(paper.snapshot(gpu), paper.request()).placement
        proto = placement_to_proto(ours)
        assert (proto.worker, proto.gpu_layers, proto.total_layers) == ("workers/w", 5, 5)
        assert [(c.pool, c.layers) for c in proto.claims] == [("ram", 0), ("workers/w/gpu0", 5)]
        assert all(c.worker == "workers/w" for c in proto.claims)
        for claim, own in zip(proto.claims, ours.claims, strict=True):
            assert claim.size_bytes == own.size_bytes == sum(part.size_bytes for part in claim.parts)
        # llama.cpp takes no room for its cache ahead.
        assert len(proto.claims[1].parts) == len(MemoryPart) - 1

    def test_an_explanation_whole(self, paper):
        fleet = paper.snapshot(paper.Worker(name="a"), paper.Worker(name="b", cordoned=True))
        ours = paper.place(fleet, paper.request()).explanation
        proto = explanation_to_proto(ours)
        assert proto.summary == ours.summary
        assert (proto.verdict, proto.workers_considered) == (placement_pb2.VERDICT_PLACED, 2)
        assert proto.reason_counts[0].reason == placement_pb2.PLACEMENT_REASON_WORKER_CORDONED
        assert [worker.worker for worker in proto.workers] == ["a", "b"]
        assert proto.workers[0].score_parts[0].scorer == "fit"
        assert proto.workers[1].rejections[0].remedy == "uncordon b"

    def test_the_gist_survives_the_way_there_and_back(self, paper):
        for fleet in [(), (paper.Worker(name="a", cordoned=True), paper.Worker(name="b", system=None))]:
            ours = paper.place(paper.snapshot(*fleet), paper.request()).explanation
            assert gist_of_proto(explanation_to_proto(ours)) == ours.gist

    def test_no_explanation_has_a_gist_of_its_own(self, paper):
        ours = paper.place(paper.snapshot(), paper.request()).explanation
        assert gist_of_proto(placement_pb2.Explanation()) != ours.gist

    def test_every_reason_has_its_proto(self):
        assert {f"PLACEMENT_REASON_{reason.value}" for reason in PlacementReason} <= set(
            placement_pb2.PlacementReason.keys()
        )
