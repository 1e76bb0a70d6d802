"""The arithmetic of GGUF memory, worked out by hand for shapes whose figures are known."""

from dataclasses import replace

import pytest

from moorage_common.core.llama_cpp import CONTEXT_CHECKPOINTS
from moorage_common.core.placement import FlashAttention, KvCacheType
from moorage_common.core.states import AcceleratorKind
from moorage_common.modelfiles.architectures import RECURRENT
from moorage_scheduler.core.layers.ways import beside_ram, on_one
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.estimators.gguf import gguf_profile
from moorage_scheduler.estimators.gguf_compute import on_cpu, on_gpus
from moorage_scheduler.estimators.gguf_context import context_of
from moorage_scheduler.estimators.gguf_flash import refused, uses_flash
from moorage_scheduler.estimators.gguf_kv import kept_per_block

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
        assert context(paper.facts(), context_length=300).batch == 300
        assert context(paper.facts(), context_length=4096).batch == 512
        assert context(paper.facts(), context_length=4096, micro_batch_size=2048).batch == 2048

    def test_a_batch_has_as_many_tokens_of_each_slot(self, paper):
        found = context(paper.facts(), context_length=4096, parallel_slots=3)
        assert (found.batch, found.outputs) == (513, 3)

    def test_one_cache_for_all_slots_has_all_cells(self, paper):
        facts = paper.facts(sliding_window=1024, sliding_window_blocks=(True, False, True, False))
        found = context(facts, context_length=16384, parallel_slots=4, unified_kv_cache=True)
        assert (found.streams, found.cells, found.window_cells) == (1, 16384, 4 * 1024 + 512)


class TestKeysAndValues:
    def kv(self, facts, kv_type=KvCacheType.F16, **options):
        flash = options.pop("flash", True)
        return kept_per_block(facts, context(facts, **options), kv_type, flash=flash)

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

    def test_a_state_is_kept_for_every_slot_whatever_the_context(self, paper):
        facts = paper.facts(blocks=2, head_counts_kv=(8, 0), block_state_bytes=(0, 1000))
        assert self.kv(facts, context_length=4096)[1] == self.kv(facts, context_length=8192)[1] == 1000
        assert self.kv(facts, KvCacheType.Q8_0, parallel_slots=3, unified_kv_cache=True)[1] == 3000

    def test_without_flash_attention_all_values_are_as_wide_as_the_widest(self, paper):
        facts = paper.facts(blocks=2, block_key_elements=(64, 32), block_value_elements=(64, 32))
        assert self.kv(facts, context_length=4096) == (4096 * 128 * 2, 4096 * 64 * 2)
        assert self.kv(facts, context_length=4096, flash=False) == (4096 * 128 * 2, 4096 * 96 * 2)


class TestFlashAttention:
    @pytest.mark.parametrize(
        ("wish", "kv_type", "used"),
        [
            (None, KvCacheType.F16, True),
            (FlashAttention.OFF, KvCacheType.F16, False),
            (FlashAttention.ON, KvCacheType.F16, True),
            (None, KvCacheType.Q8_0, True),
        ],
    )
    def test_as_wished_or_where_it_can(self, paper, wish, kv_type, used):
        options = LlamaCppOptions(flash_attention=wish, kv_cache_type=kv_type)
        assert uses_flash(paper.facts(), options, None) is used

    @pytest.mark.parametrize(
        ("kind", "key", "value", "heads", "heads_kv", "used"),
        [
            (AcceleratorKind.CUDA, 128, 128, 8, 8, True),
            (AcceleratorKind.CUDA, 48, 48, 8, 8, False),
            (AcceleratorKind.METAL, 48, 48, 8, 8, True),
            (AcceleratorKind.ROCM, 128, 64, 8, 8, False),
            (AcceleratorKind.CUDA, 192, 128, 16, 2, True),
            (AcceleratorKind.CUDA, 192, 128, 16, 4, False),
            (AcceleratorKind.CUDA, 512, 512, 6, 2, True),
            (AcceleratorKind.CUDA, 512, 512, 8, 8, False),
            (AcceleratorKind.METAL, 192, 128, 8, 8, True),
            (AcceleratorKind.CANN, 192, 128, 8, 8, False),
            (None, 48, 40, 8, 8, True),
        ],
    )
    def test_left_to_llama_cpp_it_is_off_for_heads_without_a_kernel(
        self, paper, kind, key, value, heads, heads_kv, used
    ):
        facts = paper.facts(
            head_counts=(heads,) * 4, head_counts_kv=(heads_kv,) * 4, key_length=key, value_length=value
        )
        assert uses_flash(facts, LlamaCppOptions(), kind) is used
        assert uses_flash(facts, LlamaCppOptions(flash_attention=FlashAttention.ON), kind)

    def test_latent_attention_has_kernels_for_its_compressed_heads(self, paper):
        facts = paper.facts(head_counts_kv=(1,) * 4, key_length=576, value_length=512, kv_lora_rank=512)
        assert all(uses_flash(facts, LlamaCppOptions(), kind) for kind in ("CUDA", "METAL"))
        assert not uses_flash(facts, LlamaCppOptions(), AcceleratorKind.CANN)

    def test_one_architecture_does_without_whatever_is_wished(self, paper):
        facts = paper.facts(architecture="grok")
        assert not uses_flash(facts, LlamaCppOptions(flash_attention=FlashAttention.ON), None)
        assert refused(facts, LlamaCppOptions(kv_cache_type=KvCacheType.Q8_0)).needed == "flash attention"
        assert refused(facts, LlamaCppOptions()) is None

    def test_heads_that_cannot_be_quantised(self, paper):
        options = LlamaCppOptions(kv_cache_type=KvCacheType.Q4_0)
        odd = paper.facts(key_length=80, value_length=80)
        assert refused(odd, options).available == "80 for keys, 80 for values"
        assert refused(paper.facts(key_length=96, value_length=96), options) is None
        assert refused(odd, LlamaCppOptions()) is None


class TestCompute:
    """Against buffer sizes from llama.cpp's log, in MiB, for a context of 1024 unless said otherwise."""

    def cpu_mib(self, facts, *, flash=True, **options):
        buffers = on_cpu(facts, context(facts, **{"context_length": 1024, **options}), flash=flash)
        results = 4 * facts.vocabulary_size * options.get("parallel_slots", 1)
        return (buffers.host - results) / MIB

    def shape(self, paper, hidden, queries, keys, ff, **others):
        return paper.facts(
            embedding_length=hidden, feed_forward_lengths=(ff,) * 4, vocabulary_size=320,
            head_counts=(queries // 32,) * 4, head_counts_kv=(keys // 32,) * 4, key_length=32,
            value_length=32, **others,
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
        assert self.cpu_mib(self.shape(paper, hidden, queries, keys, ff)) == pytest.approx(logged, rel=0.001)

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
            block_expert_bytes=(1,) * 4,
        )  # fmt: skip
        assert self.cpu_mib(facts) == pytest.approx(logged, rel=0.001)

    def test_only_blocks_with_experts_have_their_tensors(self, paper):
        experts = {"expert_count": 16, "expert_used_count": 8, "expert_feed_forward_length": 384}
        facts = self.shape(paper, 512, 512, 64, 256, **experts)
        some, none = replace(facts, block_expert_bytes=(0, 1, 1, 1)), self.shape(paper, 512, 512, 64, 256)
        assert self.cpu_mib(facts) == self.cpu_mib(some) > 2 * self.cpu_mib(none)

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
        assert found == pytest.approx(logged, rel=0.001)

    def test_a_window_has_a_mask_of_its_own(self, paper):
        facts = self.shape(
            paper, 512, 512, 256, 1536, sliding_window=1024, sliding_window_blocks=(True, False) * 2
        )
        assert self.cpu_mib(facts, context_length=4096) == pytest.approx(19.53, rel=0.001)

    def test_without_flash_attention_all_scores_are_in_memory(self, paper):
        facts = self.shape(paper, 512, 512, 256, 1536)
        more = self.cpu_mib(facts, flash=False, context_length=8192) - self.cpu_mib(
            facts, context_length=8192
        )
        assert more > 16 * 512 * 8192 * 4 / MIB * 0.8

    def test_embeddings_of_each_blocks_own_are_in_ram(self, paper):
        facts = self.shape(paper, 512, 512, 256, 1536)
        own = replace(facts, own_embedding_length=256)
        size, context_of_both = 4 * 512 * 256 * 4, context(facts, context_length=1024)
        without, with_own = (on_gpus(f, context_of_both, flash=True, unpacks=False) for f in (facts, own))
        assert size <= with_own.host - without.host <= 3.1 * size
        assert with_own.gpu - without.gpu < size
        assert self.cpu_mib(own) - self.cpu_mib(facts) > size / MIB

    def test_several_gpus_have_inputs_of_four_batches(self, paper):
        facts = self.shape(paper, 512, 512, 256, 1536)
        found = on_gpus(facts, context(facts, context_length=4096), flash=True, unpacks=False)
        mask, hidden = 2 * 4096 * 512, 4 * 512 * 512
        assert found.gpu_of_several - found.gpu == pytest.approx(3 * mask + 12 * hidden, rel=0.01)
        assert found.host_of_several - found.host == pytest.approx(3 * (mask + 2 * hidden), rel=0.01)

    def test_a_gpu_that_unpacks_its_cache_has_room_for_one_blocks(self, paper):
        facts = self.shape(paper, 512, 512, 256, 1536)
        kept = context(facts, context_length=65536, kv_cache_type=KvCacheType.Q8_0)
        packed, unpacked = (
            on_gpus(facts, kept, flash=True, unpacks=unpacks).gpu for unpacks in (False, True)
        )
        assert unpacked - packed == pytest.approx(65536 * 2 * 256 * 2, rel=0.1)

    @pytest.mark.parametrize("architecture", sorted(RECURRENT))
    def test_every_recurrence_has_a_form(self, paper, architecture):
        facts = paper.facts(
            architecture=architecture, head_counts_kv=(0, 0, 0, 8), block_state_bytes=(4096, 4096, 4096, 0),
            recurrent_inner_length=2048, recurrent_state_length=16, recurrent_group_count=1,
            recurrent_head_count=32, recurrent_kernel_length=4,
        )  # fmt: skip
        plain = paper.facts(architecture=architecture)
        least = 4 * 512 * 2048
        assert on_cpu(facts, context(facts), flash=True).host > least
        assert on_gpus(facts, context(facts, parallel_slots=4), flash=False, unpacks=False).gpu > least
        assert on_cpu(plain, context(plain), flash=True).host > least


class TestProfile:
    def test_units_are_the_output_then_blocks_from_the_last(self, paper):
        facts = replace(paper.facts(blocks=3, output_bytes=7), block_bytes=(10, 20, 30))
        profile = gguf_profile(facts, LlamaCppOptions())
        assert [unit.on_gpu.weights for unit in profile.units] == [7, 30, 20, 10]

    def test_all_weights_are_somewhere_wherever_the_layers_go(self, paper):
        facts = paper.facts(other_bytes=5)
        profile = gguf_profile(facts, LlamaCppOptions())
        for units in range(len(profile.units) + 1):
            way = on_one(profile) if units == len(profile.units) else beside_ram(profile)
            on_gpu = way.gpu(0, units, AcceleratorKind.CUDA).weights
            assert on_gpu + way.ram(units).weights == facts.total_tensor_bytes + 5

    def test_a_tied_head_is_copied_to_the_gpu_and_shared_on_the_cpu(self, paper):
        facts = paper.facts(output_bytes=1, tied_embedding=True)
        output = gguf_profile(facts, LlamaCppOptions()).units[0]
        assert output.on_gpu.weights == 1 + facts.token_embedding_bytes
        assert output.on_cpu.weights == 1

    def test_repacked_matrices_count_twice_on_the_cpu_alone(self, paper):
        facts = paper.facts(
            blocks=2, block_bytes=100, block_repack_bytes=(60, 70), output_repack_bytes=9, unmapped_bytes=30
        )
        profile = gguf_profile(facts, LlamaCppOptions())
        assert profile.host_alone.weights == 60 + 70 + 9 - 30
        everything = 200 + facts.output_bytes + facts.token_embedding_bytes
        assert beside_ram(profile).ram(0).weights == everything + 109
        # Beside a GPU what is in RAM stays as it is, for the GPU to copy.
        assert beside_ram(profile).ram(1).weights == everything - facts.output_bytes

    def test_without_a_mapped_file_a_repacked_matrix_is_held_once(self, paper):
        facts = paper.facts(blocks=1, block_repack_bytes=(60,), output_repack_bytes=9)
        options = LlamaCppOptions(forbid_mmap=True)
        assert gguf_profile(facts, options).host_alone.weights == 0
        tied = replace(facts, tied_embedding=True)
        assert gguf_profile(tied, options).host_alone.weights == facts.token_embedding_bytes
        plain = replace(tied, output_repack_bytes=0)
        assert gguf_profile(plain, options).host_alone.weights == 0
        early = replace(plain, architecture="gemma4")
        assert gguf_profile(early, options).host_alone.weights == facts.token_embedding_bytes

    def test_blocks_that_guess_further_tokens_are_not_loaded(self, paper):
        facts = paper.facts(blocks=3, nextn_block_count=1, head_counts_kv=(8, 8, 0))
        _, last, middle, first = gguf_profile(facts, LlamaCppOptions()).units
        assert last.on_gpu.total == last.on_cpu.total == 0
        assert middle == first

    def test_a_projector_goes_with_the_output_layer(self, paper):
        facts = paper.facts(projector_bytes=1000)
        output = gguf_profile(facts, LlamaCppOptions()).units[0]
        assert output.on_gpu.weights == output.on_cpu.weights == 1000 + facts.output_bytes

    def test_states_are_set_aside_for_every_slot(self, paper):
        plain, windowed = (
            paper.facts(blocks=1),
            paper.facts(blocks=1, sliding_window=1024, sliding_window_blocks=(True,)),
        )
        options = LlamaCppOptions(context_length=8192, parallel_slots=2)
        more = gguf_profile(windowed, options).host.overhead - gguf_profile(plain, options).host.overhead
        assert more == CONTEXT_CHECKPOINTS * gguf_profile(windowed, options).units[1].on_cpu.kv_cache

    def test_the_leaders_gpus_copy_what_is_in_ram_matrix_by_matrix(self, paper):
        profile = gguf_profile(paper.facts(), LlamaCppOptions())
        assert profile.per_gpu_beside_ram[AcceleratorKind.CUDA].total == paper.GIB // 4
        assert profile.per_gpu_beside_ram[AcceleratorKind.METAL].total == 0

    def test_other_workers_ram_passes_tensors_on(self, paper):
        profile = gguf_profile(paper.facts(), LlamaCppOptions())
        assert paper.GIB // 4 < profile.host_remote.total < paper.GIB // 2
        assert all(
            profile.per_gpu_of_several[kind].total > parts.total for kind, parts in profile.per_gpu.items()
        )
        assert profile.host_beside_several.total > profile.host_beside_gpu.total

    @pytest.mark.parametrize("kind", AcceleratorKind)
    def test_every_kind_of_gpu_has_its_overhead(self, paper, kind):
        assert gguf_profile(paper.facts(), LlamaCppOptions()).per_gpu[kind].overhead > 0

    def test_more_layers_on_gpus_never_need_more_ram(self, paper):
        profile = gguf_profile(paper.facts(), LlamaCppOptions())
        needs = [*beside_ram(profile).in_ram.tolist(), on_one(profile).in_ram[-1]]
        assert needs == sorted(needs, reverse=True)
