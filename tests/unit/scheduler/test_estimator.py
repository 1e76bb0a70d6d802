"""The arithmetic of GGUF memory, worked out by hand for shapes whose figures are known."""

from dataclasses import replace

import pytest

from moorage_common.core.placement import KvCacheType
from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.estimators.gguf import gguf_profile
from moorage_scheduler.estimators.gguf_compute import compute_buffers
from moorage_scheduler.estimators.gguf_context import context_of
from moorage_scheduler.estimators.gguf_kv import kv_bytes_per_block

MIB = 2**20


def context(facts, **options):
    return context_of(facts, LlamaCppOptions(**options))


class TestContext:
    def test_without_a_wish_it_is_the_models_own_up_to_4096(self, paper):
        assert context(paper.facts(context_length=2048)).length == 2048
        assert context(paper.facts(context_length=131072)).length == 4096
        assert context(paper.facts(context_length=0)).length == 4096

    def test_a_wish_may_be_longer_than_the_model_was_trained_for(self, paper):
        assert context(paper.facts(context_length=2048), context_length=8192).length == 8192

    @pytest.mark.parametrize(
        ("length", "slots", "cells"),
        [(4096, 1, 4096), (300, 1, 512), (1000, 3, 512), (8192, 3, 2816), (16384, 4, 4096), (1, 4, 256)],
    )
    def test_cells_are_as_llama_cpp_rounds_them(self, paper, length, slots, cells):
        assert context(paper.facts(), context_length=length, parallel_slots=slots).cells == cells

    def test_a_window_keeps_itself_and_what_is_being_computed(self, paper):
        facts = paper.facts(sliding_window=1024, sliding_window_blocks=(True, False, True, False))
        assert context(facts, context_length=8192).window_cells == 1536
        assert context(facts, context_length=1024).window_cells == 1024
        assert context(paper.facts(sliding_window=1024)).window_cells == 0

    def test_no_more_is_computed_at_once_than_the_context_holds(self, paper):
        assert context(paper.facts(), context_length=300).ubatch == 300
        assert context(paper.facts(), context_length=4096).ubatch == 512


class TestKeysAndValues:
    def kv(self, facts, kv_type=KvCacheType.F16, **options):
        return kv_bytes_per_block(facts, context(facts, **options), kv_type)

    def test_every_block_keeps_each_heads_key_and_value_for_each_cell(self, paper):
        assert self.kv(paper.facts(blocks=2), context_length=4096) == (4096 * 8 * 128 * 2,) * 2

    def test_quantised_values_share_scales(self, paper):
        facts = paper.facts(blocks=1)
        (f16,) = self.kv(facts)
        assert self.kv(facts, KvCacheType.Q8_0) == (f16 * 34 // 64,)
        assert self.kv(facts, KvCacheType.Q4_0) == (f16 * 18 // 64,)

    def test_blocks_with_a_window_keep_only_that(self, paper):
        facts = paper.facts(blocks=2, sliding_window=1024, sliding_window_blocks=(True, False))
        windowed, whole = self.kv(facts, context_length=8192)
        assert windowed * 8192 == whole * 1536

    def test_a_window_is_kept_for_every_slot(self, paper):
        facts = paper.facts(blocks=1, sliding_window=1024, sliding_window_blocks=(True,))
        (one,) = self.kv(facts, context_length=16384)
        assert self.kv(facts, context_length=16384, parallel_slots=4) == (4 * one,)

    def test_blocks_without_attention_keep_nothing(self, paper):
        assert self.kv(paper.facts(blocks=2, head_counts_kv=(8, 0)))[1] == 0

    def test_compressed_latent_attention_keeps_no_values(self, paper):
        facts = paper.facts(blocks=1, head_counts_kv=(1,), key_length=576, value_length=512, kv_lora_rank=512)
        assert self.kv(facts, context_length=4096) == (4096 * 576 * 2,)


class TestCompute:
    """Against buffer sizes from llama.cpp's log, in MiB, for a context of 1024 unless said otherwise."""

    def cpu_mib(self, facts, **options):
        buffers = compute_buffers(facts, context(facts, **{"context_length": 1024, **options}))
        return buffers.cpu / MIB

    def shape(self, paper, hidden, queries, keys, ff, **others):
        return paper.facts(
            embedding_length=hidden, feed_forward_lengths=(ff,) * 4, vocabulary_size=320,
            head_counts=(queries // 32,) * 4, head_counts_kv=(keys // 32,) * 4, key_length=32,
            **others,
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("hidden", "queries", "keys", "ff", "logged"),
        [
            (512, 512, 256, 1536, 15.02),
            (256, 256, 64, 4096, 27.52),
            (128, 512, 512, 256, 6.27),
            (256, 512, 64, 256, 5.52),
            (256, 1024, 128, 1024, 9.52),
        ],
    )
    def test_dense_models(self, paper, hidden, queries, keys, ff, logged):
        assert self.cpu_mib(self.shape(paper, hidden, queries, keys, ff)) == pytest.approx(logged, rel=0.02)

    @pytest.mark.parametrize(
        ("hidden", "used", "width", "logged"),
        [
            (256, 8, 96, 12.02),
            (256, 8, 32, 7.52),
            (256, 4, 64, 5.52),
            (512, 4, 384, 15.02),
            (512, 8, 384, 24.02),
        ],
    )
    def test_models_of_experts(self, paper, hidden, used, width, logged):
        facts = self.shape(
            paper, hidden, hidden, 64, 0,
            expert_count=16, expert_used_count=used, expert_feed_forward_length=width,
        )  # fmt: skip
        assert self.cpu_mib(facts) == pytest.approx(logged, rel=0.02)

    def test_where_no_expert_width_is_given_the_only_width_is_theirs(self, paper):
        facts = self.shape(paper, 256, 256, 64, 512, expert_count=8, expert_used_count=2)
        spelled = self.shape(
            paper, 256, 256, 64, 512,
            expert_count=8, expert_used_count=2, expert_feed_forward_length=512,
        )  # fmt: skip
        assert self.cpu_mib(facts) == self.cpu_mib(spelled)

    @pytest.mark.parametrize(
        ("length", "slots", "logged"), [(16384, 1, 30.02), (16384, 4, 18.02), (300, 1, 8.51)]
    )
    def test_the_mask_grows_with_the_context_of_one_slot(self, paper, length, slots, logged):
        facts = self.shape(paper, 512, 512, 256, 1536)
        found = self.cpu_mib(facts, context_length=length, parallel_slots=slots)
        assert found == pytest.approx(logged, rel=0.02)

    def test_a_window_has_a_mask_of_its_own(self, paper):
        facts = self.shape(
            paper, 512, 512, 256, 1536, sliding_window=1024, sliding_window_blocks=(True, False) * 2
        )
        assert self.cpu_mib(facts, context_length=4096) == pytest.approx(19.53, rel=0.02)

    def test_a_gpu_holds_one_row_less_than_the_cpu(self, paper):
        facts = self.shape(paper, 512, 512, 256, 1536)
        buffers = compute_buffers(facts, context(facts))
        assert buffers.cpu - buffers.gpu == 512 * 4 * 512
        assert buffers.cpu_beside_gpu < buffers.gpu


class TestProfile:
    def test_units_are_the_output_then_blocks_from_the_last(self, paper):
        facts = replace(paper.facts(blocks=3, output_bytes=7), block_bytes=(10, 20, 30))
        profile = gguf_profile(facts, LlamaCppOptions())
        assert [unit.on_gpu.weights for unit in profile.units] == [7, 30, 20, 10]

    def test_all_weights_are_somewhere_wherever_the_layers_go(self, paper):
        facts = paper.facts(other_bytes=5)
        profile = gguf_profile(facts, LlamaCppOptions())
        for units in range(len(profile.units) + 1):
            on_gpu = profile.on_gpu(0, units, AcceleratorKind.CUDA).weights
            assert on_gpu + profile.in_ram(units).weights == facts.total_tensor_bytes + 5

    def test_a_tied_head_is_copied_to_the_gpu_and_shared_on_the_cpu(self, paper):
        facts = paper.facts(output_bytes=1, tied_embedding=True)
        output = gguf_profile(facts, LlamaCppOptions()).units[0]
        assert output.on_gpu.weights == 1 + facts.token_embedding_bytes
        assert output.on_cpu.weights == 1

    def test_repacked_matrices_count_twice_on_the_cpu_only(self, paper):
        facts = paper.facts(blocks=2, block_bytes=100, block_repack_bytes=(60, 70), output_repack_bytes=9)
        output, last, first = gguf_profile(facts, LlamaCppOptions()).units
        assert (last.on_cpu.weights, last.on_gpu.weights) == (170, 100)
        assert (first.on_cpu.weights, first.on_gpu.weights) == (160, 100)
        assert output.on_cpu.weights - output.on_gpu.weights == 9

    @pytest.mark.parametrize("kind", AcceleratorKind)
    def test_every_kind_of_gpu_has_its_overhead(self, paper, kind):
        assert gguf_profile(paper.facts(), LlamaCppOptions()).per_gpu[kind].overhead > 0

    def test_more_layers_on_gpus_never_need_more_ram(self, paper):
        profile = gguf_profile(paper.facts(), LlamaCppOptions())
        needs = [profile.in_ram(units).total for units in range(len(profile.units) + 1)]
        assert needs == sorted(needs, reverse=True)
