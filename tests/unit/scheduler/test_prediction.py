"""The roofline: where the time of a token goes, and that it moves the way it must."""

from dataclasses import replace
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core.placement import KvCacheType, ModelCategory, PlacementMode
from moorage_common.core.states import EngineKind
from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import Claim, LlamaCppOptions, Placement, VllmOptions
from moorage_scheduler.core.sizes import LayerSizes, VllmSizes
from moorage_scheduler.prediction.accelerators import Link, lookup
from moorage_scheduler.prediction.calibration import Calibration
from moorage_scheduler.prediction.collectives import Ring
from moorage_scheduler.prediction.hardware import WorkerHardware
from moorage_scheduler.prediction.predict import Subject, predict
from moorage_scheduler.prediction.rates import CARD_RATES, RAM_SHARE
from moorage_scheduler.prediction.rpc import traffic
from moorage_scheduler.prediction.shape import shape_of

GIB, MIB = 2**30, 2**20
A, B = "workers/a", "workers/b"
L40S = lookup("NVIDIA L40S")
CUDA = CARD_RATES[EngineKind.LLAMA_CPP][L40S.kind]
HARDWARE = {
    A: WorkerHardware(products={"a0": "NVIDIA L40S", "a1": "NVIDIA L40S"}, cpu_cores=64),
    B: WorkerHardware(products={"b0": "NVIDIA L40S", "b1": "NVIDIA H100 80GB HBM3"}, cpu_cores=64),
}


def placed(*held, engine=EngineKind.LLAMA_CPP, parallel=None, gpu_layers=None):
    """A placement of (worker, pool, layers)."""
    claims = tuple(Claim(worker=worker, pool=pool, parts={}, layers=layers) for worker, pool, layers in held)
    on_gpus = sum(claim.layers for claim in claims if claim.pool != RAM)
    return Placement(
        worker=A,
        claims=claims,
        engine=engine,
        mode=PlacementMode.ONE_GPU,
        gpu_layers=on_gpus if gpu_layers is None else gpu_layers,
        total_layers=sum(claim.layers for claim in claims),
        context_length=4096,
        score=0.0,
        parallel=parallel,
    )


def speed(facts, *held, workers=HARDWARE, calibration=None, depth=0, threads=0, options=None, **others):
    subject = Subject(
        placement=placed(*held, **others), shape=shape_of(facts, options), workers=workers, threads=threads
    )
    return predict(subject, calibration, depth=depth)


def test_on_one_gpu_a_token_takes_the_bytes_of_the_model_by_the_bandwidth(paper):
    prediction = speed(paper.facts(), (A, "a0", 5))
    [stage] = prediction.stages
    assert (stage.worker, stage.pool) == (A, "a0")
    assert stage.active_bytes == 4 * GIB + 64 * MIB
    reading_s = stage.active_bytes / (864e9 * CUDA.memory_share)
    assert stage.seconds == pytest.approx(reading_s + 5 * CUDA.layer_s)
    assert prediction.decode_tokens_per_s == pytest.approx(1 / stage.seconds)
    assert stage.bytes_per_s == pytest.approx(stage.active_bytes / stage.seconds)
    assert prediction.calibration == 1.0


def test_layers_go_to_claims_in_their_order_and_the_output_layer_is_the_last(paper):
    facts = paper.facts(block_bytes=GIB, output_bytes=7 * MIB)
    stages = speed(facts, (A, RAM, 1), (A, "a0", 2), (A, "a1", 2)).stages
    assert [stage.active_bytes for stage in stages] == [GIB, 2 * GIB, GIB + 7 * MIB]
    assert [stage.pool for stage in stages] == [RAM, "a0", "a1"]


def test_a_tied_head_is_read_like_any_other(paper):
    facts = paper.facts(output_bytes=0, token_embedding_bytes=80 * MIB, tied_embedding=True)
    [stage] = speed(facts, (A, "a0", 5)).stages
    assert stage.active_bytes == 4 * GIB + 80 * MIB


def test_only_the_experts_that_are_used_are_read(paper):
    facts = paper.facts(expert_count=8, expert_used_count=2, block_expert_bytes=(GIB // 2,) * 4)
    shape = shape_of(facts)
    assert shape.weight_bytes == 4 * (GIB // 2 + GIB // 8) + facts.output_bytes
    assert sum(block.idle_bytes for block in shape.blocks) == 4 * (GIB // 2 - GIB // 8)


def test_without_their_bytes_experts_are_sized_by_their_width(paper):
    facts = paper.facts(
        expert_count=8, expert_used_count=2, expert_feed_forward_length=1000, parameter_count=2**31
    )
    experts = int(3 * 8 * 1024 * 1000 * facts.total_tensor_bytes / 2**31)
    assert shape_of(facts).blocks[0].weight_bytes == pytest.approx(GIB - experts * 0.75)


def test_context_is_read_where_it_is_kept_and_a_window_bounds_it(paper):
    facts = paper.facts(sliding_window=100, sliding_window_blocks=(True, False, True, False))
    kept = 8 * (64 + 64) * 2
    at = {depth: speed(facts, (A, "a0", 5), depth=depth).stages[0].active_bytes for depth in (0, 50, 1000)}
    assert at[50] - at[0] == 4 * 50 * kept
    assert at[1000] - at[0] == 2 * 100 * kept + 2 * 1000 * kept


@pytest.mark.parametrize(("kept_as", "bytes_each"), [("F16", 2), ("Q8_0", 34 / 32), ("Q4_0", 18 / 32)])
def test_context_is_as_wide_as_it_is_kept(paper, kept_as, bytes_each):
    shape = shape_of(paper.facts(), LlamaCppOptions(kv_cache_type=KvCacheType(kept_as)))
    assert shape.blocks[0].kv_bytes == 8 * 128 * bytes_each


def test_a_recurrent_state_is_read_and_written_however_deep_the_context(paper):
    facts = paper.facts(head_counts_kv=(0,) * 4, block_state_bytes=(MIB,) * 4)
    for depth in (0, 1000):
        [stage] = speed(facts, (A, "a0", 5), depth=depth).stages
        assert stage.active_bytes == 4 * GIB + 64 * MIB + 8 * MIB


def test_latent_attention_keeps_one_vector(paper):
    facts = paper.facts(kv_lora_rank=512, head_counts_kv=(1,) * 4, key_length=576, value_length=512)
    assert shape_of(facts).blocks[0].kv_bytes == 576 * 2


class TestRam:
    def test_all_cores_together_reach_the_bandwidth_of_the_node(self, paper):
        workers = {A: WorkerHardware(cpu_cores=128, ram_bytes_per_s=100e9)}
        prediction = speed(paper.facts(), (A, RAM, 5), workers=workers)
        assert prediction.stages[0].bytes_per_s == pytest.approx(100e9 * RAM_SHARE)

    def test_one_core_is_slower_and_two_are_twice_as_fast(self, paper):
        facts = paper.facts(quantization="Q4_K")
        one, two = (speed(facts, (A, RAM, 5), threads=threads).decode_tokens_per_s for threads in (1, 2))
        assert two == pytest.approx(2 * one)
        assert one * 4.06 * GIB == pytest.approx(6.7e9, rel=0.1)

    def test_types_that_are_costly_to_compute_with_are_slower_for_their_bytes(self, paper):
        speeds = [
            speed(paper.facts(quantization=kind), (A, RAM, 5), threads=1).decode_tokens_per_s
            for kind in ("F16", "Q8_0", "Q4_K", "IQ2_XXS")
        ]
        assert speeds == sorted(speeds, reverse=True)

    def test_a_model_that_fits_the_cache_need_not_come_from_ram(self, paper):
        facts = paper.facts(block_bytes=4 * MIB, output_bytes=MIB)
        caches = [0, 17 * 2 * MIB // 3, 17 * 4 * MIB // 5, 17 * MIB, 32 * MIB]
        none, too_small, partly, whole, larger = (
            1
            / speed(
                facts, (A, RAM, 5), workers={A: WorkerHardware(cache_bytes=cache)}, threads=1
            ).decode_tokens_per_s
            for cache in caches
        )
        assert none == pytest.approx(too_small)
        assert whole == larger
        assert none > 2 * whole
        assert partly == pytest.approx((none + whole) / 2, rel=0.01)

    def test_experts_that_rest_take_room_in_the_cache_too(self, paper):
        facts = paper.facts(
            block_bytes=8 * MIB,
            output_bytes=MIB,
            token_embedding_bytes=0,
            expert_count=8,
            expert_used_count=1,
            expert_feed_forward_length=300,
            parameter_count=4 * MIB * 4,
            total_tensor_bytes=4 * 8 * MIB,
        )
        workers = {A: WorkerHardware(cache_bytes=16 * MIB)}
        cold = {A: WorkerHardware()}
        assert speed(facts, (A, RAM, 5), workers=workers) == speed(facts, (A, RAM, 5), workers=cold)

    def test_what_nothing_is_known_of_is_a_usual_server(self, paper):
        prediction = speed(paper.facts(), (A, RAM, 5), workers={A: WorkerHardware()})
        assert prediction.stages[0].bytes_per_s == pytest.approx(204.8e9 * RAM_SHARE)


MAC = {A: WorkerHardware(products={"gpu": "Apple M2 Ultra"}, unified_memory=True, cpu_cores=16)}


class TestOneMemory:
    def test_what_is_on_the_gpu_is_computed_by_it(self, paper):
        prediction = speed(paper.facts(), (A, RAM, 5), workers=MAC, gpu_layers=5)
        [stage] = prediction.stages
        metal = CARD_RATES[EngineKind.LLAMA_CPP][lookup("Apple M2 Ultra").kind]
        assert stage.seconds == pytest.approx(
            stage.active_bytes / (800e9 * metal.memory_share) + 5 * metal.layer_s
        )

    def test_the_rest_by_the_cpu(self, paper):
        facts = paper.facts()
        stages = speed(facts, (A, RAM, 5), workers=MAC, gpu_layers=2).stages
        assert [stage.active_bytes for stage in stages] == [3 * GIB, GIB + facts.output_bytes]
        [only] = speed(facts, (A, RAM, 5), workers=MAC, gpu_layers=0).stages
        assert only.active_bytes == 4 * GIB + facts.output_bytes


class TestRemote:
    def test_every_remote_device_costs_a_round_trip(self, paper):
        stages = speed(paper.facts(), (A, RAM, 0), (B, "b0", 2), (B, "b1", 1), (A, "a0", 2)).stages
        assert [(stage.worker, stage.pool) for stage in stages] == [
            (B, ""), (B, "b0"), (B, ""), (B, "b1"), (A, "a0"),
        ]  # fmt: skip
        sent = traffic(shape_of(paper.facts()), depth=0, last=False)
        assert stages[0].active_bytes == sent.bytes
        assert stages[0].seconds == pytest.approx(100e-6 + sent.bytes / 1.25e9)

    def test_the_slower_of_two_networks_counts(self, paper):
        workers = {A: HARDWARE[A], B: replace(HARDWARE[B], network_bytes_per_s=1e6, round_trip_s=0.5)}
        hop = speed(paper.facts(), (B, "b0", 3), (A, "a0", 2), workers=workers).stages[0]
        assert hop.seconds == pytest.approx(0.5 + hop.active_bytes / 1e6)

    def test_what_was_counted_on_the_wire(self, paper):
        """Q8_0 model of 8 blocks, width 1024 and then 2048, a vocabulary of 8,000, 4 blocks remote: bytes sent for one
        token by a counting proxy between llama.cpp and its rpc-server."""
        for hidden, sent in ((1024, 11_268), (2048, 19_460)):
            shape = shape_of(paper.facts(embedding_length=hidden, vocabulary_size=8000))
            # The answer to the last device is the logits.
            assert traffic(shape, depth=0, last=True).bytes == pytest.approx(sent + 32_008, rel=0.01)
            assert traffic(shape, depth=0, last=False).bytes == pytest.approx(sent + 4 * hidden + 8, rel=0.01)

    def test_a_worker_more_and_the_same_layers_is_never_faster(self, paper):
        near = speed(paper.facts(), (A, "a1", 3), (A, "a0", 2))
        far = speed(paper.facts(), (B, "b0", 3), (A, "a0", 2))
        assert far.decode_tokens_per_s < near.decode_tokens_per_s
        assert far.prefill_tokens_per_s < near.prefill_tokens_per_s


def test_of_an_unknown_card_nothing_is_said(paper):
    workers = {A: WorkerHardware(products={"a0": "NVIDIA GeForce RTX 4090 Laptop GPU"})}
    assert speed(paper.facts(), (A, "a0", 5), workers=workers) is None
    assert speed(paper.facts(), (A, RAM, 5), workers=workers) is not None


def test_calibration_multiplies_the_devices_that_it_knows(paper):
    calibration = Calibration({(EngineKind.LLAMA_CPP, "NVIDIA L40S"): 0.5})
    plain = speed(paper.facts(), (B, "b1", 2), (A, "a0", 3))
    learned = speed(paper.facts(), (B, "b1", 2), (A, "a0", 3), calibration=calibration)
    factors = [
        after.seconds / before.seconds for before, after in zip(plain.stages, learned.stages, strict=True)
    ]
    assert factors == pytest.approx([1, 1, 2])
    assert learned.calibration == pytest.approx(learned.decode_tokens_per_s / plain.decode_tokens_per_s)
    assert learned.prefill_tokens_per_s == plain.prefill_tokens_per_s


@given(
    layers=st.integers(0, 5),
    depth=st.integers(0, 100_000),
    factor=st.floats(0.125, 8),
    cores=st.integers(1, 256),
)
def test_stages_add_up_and_more_context_is_never_faster(paper, layers, depth, factor, cores):
    workers = {A: replace(HARDWARE[A], cpu_cores=cores)}
    calibration = Calibration({(EngineKind.LLAMA_CPP, "NVIDIA L40S"): factor})
    held = ((A, RAM, 5 - layers), (A, "a0", layers))
    prediction = speed(paper.facts(), *held, workers=workers, calibration=calibration, depth=depth)
    assert 1 / prediction.decode_tokens_per_s == pytest.approx(
        sum(stage.seconds for stage in prediction.stages)
    )
    deeper = speed(paper.facts(), *held, workers=workers, calibration=calibration, depth=depth + 1000)
    assert deeper.decode_tokens_per_s < prediction.decode_tokens_per_s


KEPT = attrgetter("kv_bytes"), attrgetter("state_bytes")


class TestVllm:
    FACTS = SafetensorsFacts(
        architecture="LlamaForCausalLM", model_type="llama", parameter_count=8 * 10**9,
        total_tensor_bytes=16 * 10**9, tensor_bytes_by_dtype={"BF16": 16 * 10**9}, tower_bytes=0, expert_bytes=0,
        embedding_bytes=2 * 10**9, dtype="bfloat16", quantization="", quantization_bits=0, block_count=32,
        hidden_size=4096, feed_forward_length=14336, head_count=32, head_count_kv=8, head_size=128,
        vision_head_count=0, vocabulary_size=128256, context_length=8192, sliding_window=0,
        sliding_window_block_count=0, attention_block_count=32, latent_values_per_token=0, expert_count=0,
        expert_used_count=0, category=ModelCategory.LLM,
    )  # fmt: skip

    def speed(self, *held, facts=FACTS, workers=HARDWARE, **shape):
        placement = placed(*held, engine=EngineKind.VLLM, parallel=ParallelShape(**shape))
        subject = Subject(placement=placement, shape=shape_of(facts), workers=workers)
        return predict(subject)

    def test_everything_but_the_embedding_is_read(self):
        [stage] = self.speed((A, RAM, 0), (A, "a0", 33)).stages
        # The embedding and the head are one matrix each.
        assert stage.active_bytes == pytest.approx(15e9)
        rates = CARD_RATES[EngineKind.VLLM][L40S.kind]
        assert stage.seconds == pytest.approx(15e9 / (864e9 * rates.memory_share) + 33 * rates.layer_s)

    def test_two_cards_share_every_layer_and_add_up(self):
        one = self.speed((A, "a0", 33))
        two = self.speed((A, "a0", 33), (A, "a1", 33), tensor=2)
        computing, adding = two.stages
        assert computing.active_bytes == pytest.approx(one.stages[0].active_bytes / 2)
        assert (adding.worker, adding.pool) == (A, "")
        assert adding.active_bytes == 2 * 33 * 4096 * 2
        assert one.decode_tokens_per_s < two.decode_tokens_per_s < 2 * one.decode_tokens_per_s

    def test_the_slowest_card_of_a_group_counts(self):
        workers = {A: WorkerHardware(products={"a0": "NVIDIA L40S", "a1": "NVIDIA H100 PCIe"})}
        stage = self.speed((A, "a0", 33), (A, "a1", 33), tensor=2, workers=workers).stages[0]
        assert stage.pool == "a0"

    def test_a_pipeline_over_workers_hands_activations_on(self):
        stages = self.speed((A, "a0", 16), (B, "b0", 17), pipeline=2).stages
        assert [(stage.worker, stage.pool) for stage in stages] == [(A, "a0"), (B, ""), (B, "b0")]
        assert stages[1].active_bytes == 4096 * 2
        assert stages[0].active_bytes + stages[2].active_bytes == pytest.approx(15e9)

    def test_a_tensor_group_over_workers_waits_for_the_network(self):
        near = self.speed((A, "a0", 33), (A, "a1", 33), tensor=2)
        far = self.speed((A, "a0", 33), (B, "b0", 33), tensor=2)
        assert far.decode_tokens_per_s < 0.8 * near.decode_tokens_per_s

    def test_copies_do_not_answer_one_request_faster(self):
        one = self.speed((A, "a0", 33))
        two = self.speed((A, "a0", 33), (A, "a1", 33), data=2)
        assert one == two

    def test_eight_bit_weights_are_computed_with_as_such(self):
        whole = replace(self.FACTS, quantization="fp8", quantization_bits=8)
        sixteen, eight = (self.speed((A, "a0", 33), facts=facts) for facts in (self.FACTS, whole))
        assert eight.prefill_tokens_per_s > 1.5 * sixteen.prefill_tokens_per_s

    def test_used_experts_windows_and_states(self):
        facts = replace(
            self.FACTS, expert_bytes=8 * 10**9, expert_count=64, expert_used_count=8, sliding_window=128,
            sliding_window_block_count=8, attention_block_count=24, recurrent_block_count=8,
            recurrent_state_bytes=MIB,
        )  # fmt: skip
        shape = shape_of(facts, vllm=VllmOptions())
        assert shape.weight_bytes == pytest.approx(16e9 - 2e9 - 8e9 + 1e9 + 1e9)
        assert sum(block.window > 0 for block in shape.blocks) == 8
        assert sum(block.state_bytes > 0 for block in shape.blocks) == 8
        assert len(shape.blocks) == 33

    @pytest.mark.parametrize(
        ("attending", "recurrent", "kept"),
        [
            (32, 0, (32, 0, 0)),
            (0, 0, (32, 0, 0)),
            (0, 32, (0, 32, 0)),
            (32, 32, (0, 0, 32)),
            (4, 20, (4, 20, 0)),
        ],
    )
    def test_blocks_keep_keys_and_values_or_a_state_or_both_or_nothing(self, attending, recurrent, kept):
        facts = replace(
            self.FACTS,
            attention_block_count=attending,
            recurrent_block_count=recurrent,
            recurrent_state_bytes=MIB,
        )
        blocks = shape_of(facts).blocks[:-1]
        keys, states = ({place for place, block in enumerate(blocks) if kept(block)} for kept in KEPT)
        assert (len(keys - states), len(states - keys), len(keys & states)) == kept
        assert len(blocks) == 32


class TestSizes:
    def test_layers_given_in_bytes(self):
        sizes = LayerSizes(
            block_weight_bytes=(10, 20), output_bytes=5, block_kv_bytes=(100, 200), context_length=50
        )
        shape = shape_of(sizes)
        assert [block.weight_bytes for block in shape.blocks] == [10, 20, 5]
        assert [block.kv_bytes for block in shape.blocks] == [2, 4, 0]
        assert shape_of(replace(sizes, active_weight_bytes=7)).weight_bytes == pytest.approx(7)
        assert shape_of(replace(sizes, active_weight_bytes=70)).weight_bytes == 35

    def test_all_blocks_alike(self):
        sizes = VllmSizes(
            weight_bytes=110,
            output_bytes=6,
            token_embedding_bytes=4,
            block_count=4,
            kv_bytes_per_token_per_block=3,
        )
        shape = shape_of(sizes)
        assert [block.weight_bytes for block in shape.blocks] == [25] * 4 + [6]
        assert [block.kv_bytes for block in shape.blocks] == [3] * 4 + [0]


class TestCollectives:
    def ring(self, **others):
        values = {
            "ranks": 8, "workers": 1, "link": Link.NVLINK, "link_bytes_per_s": 450e9, "network_step_s": 50e-6
        }  # fmt: skip
        return Ring(**{**values, **others})

    def test_one_card_adds_up_nothing(self):
        assert self.ring(ranks=1).all_reduce_s(1e6) == 0

    def test_small_sums_wait_and_large_ones_transfer(self):
        assert self.ring().all_reduce_s(8192) == pytest.approx(6.6e-6 + 14 * 0.6e-6, rel=0.01)
        assert self.ring().all_reduce_s(1e9) == pytest.approx(1.75e9 / 450e9, rel=0.01)

    def test_over_many_workers_a_tree_is_faster_than_a_ring(self):
        across = self.ring(ranks=64, workers=8, link_bytes_per_s=1e12)
        assert across.all_reduce_s(0) == pytest.approx(6.6e-6 + 2 * (7 * 0.6e-6 + 3 * 50e-6))
