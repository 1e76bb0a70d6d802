"""Sizes that were given are used as given."""

import pytest

from moorage_common.core.placement import MemoryPart, ModelCategory
from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.layers.ways import beside_ram
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import LlamaCppOptions, VllmOptions
from moorage_scheduler.core.sizes import LayerSizes, VllmSizes
from moorage_scheduler.estimators.layer_sizes import layer_profile
from moorage_scheduler.estimators.llama_cpp_overhead import PROCESS_BYTES
from moorage_scheduler.estimators.vllm import Card, vllm_needs

MIB, GIB = 2**20, 2**30
CUDA = AcceleratorKind.CUDA


def on_gpu(sizes, shape=None, stage=0, **options):
    shape = shape or ParallelShape()
    needs = vllm_needs(sizes, VllmOptions(**options))
    return needs.on_gpu(shape, needs.stages(shape)[stage], CUDA)


class TestVllm:
    def test_nothing_is_added_to_what_was_given(self):
        parts = on_gpu(
            VllmSizes(
                weight_bytes=16 * GIB,
                kv_bytes_per_token_per_block=4096,
                block_count=32,
                context_length=8192,
                gpu_compute_bytes=700 * MIB,
                gpu_overhead_bytes=0,
            )
        )
        assert parts.by_part() == {
            MemoryPart.WEIGHTS: 16 * GIB,
            MemoryPart.KV_CACHE: 4096 * 32 * 8192,
            MemoryPart.COMPUTE: 700 * MIB,
        }

    def test_what_the_engine_takes_besides_is_as_usual_unless_given(self):
        assert on_gpu(VllmSizes(weight_bytes=GIB)).overhead == 144 * MIB
        assert on_gpu(VllmSizes(weight_bytes=GIB), ParallelShape(tensor=2)).overhead == 564 * MIB
        assert on_gpu(VllmSizes(weight_bytes=GIB, gpu_overhead_bytes=5)).overhead == 5

    def test_blocks_may_differ(self):
        sizes = VllmSizes(
            block_weight_bytes=(10, 20, 30, 40),
            block_kv_bytes=(1, 2, 3, 4),
            token_embedding_bytes=5,
            output_bytes=7,
            draft_bytes=100,
            projector_bytes=1000,
            lora_bytes=8,
        )
        shape = ParallelShape(pipeline=2)
        first, last = (on_gpu(sizes, shape, stage) for stage in (0, 1))
        assert (first.weights, first.kv_cache) == (10 + 20 + 5 + 1000 + 4, 3)
        assert (last.weights, last.kv_cache) == (30 + 40 + 7 + 100 + 1000 + 4, 7)
        assert on_gpu(sizes, shape, text_only=True).weights == 39

    def test_a_total_outweighs_the_blocks_it_is_made_of(self):
        sizes = VllmSizes(block_weight_bytes=(10, 30), weight_bytes=85, output_bytes=5)
        shape = ParallelShape(pipeline=2)
        assert [on_gpu(sizes, shape, stage).weights for stage in (0, 1)] == [20, 60 + 5]

    def test_tensor_ranks_share_weights_and_heads(self):
        sizes = VllmSizes(weight_bytes=800, block_kv_bytes=(80,), kv_head_count=4, attention_head_count=64)
        shares = [on_gpu(sizes, ParallelShape(tensor=tensor)) for tensor in (1, 4, 8)]
        assert [(parts.weights, parts.kv_cache) for parts in shares] == [(800, 80), (200, 20), (100, 20)]
        latent = VllmSizes(weight_bytes=800, block_kv_bytes=(80,), kv_head_count=1)
        assert on_gpu(latent, ParallelShape(tensor=8)).kv_cache == 80

    def test_a_model_of_unknown_blocks_is_dealt_out_evenly(self):
        sizes = VllmSizes(weight_bytes=90, token_embedding_bytes=3)
        shape = ParallelShape(pipeline=3)
        assert [on_gpu(sizes, shape, stage).weights for stage in (0, 1, 2)] == [32, 29, 29]

    def test_tokens_are_as_many_as_asked_for_or_as_the_model_was_made_for(self):
        sizes = VllmSizes(kv_bytes_per_token_per_block=10, block_count=2, context_length=4096)
        assert on_gpu(sizes).kv_cache == 4096 * 20
        assert on_gpu(sizes, max_model_len=100).kv_cache == 2000

    def test_an_embedding_model_claims_what_was_given_and_the_drivers_context(self):
        sizes = VllmSizes(weight_bytes=GIB, gpu_overhead_bytes=0, category=ModelCategory.EMBEDDING)
        needs = vllm_needs(sizes, VllmOptions())
        stage = needs.stages(ParallelShape())[0]
        card = Card(total_bytes=24 * GIB, kind=CUDA)
        assert needs.claim_bytes(ParallelShape(), stage, card) == GIB + 625 * MIB
        assert needs.shortage(ParallelShape(), stage, Card(total_bytes=GIB, kind=CUDA)) == 625 * MIB

    def test_ram_is_what_was_given_and_a_cache_that_was_asked_for(self):
        sizes = VllmSizes(ram_compute_bytes=3, ram_overhead_bytes=4)
        needs = vllm_needs(sizes, VllmOptions(host_kv_cache_bytes=5))
        assert needs.on_host(ParallelShape(), ranks=8, leads=True).total == 12
        usual = vllm_needs(VllmSizes(), VllmOptions())
        assert usual.on_host(ParallelShape(tensor=8), ranks=8, leads=True).total == 18 * GIB


class TestLlamaCpp:
    SIZES = LayerSizes(
        block_weight_bytes=(10, 20, 30),
        output_bytes=5,
        token_embedding_bytes=7,
        kv_bytes_per_token_per_block=2,
        gpu_compute_bytes=100,
        ram_compute_bytes=200,
        context_length=131_072,
    )

    def test_the_last_blocks_go_to_gpus_first_after_the_output_layer(self):
        profile = layer_profile(self.SIZES, LlamaCppOptions(context_length=1000))
        assert [unit.on_gpu.weights for unit in profile.units] == [5, 30, 20, 10]
        assert [unit.on_gpu.kv_cache for unit in profile.units] == [0, 2000, 2000, 2000]
        assert [unit.on_cpu for unit in profile.units] == [unit.on_gpu for unit in profile.units]

    def test_all_memory_is_somewhere(self):
        profile = layer_profile(self.SIZES, LlamaCppOptions(context_length=10))
        gpu = beside_ram(profile).gpu(0, 2, CUDA)
        assert (gpu.weights, gpu.kv_cache, gpu.compute, gpu.overhead) == (35, 20, 100, 512 * MIB)
        ram = beside_ram(profile).ram(2)
        assert (ram.weights, ram.kv_cache, ram.compute, ram.overhead) == (30 + 7, 40, 200, PROCESS_BYTES)

    def test_without_a_wish_it_is_the_models_own_context_up_to_4096(self):
        assert layer_profile(self.SIZES, LlamaCppOptions()).context_length == 4096
        small = LayerSizes(block_weight_bytes=(1,), context_length=512, kv_bytes_per_token_per_block=3)
        assert layer_profile(small, LlamaCppOptions()).units[1].on_gpu.kv_cache == 1536

    def test_keys_and_values_of_the_whole_context_are_not_counted_again(self):
        sizes = LayerSizes(block_weight_bytes=(1, 1), block_kv_bytes=(11, 22), kv_bytes_per_token_per_block=9)
        profile = layer_profile(sizes, LlamaCppOptions(context_length=64))
        assert [unit.on_gpu.kv_cache for unit in profile.units] == [0, 22, 11]

    def test_overhead_may_be_given_even_as_nothing(self):
        sizes = LayerSizes(block_weight_bytes=(1,), gpu_overhead_bytes=0, ram_overhead_bytes=9)
        profile = layer_profile(sizes, LlamaCppOptions())
        assert {parts.overhead for parts in profile.per_gpu.values()} == {0}
        assert set(profile.per_gpu) == set(AcceleratorKind)
        assert profile.host.overhead == 9

    def test_companions_lie_beside_what_they_belong_to(self):
        sizes = LayerSizes(
            block_weight_bytes=(0, 0, 0), output_bytes=1, draft_bytes=10, projector_bytes=100, lora_bytes=8
        )
        units = layer_profile(sizes, LlamaCppOptions()).units
        assert [unit.on_gpu.weights for unit in units] == [111, 3, 3, 2]

    @pytest.mark.parametrize(
        ("weights", "kept", "message"),
        [
            ((), (), "0 blocks have weights and 0 have keys and values"),
            ((1, 2), (3,), "2 blocks have weights and 1 have keys and values"),
        ],
    )
    def test_blocks_must_be_told_of(self, weights, kept, message):
        with pytest.raises(ValueError, match=message):
            layer_profile(LayerSizes(block_weight_bytes=weights, block_kv_bytes=kept), LlamaCppOptions())
